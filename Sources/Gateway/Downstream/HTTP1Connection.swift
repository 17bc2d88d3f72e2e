import Time
import Bytes
import Configuration
import Connection
import Forwarding
import HTTP1
import HTTPMessage
import Observability
import Policy
import RateLimiting
import Routing
import System
import TLS

/// A client's connection that speaks HTTP/1: reads its requests one after the other, and sends the responses.
///
/// Read with the request path: this file is the connection itself, and what it sends; `+Reading` takes bytes from the client,
/// `+Request` makes requests of them, `+Response` writes.
final class HTTP1Connection: EventHandler, TimerHandler, EndOfTurnHandler, ClientConnection {
    enum State {
        /// Between requests, or within a head.
        case readingHead
        case exchanging
        /// The last response is being sent; what still comes is thrown away. Then the connection closes, or lingers.
        case flushing
        /// All has been sent, and this side is ended; what the client still sends is thrown away.
        case lingering
        /// A response was broken off: the connection is reset at the end of the turn.
        case broken
        case closed
    }

    /// The response to the present request.
    enum Response {
        case none
        /// Its head and more stand in the send queue alone, and nothing of it has gone out: another one may take its place.
        case held(BodyFraming)
        case sending(BodyFraming)

        /// How its body is sent; nil before its head.
        var framing: BodyFraming? {
            switch self {
            case .none: nil
            case .held(let framing), .sending(let framing): framing
            }
        }
    }

    /// What is left of the request's body.
    enum RequestBody {
        case complete
        case length(UInt64)
        case chunked(ChunkedDecoder)
        /// No body: all that comes goes through a tunnel.
        case tunnel
    }

    let services: DownstreamServices
    let client: Client
    /// Held because the session calls into it; a listener that closes lets go of it.
    private let contexts: ServerContexts?

    let io: ConnectionIO
    /// What the client owes: a head, more of a body, its next request, its leave.
    private var readTimer: Timer?
    var state = State.readingHead
    var inbound = ByteQueue()
    var outbound = ByteQueue()
    var parser: RequestParser
    private let origin: DownstreamOrigin
    /// Of the request that is under way, if one is.
    private var held: Passage?
    var passage: Passage {
        if let held { return held }
        let taken = services.passages.take(for: origin, isHTTP2: false)
        held = taken
        return taken
    }

    var requestBody = RequestBody.complete
    var requestTrailers: [UInt8] = []
    var responseTrailers: [UInt8] = []
    var bodyUse = BodyUse.withheld
    var response = Response.none
    var keepAlive = true
    /// A connection that was accepted just now may have its first request on the way.
    var requestCount = 0
    /// How the request's body comes, and how what is sent is taken.
    var upload = MinimumRate()
    private let sendProgress: SendProgress
    var isReadingPaused = false
    /// Requests wait because the client has not taken the responses before them.
    var wasStoppedByResponses = false
    /// The client has ended its side while requests of it wait for room for their responses.
    var hasPeerEnded = false
    private var lingersUntil = Instant.never

    /// - Parameter io: is handed to this object by its caller.
    init(
        _ io: ConnectionIO, _ client: Client, _ origin: DownstreamOrigin, contexts: ServerContexts?,
        _ services: DownstreamServices
    ) {
        self.services = services
        self.client = client
        self.contexts = contexts
        self.io = io
        self.origin = origin
        parser = RequestParser(services.settings.clientLimits.head)
        sendProgress = SendProgress(services.settings.sendPace)
        readTimer = Timer(self)
        setTimer(after: services.settings.timeouts.head)
    }

    /// Reads what may have come with the end of the handshake.
    func begin() {
        if client.isTLS { receive() }
    }

    // MARK: - Events

    func handle(_ readiness: Readiness) {
        switch state {
        case .closed: return
        case .readingHead, .exchanging, .flushing, .lingering, .broken:
            if readiness.allowsWriting { flush() }
            guard state != .closed, readiness.allowsReading else { return }
            if isReadingPaused {
                // Nothing more is read now, but a connection that is gone is gone.
                if readiness.hasFailed { abort(isPeerGone: true) }
                return
            }
            receive()
        }
    }

    func fired(_ timer: Timer) {
        if sendProgress.owns(timer) {
            guard !sendProgress.isMakingProgress(io, on: services.loop) else { return }
            services.counters.add(.slowReaders)
            return abort()
        }
        switch state {
        // The responses before are not taken yet: only then the client is waited for.
        case .readingHead where !outbound.isEmpty: setTimer(after: services.settings.timeouts.idle)
        case .readingHead:
            // Between requests a connection just ends; in the middle of a head its client is told.
            guard parser.isInsideHead || !inbound.isEmpty else { return close() }
            var queue = exchange(&inbound, with: ByteQueue())
            parser.keepRefused(queue, in: &passage.context.head)
            swap(&queue, &inbound)
            refuseHead(.headTimeout)
        case .exchanging: if !isRequestComplete, takesBody { brokenBody(.bodyTimeout) }
        case .flushing, .lingering: close()
        case .broken, .closed: return
        }
    }

    func turnEnded() {
        io.turnEnded()
        guard state != .closed else { return }
        if state == .broken { return abort() }
        flush()
        // What was read already, or lies decrypted in the session, gives no event.
        let mayProcess = state == .readingHead || state == .exchanging && takesBody && !isRequestComplete && passageTakesUpload
        if mayProcess, !inbound.isEmpty || hasPeerEnded || io.holdsMore { advance() }
    }

