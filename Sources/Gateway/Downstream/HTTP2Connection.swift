import Time
import Bytes
import Configuration
import Connection
import Forwarding
import HTTP2
import HTTPMessage
import Observability
import RateLimiting
import System
import TLS

/// A client's connection that speaks HTTP/2: carries frames between the socket and the session, and finds the stream that
/// each belongs to (`+Session`). What a request is, and what becomes of it, stands in ``HTTP2Stream``.
final class HTTP2Connection: EventHandler, TimerHandler, EndOfTurnHandler, ClientConnection {
    /// WINDOW_UPDATE frames that a frame with something in it accounts for.
    static let updatesPerFrame = 4

    enum State {
        case open
        /// The last frame is on its way; what still comes is thrown away.
        case closing
        case closed
    }

    let services: DownstreamServices
    let client: Client
    let origin: DownstreamOrigin
    /// Held because the TLS session calls into it; a listener that closes lets go of it.
    private let contexts: ServerContexts?

    private let io: ConnectionIO
    var readTimer: Timer?
    var state = State.open
    private(set) var session: Session!
    private var inbound = ByteQueue()
    let streams = StreamTable()
    let builder: RequestHeadBuilder
    /// The stream whose header block has begun and not ended.
    var headOf: StreamID?
    /// Whose trailers are being read.
    var trailersOf: HTTP2Stream?
    /// What heads are written into, one after the other.
    private var block = FieldBlock()
    /// The stream of the response whose head stands in `block` until the turn ends. If the response fails before, the client
    /// gets another in its place.
    private var heldHead: (id: StreamID, hasBody: Bool)?

    var requestCount = 0
    var resets: EventBudget
    var controlFrames: EventBudget
    /// WINDOW_UPDATE frames expected in return for DATA and HEADERS; any beyond these are charged to the budget of control frames.
    var expectedUpdates = updatesPerFrame
    /// Requests that have come since the last turn of the loop ended.
    var headsInTurn = 0
    var headsPerTurn = headsPerTurnMost
    private let sendProgress: SendProgress
    private var isReadingPaused = false
    /// The client was told that this connection ends.
    var isShuttingDown = false
    /// Until when requests are taken that were sent before the client could know.
    var shutdownAt = Instant.never
    private var lingersUntil = Instant.never
    /// For its uploads, when there are any.
    private(set) lazy var windows = WindowBudget(bytes: windowBytes, of: services.windows)

    /// - Parameter io: is handed to this object by its caller.
    init(
        _ io: ConnectionIO, _ client: Client, _ origin: DownstreamOrigin, contexts: ServerContexts?,
        _ services: DownstreamServices
    ) {
        self.services = services
        self.client = client
        self.origin = origin
        self.contexts = contexts
        self.io = io
        sendProgress = SendProgress(services.settings.sendPace)
        let limits = services.settings.clientLimits
        resets = EventBudget(limits.resets)
        builder = RequestHeadBuilder(limits.head)
        controlFrames = EventBudget(limits.controlFrames)
        var announced = SessionSettings()
        announced.streamsMax = UInt32(clamping: limits.streams)
        announced.continuationsMax = limits.continuations
        announced.headerListBytesMax = UInt32(clamping: limits.head.bytes)
        announced.takesTunnels = services.settings.offersTunnels
        session = Session(.server, announced, outputBytesMax: Limits.sendQueueHighBytes, handler: self)
        readTimer = Timer(self)
        services.loop.set(readTimer!, after: services.settings.timeouts.head)
    }

    /// Reads what may have come with the end of the handshake.
    func begin() {
        if services.isDraining { beginGracefulShutdown() }
        queueTurn()
        receive()
    }

    // MARK: - Events

    func handle(_ readiness: Readiness) {
        guard state != .closed else { return }
        if readiness.allowsWriting { flush() }
        if !inbound.isEmpty { queueTurn() }
        guard state != .closed, readiness.allowsReading else { return }
        // What was read before comes first; the turn's end goes on with it.
        if isReadingPaused || !inbound.isEmpty {
            if readiness.hasFailed { close() }
            return
        }
        receive()
    }

