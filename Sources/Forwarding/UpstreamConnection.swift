import Time
import Bytes
import Connection
import HTTP1
import HTTPMessage
import System
import TLS

/// One connection of HTTP/1 to one server of an upstream: sends a request, reads its response, then waits in the pool for the
/// next; or becomes a tunnel, and ends with it.
///
/// This file opens, sends and ends; `+Response` receives.
final class UpstreamConnection: UpstreamChannel, OpeningClient, TimerHandler, EndOfTurnHandler {
    enum State {
        case opening, idle, busy, closed
    }

    let server: UpstreamServer
    let loop: EventLoop
    var state = State.opening
    /// Whether an exchange before the present one was answered here.
    var isReused = false
    /// Held while its exchange is under way.
    var client: (any UpstreamClient)?

    let address: SocketAddress
    /// Those of the server, looked up once.
    /// Of the server's name, when this connection was begun.
    private let resolutions: Int
    private var opening: OpeningConnection?
    /// Nil while it opens.
    private(set) var io: ConnectionIO?
    var timer: Timer?
    var outbound = ByteQueue()
    var inbound = ByteQueue()
    private var unsent = ByteQueue()
    var parser: ResponseParser
    /// Kept for its storage.
    var head = ResponseHead()
    var body = Body.none
    var shape = RequestShape(method: .other, framing: .none, upgrade: nil)
    private var silence = UpstreamTimeouts.Silence()
    var isReadingPaused = false
    var upload = Upload.open
    var delivery = Delivery.nothing
    var following = Following.undecided
    /// Silence is no fault: the response is a stream, or a tunnel.
    var isStream = false
    var interimCount = 0
    /// How the server's side ended, when that was read before the client took all that came before it.
    var end: Transfer?

    /// What the client still has to say.
    enum Upload {
        /// More of the request, or of what goes through the tunnel.
        case open
        /// All of it has been handed over.
        case complete
        /// As ``complete``; our side of the tunnel is closed once what waits has gone out.
        case closing
    }

    /// How far the present exchange has come on the wire.
    enum Delivery {
        /// Nothing of the request has gone out.
        case nothing
        /// Something of the request may have gone out.
        case request
        /// Something of the response has come.
        case response
        /// The connection failed before it could take anything: the request can go elsewhere.
        case returned
    }

    /// Whether another exchange may follow the present one.
    enum Following {
        /// The response has not said so.
        case undecided
        case allowed
        /// The connection is broken or at its end.
        case impossible
    }

    enum Body {
        case none
        case head
        case length(UInt64)
        case chunked(ChunkedDecoder)
        case untilClose
        case tunnel
    }

    /// Starts to connect. Failures are told later, from the loop.
    ///
    /// - Parameter preamble: what the PROXY protocol says first.
    init(to server: UpstreamServer, at address: SocketAddress, preamble: [UInt8], on loop: EventLoop) throws(SystemError) {
        self.server = server
        self.loop = loop
        self.address = address
        resolutions = server.resolutions
        parser = ResponseParser(bytesMax: server.settings.headBytesMax)
        opening = try OpeningConnection(to: server, at: address, preamble: preamble, on: loop, for: self)
    }

    func begin(_ client: any UpstreamClient, _ shape: RequestShape, _ silence: UpstreamTimeouts.Silence) {
        self.client = client
        self.shape = shape
        self.silence = silence
        upload = .open
        delivery = .nothing
        following = .undecided
        isStream = false
        interimCount = 0
        body = .head
        if state == .idle {
            state = .busy
            progressed()
        }
    }

    func isLastTry() {
        silence.ofTry = nil
        progressed()
    }

    func send(head: OutgoingHead) throws(ForwardingError) {
        var queue = exchange(&outbound, with: ByteQueue())
        do {
            try head.write(shape, to: &queue)
        } catch {
            close()
            throw error
        }
        swap(&queue, &outbound)
        queueFlush()
        // The timer is set when it goes out.
        if shape.framing.isEmpty { upload = .complete }
    }

