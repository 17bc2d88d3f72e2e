import Bytes
import HTTP2
import HTTPMessage
import System
import TLS
import Time

/// One request over HTTP/2, blocking; for the control process's threads. In clear it is spoken by prior knowledge (RFC 9113 §3.3).
struct HTTP2Client {
    typealias Failure = BlockingConnection.Failure

    struct Response {
        var status = 0
        var body: [UInt8] = []
        /// Fields of the head and trailers behind them, by name.
        var fields: [String: String] = [:]
    }

    private let context: ClientContext?
    private let allowed: Nanoseconds
    private let bodyBytesMax: Int

    /// - Parameter context: nil in clear.
    init(_ context: ClientContext?, bodyBytesMax: Int, within allowed: Nanoseconds) {
        self.context = context
        self.bodyBytesMax = bodyBytesMax
        self.allowed = allowed
    }

    /// Sends a request and reads the response to its end.
    ///
    /// - Parameters:
    ///   - fields: all of the head, pseudo-fields first.
    ///   - host: what the server's certificate has to name.
    func exchange(
        _ fields: [(name: String, value: String)], body: [UInt8], with host: String, at address: SocketAddress
    ) throws(Failure) -> Response {
        var connection = try BlockingConnection.open(to: address, within: allowed)
        if let context {
            try connection.secure(context, host: host, protocols: ["h2"])
            guard connection.agreedProtocol == "h2" else { throw Failure(reason: "the server does not agree to HTTP/2 (ALPN)") }
        }
        let stream = OneStream(body, bodyBytesMax: bodyBytesMax)
        let session = Session(.client, SessionSettings(), outputBytesMax: outputBytesMax, handler: stream)
        var block = FieldBlock()
        for field in fields { block.append(field.name, field.value) }
        guard let id = session.submit(request: block, hasBody: !body.isEmpty) else { throw Failure(reason: "no stream could be opened") }
        stream.id = id
        var queue = ByteQueue()
        while true {
            do throws(SessionError) {
                if !queue.isEmpty { try session.receive(&queue) }
                // What has come is kept elsewhere, so the stream's window opens again.
                if let count = stream.takeReceived() { session.consume(id, count) }
                try session.fill()
            } catch {
                throw Failure(reason: "the server's HTTP/2 is wrong: \(error.reason)")
            }
            if let outcome = stream.outcome { return try outcome.get() }
            var output = ByteQueue()
            session.withOutput { swap(&$0, &output) }
            try connection.send(&output)
            guard session.isOpen, try connection.receive(&queue) else { throw Failure(reason: "the connection ended before a response") }
        }
    }
}

/// What a session has to say of its one stream.
private final class OneStream: SessionHandler {
    var id: StreamID?
    /// Set once the stream is over.
    private(set) var outcome: Result<HTTP2Client.Response, HTTP2Client.Failure>?
    private var response = HTTP2Client.Response()
    private var builder = ResponseHeadBuilder()
    private var request: ByteQueue
    private var received = 0
    private let bodyBytesMax: Int
    private var framesLeft = controlFramesMax

    init(_ body: [UInt8], bodyBytesMax: Int) {
        request = ByteQueue()
        request.append(body)
        self.bodyBytesMax = bodyBytesMax
    }

    func takeReceived() -> Int? {
        defer { received = 0 }
        return received > 0 ? received : nil
    }

    private func end(_ reason: String) { if outcome == nil { outcome = .failure(HTTP2Client.Failure(reason: reason)) } }

    // MARK: - The response

    func headBegan(_ stream: StreamID, isFirst: Bool) { builder.reset() }

    func field(_ name: Span<UInt8>, _ value: Span<UInt8>, _ stream: StreamID) -> Bool {
        builder.add(name, value)
        return true
    }

    func invalidField(_ stream: StreamID) { builder.refuse() }

    func headEnded(_ stream: StreamID, isFirst: Bool, endsStream: Bool) {
        do throws(MessageError) {
            if response.status == 0 {
                var head = ResponseHead()
                try builder.finish(into: &head)
                // An interim head: another follows.
                if head.status < 200 { return }
                response.status = head.status
                for line in head.fields.lines { note(line, in: head.bytes) }
            } else {
                try builder.trailers { note($0, in: $1) }
            }
        } catch {
            return end("the response is malformed: \(error.explanation)")
        }
        if endsStream { ended() }
    }

    private func note(_ line: FieldTable.Line, in bytes: Span<UInt8>) {
        response.fields[bytes.extracting(line.name.range).text] = bytes.extracting(line.value.range).text
    }

    func received(body: Span<UInt8>, _ stream: StreamID) {
        received += body.count
        guard response.body.count + body.count <= bodyBytesMax else {
            return end("the response is larger than \(bodyBytesMax) bytes")
        }
        response.body.append(body)
    }

    func bodyEnded(_ stream: StreamID) { ended() }
    private func ended() { if outcome == nil { outcome = .success(response) } }
    func closed(_ stream: StreamID, code: UInt32) { end("the server reset the stream (code \(code))") }
    func requestNotSent(_ stream: StreamID) { end("the server takes no request") }
    func received(goAway lastStream: StreamID, code: UInt32) {
        if let id, lastStream < id { end("the server takes leave (code \(code))") }
    }

    /// A server that sends nothing but frames without a request is not listened to for long.
    func received(_ frame: ControlFrame) {
        framesLeft -= 1
        if framesLeft < 0 { end("the server sends frame after frame, and no response") }
    }

    // MARK: - The request

    func nextBody(_ stream: StreamID, atMost: Int) -> BodyStep {
        let count = min(atMost, request.count)
        return .bytes(count, isLast: count == request.count)
    }

    func holdsBody(_ stream: StreamID, _ count: Int) -> Bool { request.count >= count }

    func moveBody(_ stream: StreamID, _ count: Int, to output: inout ByteQueue) {
        output.append(request.readable.extracting(0..<count))
        request.drop(count)
    }

    func trailers(_ stream: StreamID, _ body: (borrowing FieldBlock) -> Void) {}
    func sentEnd(_ stream: StreamID) {}
    func sentReset(_ stream: StreamID, code: UInt32) {}
    func settingsChanged() {}
}

private let outputBytesMax = 1 << 16
private let controlFramesMax = 1_000
