import Bytes
import HTTP2
import TestSockets

/// A server of HTTP/2 in clear that does with each request what the test says.
final class ScriptedHTTP2Server {
    enum Step: Sendable {
        /// A head, which ends the stream where nothing follows it.
        case head(Int, [(String, String)] = [], ends: Bool = false)
        case body(String, ends: Bool = false)
        case trailers([(String, String)])
        case reset(UInt32)
        case goAway
        /// The connection ends without another word.
        case close
    }

    /// What has come with one request.
    struct Request: Sendable, Equatable {
        var fields: [String: String] = [:]
        var body = ""
    }

    let requests = Box<[Request]>([])
    let connections = Box(0)
    private var server: ScriptedServer!
    var port: Int { server.port }

    /// - Parameter script: by the path of a request and its number among all.
    init(_ script: @escaping @Sendable (String, Int) -> [Step]) throws {
        let (requests, connections) = (requests, connections)
        server = try ScriptedServer { client, _ in
            connections.change { $0 += 1 }
            Side(client, requests, script).run()
        }
    }

    /// One connection.
    private final class Side: SessionHandler {
        private var session: Session!
        private let socket: RawClient
        private let requests: Box<[Request]>
        private let script: @Sendable (String, Int) -> [Step]
        private var inbound = ByteQueue()
        private var open: [StreamID: Request] = [:]
        private var complete: [StreamID] = []
        private var bodies: [StreamID: (bytes: [UInt8], ends: Bool)] = [:]
        private var trailing: [StreamID: [(String, String)]] = [:]
        private var isOver = false

        init(_ socket: RawClient, _ requests: Box<[Request]>, _ script: @escaping @Sendable (String, Int) -> [Step]) {
            self.socket = socket
            self.requests = requests
            self.script = script
            session = Session(.server, SessionSettings(), outputBytesMax: 1 << 20, handler: self)
        }

        func run() {
            do {
                try flush()
                while !isOver {
                    guard let bytes = socket.waitForBytes(65_536), !bytes.isEmpty else { return }
                    inbound.append(bytes)
                    try session.receive(&inbound)
                    for stream in complete { try answer(stream) }
                    complete = []
                    if !isOver { try flush() }
                }
            } catch {
                // The peer ended the connection.
            }
        }

        private func flush() throws {
            try session.fill()
            let bytes = session.withOutput { queue in
                let bytes = queue.readable.copied()
                queue.removeAll()
                return bytes
            }
            if !bytes.isEmpty { socket.send(bytes) }
        }

        private func answer(_ stream: StreamID) throws {
            guard let request = open.removeValue(forKey: stream) else { return }
            let number = requests.change { $0.append(request) }.count
            for step in script(request.fields[":path"] ?? "", number) {
                switch step {
                case .head(let status, let fields, let ends):
                    var block = FieldBlock()
                    block.append(":status", decimal: UInt64(status))
                    for (name, value) in fields { block.append(name, value) }
                    if status < 200 {
                        session.submit(interim: block, stream)
                    } else {
                        bodies[stream] = ([], false)
                        session.submit(response: block, stream, hasBody: !ends)
                    }
                case .body(let text, let ends):
                    bodies[stream, default: ([], false)].bytes += [UInt8](text.utf8)
                    bodies[stream]?.ends = ends
                    session.resume(stream)
                case .trailers(let fields):
                    trailing[stream] = fields
                    session.resume(stream)
                case .reset(let code):
                    try flush()
                    session.reset(stream, code)
                case .goAway: session.terminate(StreamCode.noError)
                case .close:
                    try flush()
                    isOver = true
                    return
                }
                try flush()
            }
        }

        func headBegan(_ stream: StreamID, isFirst: Bool) { if isFirst { open[stream] = Request() } }
        func field(_ name: Span<UInt8>, _ value: Span<UInt8>, _ stream: StreamID) -> Bool {
            open[stream]?.fields[name.text] = value.text
            return true
        }
        func invalidField(_ stream: StreamID) {}
        func headEnded(_ stream: StreamID, isFirst: Bool, endsStream: Bool) { if endsStream { complete.append(stream) } }
        func received(body: Span<UInt8>, _ stream: StreamID) {
            open[stream]?.body += body.text
            session.consume(stream, body.count)
        }
        func bodyEnded(_ stream: StreamID) { complete.append(stream) }
        func closed(_ stream: StreamID, code: UInt32) {}
        func nextBody(_ stream: StreamID, atMost: Int) -> BodyStep {
            guard let body = bodies[stream] else { return .broken }
            if !body.bytes.isEmpty {
                let count = min(atMost, body.bytes.count)
                return .bytes(count, isLast: body.ends && count == body.bytes.count)
            }
            if trailing[stream] != nil { return .trailers }
            return body.ends ? .bytes(0, isLast: true) : .wait
        }
        func holdsBody(_ stream: StreamID, _ count: Int) -> Bool { bodies[stream]?.bytes.count ?? 0 >= count }
        func moveBody(_ stream: StreamID, _ count: Int, to output: inout ByteQueue) {
            output.append(Array(bodies[stream]?.bytes.prefix(count) ?? []))
            bodies[stream]?.bytes.removeFirst(count)
        }
        func trailers(_ stream: StreamID, _ body: (borrowing FieldBlock) -> Void) {
            var block = FieldBlock()
            for (name, value) in trailing[stream] ?? [] { block.append(name, value) }
            body(block)
        }
        func received(_ frame: ControlFrame) {}
        func requestNotSent(_ stream: StreamID) {}
        func sentEnd(_ stream: StreamID) {}
        func sentReset(_ stream: StreamID, code: UInt32) {}
        func settingsChanged() {}
        func received(goAway lastStream: StreamID, code: UInt32) {}
    }
}