    func send(_ bytes: Span<UInt8>) {
        let isChunked = shape.framing == .chunked
        withOutbound { queue in if isChunked { ChunkWriter.append(bytes, to: &queue) } else { queue.append(bytes) } }
        queueFlush()
    }

    func endRequest(trailers: [UInt8]) {
        if shape.framing == .chunked { withOutbound { ChunkWriter.appendEnd(trailers: trailers, to: &$0) } }
        if shape.upgrade != nil {
            upload = .closing
            // The server has the last word, and no longer than for any response.
            isStream = false
        } else {
            upload = .complete
        }
        queueFlush()
        progressed()
    }

    var queuedBytes: Int { outbound.count }

    func pauseReading() {
        guard !isReadingPaused, state == .busy, client != nil else { return }
        isReadingPaused = true
        timer?.clear()
        updateInterest()
    }

    func resumeReading() {
        guard isReadingPaused else { return }
        isReadingPaused = false
        progressed()
        updateInterest()
        // What has been read or decrypted already gives no event.
        queueFlush()
    }

    var reached: RequestReach {
        switch delivery {
        case .returned: .notSent(isReused: isReused)
        case .nothing, .request: .sent(isReused: isReused)
        case .response: .responseBegan
        }
    }

    func moveUnsent(to other: any UpstreamChannel) {
        guard let other = other as? UpstreamConnection else { preconditionFailure("a group has channels of one kind") }
        var queue = exchange(&unsent, with: ByteQueue())
        swap(&queue, &other.outbound)
        other.upload = upload
        other.queueFlush()
    }

    /// The exchange is given up. Where nothing of it has gone out, the connection serves the next one, even one that is still
    /// being made: clients that come and go at once cost the upstream nothing.
    func cancel() {
        guard state != .closed, delivery == .nothing, isWatched || opening != nil, following != .impossible, canBeKept else {
            return close()
        }
        client = nil
        body = .none
        withOutbound { $0.removeAll() }
        if state == .busy { becomeIdle() }
        server.checkIn(self)
    }

    func leave(saying bytes: [UInt8]) {
        guard state == .busy, following != .impossible, isWatched else { return close() }
        client = nil
        withOutbound { $0.append(bytes) }
        upload = .closing
        body = .untilClose
        if isReadingPaused {
            isReadingPaused = false
            updateInterest()
        }
        loop.set(timer!, after: leaveTime)
        queueFlush()
    }

    var canBeKept: Bool {
        server.keepsConnections && (server.resolutions == resolutions || server.isAt(address)) && server.hasRoomForIdle
    }

    /// Ends the connection; nobody is told.
    func close() {
        guard state != .closed else { return }
        if state == .opening { server.leftOpen(address) }
        state = .closed
        client = nil
        opening?.cancel()
        opening = nil
        io?.close(.orderly)
        timer?.cancel()
        timer = nil
        inbound = ByteQueue()
        outbound = ByteQueue()
        server.closed(self)
    }

    // MARK: - Events

    func handle(_ readiness: Readiness) {
        switch state {
        case .opening: return
        case .idle:
            // A TLS server may send session tickets. Anything else that was not asked for ends the connection.
            var unasked = ByteQueue()
            if io?.receive(to: &unasked, minimum: 1) != .wouldBlock { close() }
        case .busy:
            if readiness.allowsWriting { flush() }
            if isReadingPaused, readiness.hasFailed { io?.endWatch() }
            guard state == .busy, !isReadingPaused, readiness.allowsReading else { return }
            receive()
        case .closed: return
        }
    }

    func fired(_ timer: Timer) {
        switch state {
        case .opening: return
        case .idle: close()
        case .busy: fail(.responseTimedOut)
        case .closed: return
        }
    }