    func fired(_ timer: Timer) {
        if sendProgress.owns(timer) {
            guard !sendProgress.isMakingProgress(io, on: services.loop) else { return }
            services.counters.add(.slowReaders)
            return close()
        }
        if state == .closing { return close() }
        if headOf != nil {
            services.counters.add(.headsTimedOut)
            return endBadly(StreamCode.enhanceYourCalm)
        }
        guard isShuttingDown else { return streams.isEmpty ? beginGracefulShutdown() : () }
        shutdownAt = .never
        session.endAfterOpenStreams()
        queueTurn()
    }

    func turnEnded() {
        io.turnEnded()
        headsInTurn = 0
        headsPerTurn = resets.isTouched(at: services.loop.now) ? headsPerTurnAfterResets : headsPerTurnMost
        guard state != .closed else { return }
        flush()
        if state != .closed, !isReadingPaused, !inbound.isEmpty { return advance() }
        if state != .closed, !isReadingPaused, io.holdsMore { receive() }
    }

    /// Sends what there is at the end of this turn.
    func queueTurn() { io.queueTurn(self) }

    // MARK: - Bytes

    private func receive() {
        // The queue is taken out, so that nothing done on the way meets it half read.
        var queue = exchange(&inbound, with: ByteQueue())
        queue.prepare(from: services.buffers)
        let outcome = io.receive(to: &queue, minimum: max(2_048, queue.capacity))
        feed(&queue)
        swap(&queue, &inbound)
        switch outcome {
        case .moved: if state == .closing { setLingerTimer() }
        case .wouldBlock: break
        case .ended where state == .closing && session.outputBytes > 0: setReadingPaused(true)
        case .ended, .failed: close()
        }
        guard state != .closed else { return }
        queueTurn()
    }

    /// Goes on with what was read before.
    private func advance() {
        var queue = exchange(&inbound, with: ByteQueue())
        feed(&queue)
        swap(&queue, &inbound)
        if state != .closed { queueTurn() }
    }

    /// Hands the session what was read. Behind many requests it stops: other connections have their turn first.
    private func feed(_ queue: inout ByteQueue) {
        do {
            if state == .open, !queue.isEmpty { try session.receive(&queue) }
            if state == .open, !session.wantsRead { closeAfterFlush() }
        } catch {
            // What nghttp2 cannot tell its peer in a frame any more.
            close()
        }
        if state != .open { queue.removeAll() }
        queue.release(to: services.buffers)
    }

    private func flush() {
        while state != .closed {
            sendHeldHead()
            do {
                try session.fill()
            } catch {
                return close()
            }
            let before = session.outputBytes
            if before == 0 { break }
            switch session.withOutput({ io.flush(&$0) }) {
            case .moved:
                sendProgress.writeCompleted()
                sendProgress.recordWrite(before)
            case .wouldBlock:
                sendProgress.recordWrite(before - session.outputBytes)
                sendProgress.writeBlocked(io, self, on: services.loop)
                return updateInterest()
            case .ended, .failed: return close()
            }
        }
        guard state != .closed else { return }
        session.withOutput { $0.release(to: services.buffers) }
        updateInterest()
        if state == .closing { endAfterFlush() } else if !session.isOpen { closeAfterFlush() }
    }

    private func updateInterest() {
        // A client that takes no responses is not heard either.
        let wasPaused = isReadingPaused
        isReadingPaused = session.outputBytes >= Limits.sendQueueHighBytes
        // What lies decrypted in the session meanwhile gives no event.
        if wasPaused, !isReadingPaused { queueTurn() }
        io.wait(toRead: !isReadingPaused, toWrite: session.outputBytes > 0)
    }

    private func setReadingPaused(_ paused: Bool) {
        isReadingPaused = paused
        io.wait(toRead: !paused, toWrite: true)
    }

    // MARK: - What it holds

    var account: ClientAccount { client.account }

    var heldBytes: Int {
        connectionBytes + inbound.capacity + session.outputBytes + streams.all.reduce(0) { $0 + $1.heldBytes }
    }

    // MARK: - Taking leave

    var carriesStream: Bool { streams.all.contains(where: \.carriesStream) }

    func abort() { close() }

