import Bytes
import HTTP2
import HTTPMessage

/// A server's session that is fed with whatever comes, and responses each request that it understands.
final class FuzzedSession: SessionHandler {
    private var session: Session!
    private let builder = RequestHeadBuilder()
    /// Used for each request again, as a connection's is.
    private var head = RequestHead()
    private var bodies: [StreamID: Int] = [:]

    /// The first byte says in which pieces the rest arrives.
    init(_ bytes: [UInt8]) {
        session = Session(.server, SessionSettings(), outputBytesMax: 65_536, handler: self)
        let rest = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + bytes.dropFirst()
        let size = Int(bytes.first ?? 0) + 1
        for start in stride(from: 0, to: rest.count, by: size) {
            guard (try? session.receive(rest.span.extracting(start..<min(rest.count, start + size)))) != nil, (try? session.fill()) != nil,
                session.isOpen
            else { return }
            session.withOutput { $0.removeAll() }
        }
    }

    func headBegan(_ stream: StreamID, isFirst: Bool) { builder.reset() }
    func field(_ name: Span<UInt8>, _ value: Span<UInt8>, _ stream: StreamID) -> Bool {
        builder.add(name, value)
        return true
    }
    func invalidField(_ stream: StreamID) { builder.refuse() }

    func headEnded(_ stream: StreamID, isFirst: Bool, endsStream: Bool) {
        let isGood = (try? builder.finish(into: &head)) != nil
        var block = FieldBlock()
        block.append(":status", isGood ? "200" : "400")
        bodies[stream] = isGood ? 100_000 : 0
        session.submit(response: block, stream, hasBody: isGood)
    }

    func received(body: Span<UInt8>, _ stream: StreamID) { session.consume(stream, body.count) }
    func bodyEnded(_ stream: StreamID) {}
    func closed(_ stream: StreamID, code: UInt32) { bodies[stream] = nil }

    func nextBody(_ stream: StreamID, atMost: Int) -> BodyStep {
        let left = bodies[stream] ?? 0
        return .bytes(min(left, atMost), isLast: left <= atMost)
    }

    func moveBody(_ stream: StreamID, _ count: Int, to output: inout ByteQueue) {
        bodies[stream, default: 0] -= count
        output.append([UInt8](repeating: 0x78, count: count))
    }

    func holdsBody(_ stream: StreamID, _ count: Int) -> Bool { bodies[stream] ?? 0 >= count }
    func requestNotSent(_ stream: StreamID) {}
    func trailers(_ stream: StreamID, _ body: (borrowing FieldBlock) -> Void) {}
    func received(_ frame: ControlFrame) {}
    func sentEnd(_ stream: StreamID) {}
    func sentReset(_ stream: StreamID, code: UInt32) {}
    func settingsChanged() {}
    func received(goAway lastStream: StreamID, code: UInt32) {}
}