    func turnEnded() {
        io?.turnEnded()
        guard state == .busy else { return }
        flush()
        if state == .busy, !isReadingPaused, !inbound.isEmpty || end != nil || needsRead {
            receive()
        }
    }

    // MARK: - Opening

    func opened(_ io: ConnectionIO) {
        opening = nil
        self.io = io
        timer = Timer(self)
        server.answered(address)
        guard client != nil else { return becomeIdle() }
        state = .busy
        progressed()
        flush()
        updateInterest()
    }

    func openingFailed(_ error: ForwardingError) {
        opening = nil
        fail(error)
    }

    // MARK: - Sending

    /// What waits to be sent is taken out while it is changed (decision 011).
    @inline(__always) private func withOutbound(_ change: (inout ByteQueue) -> Void) {
        var queue = exchange(&outbound, with: ByteQueue())
        change(&queue)
        swap(&queue, &outbound)
    }

    var isWatched: Bool { io?.isWatched ?? false }
    var needsRead: Bool { io?.needsRead ?? false }

    /// While it opens nothing can be sent: then the opening's end does it.
    func queueFlush() { io?.queueTurn(self) }

    private func flush() {
        guard state == .busy, let io else { return }
        var queue = exchange(&outbound, with: ByteQueue())
        let before = queue.count
        let outcome = io.flush(&queue)
        let waiting = queue.count
        swap(&queue, &outbound)
        guard before > 0 else { return endWriting() }
        // What has gone out in part is not to be sent again.
        if waiting < before { requestMayHaveGoneOut() }
        // A connection that takes nothing from the start is waited for just as long as one that stops.
        if waiting < before || timer?.deadline == .never { progressed() }
        switch outcome {
        case .moved:
            requestMayHaveGoneOut()
            io.wait(toRead: !isReadingPaused, toWrite: false)
            client?.sendQueueDrained(on: self)
            endWriting()
        case .wouldBlock:
            requestMayHaveGoneOut()
            updateInterest()
            if waiting < Limits.sendQueueLowBytes { client?.sendQueueDrained(on: self) }
        case .ended, .failed:
            if delivery == .nothing { return fail(.closedEarly) }
            // The response may be there already: a server that has seen enough closes after it.
            withOutbound { $0.removeAll() }
            following = .impossible
            receive()
            if state == .busy, delivery != .response { fail(.closedEarly) }
        }
    }

    private func requestMayHaveGoneOut() { if delivery == .nothing { delivery = .request } }

    /// The end of what a client has to say within a tunnel.
    private func endWriting() {
        guard upload == .closing, outbound.isEmpty, state == .busy, isWatched else { return }
        upload = .complete
        io?.endWriting()
    }

    // MARK: - The end

    func fail(_ error: ForwardingError) {
        let hasOpened = state == .busy
        if !hasOpened { server.refused(address, at: loop.now) }
        if !hasOpened || isReused && delivery == .nothing {
            delivery = .returned
            var queue = exchange(&outbound, with: ByteQueue())
            swap(&queue, &unsent)
        }
        let client = self.client
        close()
        client?.failed(error, on: self)
    }

    // MARK: - Waiting

    /// The response timeout runs while the server has something to do: to take what is sent, or to answer a whole request.
    func progressed() {
        guard state == .busy, !isReadingPaused, client != nil else { return }
        if isStream {
            loop.set(timer!, after: silence.stream)
        } else if upload != .open || !outbound.isEmpty {
            loop.set(timer!, after: awaitsHead ? silence.ofTry ?? silence.answer : silence.answer)
        } else {
            timer?.clear()
        }
    }

    private var awaitsHead: Bool { if case .head = body { true } else { false } }

    func updateInterest() { io?.wait(toRead: !isReadingPaused, toWrite: !outbound.isEmpty) }
}

/// How long a tunnel's last word may take, and the server's answer to it.
private let leaveTime = Nanoseconds.seconds(5)