    /// Does the rest of the work at the end of this turn.
    func queueTurn() { io.queueTurn(self) }

    // MARK: - Sending

    /// Sends what waits, as far as the client takes it.
    private func flush() {
        guard state != .closed else { return }
        var queue = exchange(&outbound, with: ByteQueue())
        let before = queue.count
        let outcome = io.flush(&queue)
        let waiting = queue.count
        if waiting == 0 { queue.release(to: services.buffers) }
        swap(&queue, &outbound)
        sendProgress.recordWrite(before - waiting)
        // What TLS was given once is on its way, though the queue still has it.
        if before > 0, case .held(let framing) = response { response = .sending(framing) }
        switch outcome {
        case .moved: if before > 0 { sendProgress.writeCompleted() }
        case .wouldBlock: writeBlocked()
        case .ended, .failed: return abort()
        }
        io.wait(toRead: !isReadingPaused, toWrite: waiting > 0)
        if waiting <= Limits.sendQueueLowBytes {
            if state == .exchanging { passage.exchange.resumeResponse() }
            if wasStoppedByResponses {
                wasStoppedByResponses = false
                queueTurn()
            }
        }
        if outbound.isEmpty {
            if state == .readingHead, !parser.isInsideHead { givePassageBack() }
            // What went on above may have closed the connection.
            if state == .flushing { endAfterFlush() }
        }
    }

    private func givePassageBack() {
        guard let held, held.state == .idle else { return }
        services.passages.give(held)
        self.held = nil
    }

    /// Sends many bytes at once, past the queue where it is empty; what the client does not take now waits.
    func sendDirectly(_ bytes: Span<UInt8>) {
        var sent = 0
        if outbound.isEmpty {
            while sent < bytes.count {
                guard case .moved(let count) = io.send(bytes.extracting(sent..<bytes.count)) else { break }
                sent += count
                sendProgress.recordWrite(count)
            }
        }
        if sent < bytes.count {
            withOutbound { queue in
                queue.prepare(from: services.buffers)
                queue.append(bytes.extracting(sent..<bytes.count))
            }
        }
        queueTurn()
    }

    /// No request follows: the connection ends when all is sent.
    func closeAfterFlush() {
        state = .flushing
        clearTimer()
        queueTurn()
    }

    private func endAfterFlush() {
        guard case .complete = requestBody, inbound.isEmpty else {
            // Bytes that are not read when the socket closes make the system reset the connection, and the response with it.
            io.endWriting()
            state = .lingering
            _ = exchange(&inbound, with: ByteQueue())
            setReadingPaused(false)
            lingersUntil = services.loop.now.adding(Linger.longest)
            setLingerTimer()
            return
        }
        close()
    }

    func setLingerTimer() {
        services.loop.set(readTimer!, at: min(lingersUntil, services.loop.now.adding(Linger.silence)))
    }

    func abort() { abort(isPeerGone: false) }

    /// Ends the connection in the middle of a response, in a way that cannot be taken for its end.
    func abort(isPeerGone: Bool) {
        if state == .exchanging {
            passage.exchange.cancel()
            if isPeerGone {
                if passage.status == 0 { passage.status = 499 }
            }
            services.path.finish(passage, isComplete: false)
        }
        // In clear, an end of the connection is the end of a response: one that is cut short must not look whole.
        close(.cutShort)
    }

    func close(_ ending: ConnectionIO.Ending = .orderly) {
        guard state != .closed else { return }
        state = .closed
        io.close(ending)
        readTimer?.cancel()
        readTimer = nil
        sendProgress.end()
        var queue = exchange(&inbound, with: ByteQueue())
        queue.removeAll()
        queue.release(to: services.buffers)
        swap(&queue, &outbound)
        queue.removeAll()
        queue.release(to: services.buffers)
        givePassageBack()
        services.closed(client)
        services.registry?.connectionEnded(self)
    }

    // MARK: - What it holds

    var account: ClientAccount { client.account }

    var heldBytes: Int { connectionBytes + inbound.capacity + outbound.capacity + (held.map { $0.heldBytes } ?? 0) }

    // MARK: - Taking leave

    var carriesStream: Bool { state == .exchanging && held?.stream != nil }

    /// Ends the connection if it is between requests.
    func closeIfIdle() {
        guard state == .readingHead, requestCount > 0, !parser.isInsideHead, inbound.isEmpty else { return }
        if outbound.isEmpty { close() } else { closeAfterFlush() }
    }

    // MARK: - Waiting

    var takesBody: Bool { bodyUse.takesBody }

    var isTunnel: Bool {
        if case .tunnel = requestBody { true } else { false }
    }

    var isRequestComplete: Bool {
        if case .complete = requestBody { true } else { false }
    }

    func setTimer(after length: Nanoseconds) {
        if let readTimer { services.loop.set(readTimer, after: length) }
    }

    func clearTimer() { readTimer?.clear() }

    private func writeBlocked() {
        sendProgress.writeBlocked(io, self, on: services.loop)
    }

    func updateInterest() { io.wait(toRead: !isReadingPaused, toWrite: !outbound.isEmpty) }
}

/// What OpenSSL and this program keep of a connection of HTTP/1 in any case.
private let connectionBytes = 24_576
