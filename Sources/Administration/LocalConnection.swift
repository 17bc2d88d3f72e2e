import Bytes
import Connection
import HTTP1
import HTTPMessage
import System
import Time

/// One connection of an operator's tool: a request, its response, the next request.
final class LocalConnection: EventHandler, TimerHandler, EndOfTurnHandler {
    private enum State {
        case reading
        /// The request is with the handler.
        case answering
        case sending
        case closed
    }

    /// Counts connections, so that the oldest is known.
    let number: UInt64
    private unowned let server: LocalServer
    private let peer: PeerCredentials?
    private let io: ConnectionIO
    private var timer: Timer?
    private var state = State.reading
    private var keepsOpen = true
    private var parser = RequestParser(HeadLimits(bytes: headBytesMax))
    private var head = RequestHead()
    private var body: (expected: Int, request: LocalRequest)?
    private var inbound = ByteQueue()
    private var outbound = ByteQueue()
    private var requestNumber = 0

    /// Whether it is reading the only request that it still takes.
    private var awaitsLast = false

    var isBusy: Bool { if case .reading = state { awaitsLast } else { true } }
    var isSending: Bool { if case .sending = state { true } else { false } }

    init(_ descriptor: consuming Descriptor, number: UInt64, peer: PeerCredentials?, of server: LocalServer) throws(SystemError) {
        self.number = number
        self.server = server
        self.peer = peer
        let relay = Relay()
        io = try ConnectionIO(descriptor, for: .readable, relay, on: server.loop)
        io.hand(to: self)
        timer = Timer(self)
        server.loop.set(timer!, after: requestTime)
    }

    /// Stands in until the connection is made.
    private final class Relay: EventHandler { func handle(_ readiness: Readiness) {} }

    func close() {
        if case .closed = state { return }
        state = .closed
        io.close(.orderly)
        timer?.cancel()
        timer = nil
        server.ended(self)
    }

    /// No further request is taken; but one may have been sent by somebody who does not know.
    func closeAfterResponse() {
        if isBusy {
            keepsOpen = false
        } else if requestNumber == 0 || !inbound.isEmpty {
            keepsOpen = false
            awaitsLast = true
            server.loop.set(timer!, after: lastRequestTime)
        } else {
            close()
        }
    }

    func fired(_ timer: Timer) { close() }

    func handle(_ readiness: Readiness) {
        switch state {
        case .reading: receive()
        case .sending: flush()
        case .answering: if readiness.hasFailed { close() }
        case .closed: return
        }
    }

    private func receive() {
        let before = requestNumber
        while case .reading = state {
            if inbound.count > headBytesMax + bodyBytesMax { return close() }
            switch io.receive(to: &inbound, minimum: 4_096) {
            case .moved:
                read()
                // One request in each turn.
                if requestNumber > before { return }
            case .wouldBlock: return
            case .ended, .failed: return close()
            }
        }
    }

    private func read() {
        do throws(MessageError) {
            if body == nil {
                guard case .complete(let count) = try parser.parse(inbound, into: &head) else { return }
                inbound.drop(count)
                try begin()
            }
        } catch {
            keepsOpen = false
            return send(.error(400, "the request is malformed: \(error.explanation)"))
        }
        guard let (expected, request) = body, inbound.count >= expected else { return }
        body = nil
        let content = inbound.readable.extracting(0..<expected).copied()
        inbound.drop(expected)
        answer(
            LocalRequest(
                method: request.method, path: request.path, query: request.query, accept: request.accept, contentType: request.contentType,
                hasOrigin: request.hasOrigin, body: content, peer: peer))
    }

    /// The head is complete: what follows is the body, whose length it says.
    private func begin() throws(MessageError) {
        guard !head.fields.has(.transferEncoding) else { throw .unknownCoding }
        var expected = 0
        if let range = head.value(.contentLength) {
            guard let length = head.bytes.extracting(range).decimal(max: UInt64(bodyBytesMax)) else { throw .badContentLength }
            expected = Int(length)
        }
        let target = head.text(head.targetRange)
        let parts = target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        func text(_ name: String) -> String { head.field(named: name).map { String(decoding: $0, as: UTF8.self) } ?? "" }
        keepsOpen = keepsOpen && head.version == .http11 && !head.connection.saysClose
        body = (
            expected,
            LocalRequest(
                method: head.text(head.methodRange), path: String(parts.first ?? ""), query: parts.count > 1 ? String(parts[1]) : "",
                accept: text("accept"), contentType: text("content-type"), hasOrigin: head.hasField(named: "origin"))
        )
    }

    private func answer(_ request: LocalRequest) {
        state = .answering
        awaitsLast = false
        // What comes meanwhile is read when its turn comes; only the end of the connection is of interest.
        io.wait(for: [])
        requestNumber += 1
        let number = requestNumber
        server.loop.set(timer!, after: answerTime)
        server.handler.respond(to: request) { [weak self] response in
            guard let self, case .answering = state, number == requestNumber else { return }
            send(response, isHead: request.method == "HEAD")
        }
    }

    private func send(_ response: LocalResponse, isHead: Bool = false) {
        guard timer != nil else { return }
        state = .sending
        outbound.append("HTTP/1.1 \(response.status) \(reasons[response.status] ?? "Error")\r\nContent-Type: \(response.contentType)\r\n")
        outbound.append("Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nContent-Length: \(response.body.count)\r\n")
        if response.status == 405 { outbound.append("Allow: GET, HEAD\r\n") }
        outbound.append(keepsOpen ? "\r\n" : "Connection: close\r\n\r\n")
        if !isHead { outbound.append(response.body) }
        server.loop.set(timer!, after: sendTime)
        flush()
    }

    private func flush() {
        switch io.flush(&outbound) {
        case .moved: break
        case .wouldBlock: return io.wait(for: .writable)
        case .ended, .failed: return close()
        }
        guard keepsOpen, let timer else { return close() }
        outbound = ByteQueue()
        state = .reading
        server.loop.set(timer, after: idleTime)
        io.wait(for: .readable)
        // The next request may be here already; one at a time, so that one peer does not keep the process from the others.
        if !inbound.isEmpty { io.queueTurn(self) }
    }

    func turnEnded() {
        io.turnEnded()
        if case .reading = state { read() }
    }
}

private let headBytesMax = 16_384
private let bodyBytesMax = 65_536
/// How long a request may take to come, its answer to be made, and a response to be taken.
private let requestTime = Nanoseconds.seconds(10)
private let lastRequestTime = Nanoseconds.milliseconds(500)
private let answerTime = Nanoseconds.seconds(60)
private let sendTime = Nanoseconds.seconds(30)
private let idleTime = Nanoseconds.seconds(60)
private let reasons = [
    200: "OK", 202: "Accepted", 400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 409: "Conflict",
    415: "Unsupported Media Type", 422: "Unprocessable Content", 500: "Internal Server Error", 503: "Service Unavailable",
]