    func closeIfIdle() { beginGracefulShutdown() }
    func drain() { beginGracefulShutdown() }

    /// Tells the client to come again on another connection. What is under way, and what is already on its way, is answered.
    func beginGracefulShutdown() {
        guard state == .open, !isShuttingDown else { return }
        isShuttingDown = true
        session.announceEnd()
        shutdownAt = services.loop.now.adding(shutdownNotice)
        services.loop.set(readTimer!, at: shutdownAt)
        queueTurn()
    }

    /// All is said that will be said.
    func closeAfterFlush() {
        guard state == .open else { return }
        state = .closing
        abandonStreams()
        readTimer?.clear()
        queueTurn()
    }

    private func abandonStreams() {
        for stream in streams.endAll() {
            stream.abandoned()
            stream.retire()
        }
        heldHead = nil
        // Whatever else would hold a stream: each holds this object.
        trailersOf = nil
        headOf = nil
    }

    private func endAfterFlush() {
        guard lingersUntil == .never else { return }
        // Bytes that are not read when the socket closes make the system reset the connection, and the last responses with it.
        io.endWriting()
        lingersUntil = services.loop.now.adding(Linger.longest)
        setLingerTimer()
        io.wait(for: .readable)
    }

    private func setLingerTimer() {
        guard lingersUntil != .never else { return }
        services.loop.set(readTimer!, at: min(lingersUntil, services.loop.now.adding(shutdownNotice)))
    }

    private func close() {
        guard state != .closed else { return }
        state = .closed
        abandonStreams()
        streams.retireSpare()
        io.close(.orderly)
        readTimer?.cancel()
        readTimer = nil
        sendProgress.end()
        session.withOutput { output in
            output.removeAll()
            output.release(to: services.buffers)
        }
        services.closed(client)
        services.registry?.connectionEnded(self)
    }

    // MARK: - What a stream asks

    /// Lends what the next head is written into; a head that waits there goes on its way first. Taken out while it is written
    /// to (decision 011).
    func takeBlock() -> FieldBlock {
        sendHeldHead()
        let taken = exchange(&block, with: FieldBlock())
        return taken
    }

    func putBack(_ taken: consuming FieldBlock) { block = taken }

    /// Has the head that was put back wait for the end of this turn.
    func holdHead(_ stream: StreamID, hasBody: Bool) {
        heldHead = (stream, hasBody)
        queueTurn()
    }

    private func sendHeldHead() {
        guard let heldHead else { return }
        var block = exchange(&self.block, with: FieldBlock())
        session.submit(response: block, heldHead.id, hasBody: heldHead.hasBody)
        swap(&block, &self.block)
        self.heldHead = nil
    }

    /// Forgets the head of a response that has not gone out; false where it has.
    func dropHead(of stream: StreamID) -> Bool {
        guard heldHead?.id == stream else { return false }
        heldHead = nil
        return true
    }

    func sendHead(_ block: borrowing FieldBlock, _ stream: StreamID, hasBody: Bool) {
        session.submit(response: block, stream, hasBody: hasBody)
        queueTurn()
    }

    func sendInterim(_ block: borrowing FieldBlock, _ stream: StreamID) {
        session.submit(interim: block, stream)
        queueTurn()
    }

    func resume(_ stream: StreamID) {
        session.resume(stream)
        queueTurn()
    }

    func reset(_ stream: StreamID, _ code: UInt32) {
        _ = dropHead(of: stream)
        session.reset(stream, code)
        queueTurn()
    }

    func setWindow(_ stream: StreamID, _ bytes: Int) {
        session.setWindow(stream, bytes)
        queueTurn()
    }

    func consume(_ stream: StreamID, _ count: Int) {
        session.consume(stream, count)
        queueTurn()
    }
}

/// Requests of one connection after which the others of its worker are asked.
private let headsPerTurnMost = 16
/// The same for a client that resets many.
private let headsPerTurnAfterResets = 1
/// What OpenSSL, nghttp2 and this program keep of a connection in any case.
private let connectionBytes = 65_536
/// Two large uploads at once go at full speed, the others as they can.
private let windowBytes = 16 << 20
private let shutdownNotice = Nanoseconds.seconds(1)
