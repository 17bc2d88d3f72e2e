import Bytes
import EventLoop
import Forwarding
import HTTP2
import HTTPMessage
import Observability
import TLS

/// A client's connection that speaks HTTP/2: carries frames between the socket and the session, and finds the stream that
/// each belongs to. What a request is, and what becomes of it, stands in ``HTTP2Stream``.
final class HTTP2Connection: EventHandler, TimerHandler, EndOfTurnHandler, ClientConnection, SessionHandler {
    private enum State {
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

    private var transport: Transport?
    private var watch: Watch?
    private var readTimer: Timer?
    /// Runs while the client takes nothing of what is sent.
    private var writeTimer: Timer?
    private var state = State.open
    private(set) var session: Session!
    private var inbound = ByteQueue()
    private var streams: [Int32: HTTP2Stream] = [:]
    /// Streams that are over, for the next ones.
    private var spare: [HTTP2Stream] = []
    private var builder: RequestHeadBuilder
    /// Whether a header block has begun and not ended.
    private var isInsideHead = false
    /// Whose trailers are being read.
    private var trailersOf: HTTP2Stream?
    /// What answers are written into, one after the other.
    var block = FieldBlock()

    private var requestCount = 0
    private var resets: Budget
    private var controlFrames: Budget
    /// Updates of credit that what was sent and asked for accounts for.
    private var expectedUpdates = expectedUpdatesPerFrame
    /// Requests that have come since the last turn of the loop ended.
    private var headsInTurn = 0
    private var headsPerTurn = headsPerTurnMost
    private var uptake = Uptake()
    private var isReadingPaused = false
    private var isTurnQueued = false
    private var lastReadMoved = false
    /// The client was told that this connection ends.
    private var isTakingLeave = false
    /// Until when requests are taken that were sent before the client could know.
    private var leavesAt = Instant.never
    private var lingersUntil = Instant.never

    /// - Parameter watch: of the transport's socket; it is handed to this object.
    init(_ transport: consuming Transport, _ watch: Watch, _ client: Client, contexts: ServerContexts?, _ services: DownstreamServices) {
        self.services = services
        self.client = client
        origin = client.origin
        self.contexts = contexts
        self.transport = consume transport
        self.watch = watch
        let limits = services.settings.clientLimits
        resets = Budget(limits.resets)
        builder = RequestHeadBuilder(limits.head)
        controlFrames = Budget(limits.controlFrames)
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
        if services.isDraining { takeLeave() }
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
        if timer === writeTimer {
            guard !uptake.goesOn(watch?.descriptor, services) else { return armWriteTimer() }
            services.counters.add(.slowReaders)
        }
        if timer === writeTimer || state == .closing { return close() }
        if isInsideHead {
            services.counters.add(.headsTimedOut)
            return endBadly(StreamCode.enhanceYourCalm)
        }
        guard isTakingLeave else { return streams.isEmpty ? takeLeave() : () }
        leavesAt = .never
        session.endAfterOpenStreams()
        queueTurn()
    }

    func turnEnded() {
        isTurnQueued = false
        headsInTurn = 0
        headsPerTurn = resets.isTouched(at: services.loop.now) ? headsPerTurnAfterResets : headsPerTurnMost
        guard state != .closed else { return }
        flush()
        if state != .closed, !isReadingPaused, !inbound.isEmpty { return advance() }
        if state != .closed, !isReadingPaused, lastReadMoved, transport!.hasPending { receive() }
    }

    /// Sends what there is at the end of this turn.
    func queueTurn() {
        guard !isTurnQueued else { return }
        isTurnQueued = true
        services.loop.atEndOfTurn(self)
    }

    // MARK: - Bytes

    private func receive() {
        // The queue is taken out, so that nothing done on the way meets it half read.
        var queue = ByteQueue()
        swap(&queue, &inbound)
        queue.prepare(from: services.buffers)
        let outcome = transport!.receive(to: &queue, minimum: max(2_048, queue.capacity))
        lastReadMoved = false
        if case .moved = outcome { lastReadMoved = true }
        feed(&queue)
        swap(&queue, &inbound)
        switch outcome {
        case .moved: if state == .closing { setLingerTimer() }
        case .wouldBlock: break
        case .ended where state == .closing && !session.output.isEmpty: setReadingPaused(true)
        case .ended, .failed: close()
        }
        guard state != .closed else { return }
        queueTurn()
    }

    /// Goes on with what was read before.
    private func advance() {
        var queue = ByteQueue()
        swap(&queue, &inbound)
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
            do {
                try session.fill()
            } catch {
                return close()
            }
            if session.output.isEmpty { break }
            let before = session.output.count
            switch transport!.flush(&session.output) {
            case .moved:
                writeTimer?.clear()
                uptake.hand(before)
            case .wouldBlock:
                uptake.hand(before - session.output.count)
                if writeTimer?.deadline ?? .never == .never { beginWaiting() }
                return updateInterest()
            case .ended, .failed: return close()
            }
        }
        guard state != .closed else { return }
        session.output.release(to: services.buffers)
        updateInterest()
        if state == .closing { endAfterFlush() } else if !session.isOpen { closeAfterFlush() }
    }

    private func beginWaiting() {
        guard let watch else { return }
        uptake.begin(watch.descriptor, at: services.loop.now)
        armWriteTimer()
    }

    private func armWriteTimer() {
        let timer = writeTimer ?? Timer(self)
        writeTimer = timer
        services.loop.set(timer, after: services.settings.uptakeCheck)
    }

    private func updateInterest() {
        // A client that takes no answers is not heard either.
        isReadingPaused = session.output.count >= Limits.sendQueueHighBytes
        want(.waiting(toRead: !isReadingPaused, toWrite: !session.output.isEmpty))
    }

    private func setReadingPaused(_ paused: Bool) {
        isReadingPaused = paused
        want(paused ? .writable : [.readable, .writable])
    }

    private func want(_ interest: Readiness) {
        guard var changed = watch else { return }
        services.loop.change(&changed, to: interest)
        watch = changed
    }

    // MARK: - Taking leave

    func abort() { close() }

    func closeIfIdle() { takeLeave() }
    func drain() { takeLeave() }

    /// Tells the client to come again on another connection. What is under way, and what is already on its way, is answered.
    private func takeLeave() {
        guard state == .open, !isTakingLeave else { return }
        isTakingLeave = true
        session.announceEnd()
        leavesAt = services.loop.now.adding(leaveNotice)
        services.loop.set(readTimer!, at: leavesAt)
        queueTurn()
    }

    /// All is said that will be said.
    private func closeAfterFlush() {
        guard state == .open else { return }
        state = .closing
        for stream in Array(streams.values) { stream.abandoned() }
        streams = [:]
        readTimer?.clear()
        queueTurn()
    }

    private func endAfterFlush() {
        guard lingersUntil == .never else { return }
        // Bytes that are not read when the socket closes make the system reset the connection, and the last answers with it.
        transport?.sayGoodbye()
        if let watch { Socket.endWriting(watch.descriptor) }
        lingersUntil = services.loop.now.adding(Linger.longest)
        setLingerTimer()
        want(.readable)
    }

    private func setLingerTimer() {
        guard lingersUntil != .never else { return }
        services.loop.set(readTimer!, at: min(lingersUntil, services.loop.now.adding(leaveNotice)))
    }

    private func close() {
        guard state != .closed else { return }
        state = .closed
        for stream in Array(streams.values) { stream.abandoned() }
        streams = [:]
        spare = []
        if let watch { services.loop.end(watch) }
        watch = nil
        transport?.sayGoodbye()
        transport = nil
        readTimer?.cancel()
        readTimer = nil
        writeTimer?.cancel()
        writeTimer = nil
        session.output.removeAll()
        session.output.release(to: services.buffers)
        services.closed(client)
        services.connectionEnded(self)
    }

    // MARK: - What a stream asks

    func sendHead(_ stream: Int32, hasBody: Bool) {
        session.submit(response: block, stream, hasBody: hasBody)
        queueTurn()
    }

    func sendInterim(_ stream: Int32) {
        session.submit(interim: block, stream)
        queueTurn()
    }

    func resume(_ stream: Int32) {
        session.resume(stream)
        queueTurn()
    }

    func reset(_ stream: Int32, _ code: UInt32) {
        session.reset(stream, code)
        queueTurn()
    }

    func consume(_ stream: Int32, _ count: Int) {
        session.consume(stream, count)
        queueTurn()
    }

    // MARK: - What the session tells

    func headBegan(_ stream: Int32, isFirst: Bool) {
        isInsideHead = true
        if let readTimer { services.loop.set(readTimer, after: services.settings.timeouts.head) }
        trailersOf = isFirst ? nil : streams[stream]
        guard isFirst else { return trailersOf?.trailersBegan() ?? () }
        headsInTurn += 1
        builder.reset()
    }

    func field(_ name: Span<UInt8>, _ value: Span<UInt8>, _ stream: Int32) -> Bool {
        if let trailersOf {
            trailersOf.received(trailer: name, value)
            return state == .open
        }
        let decoded = builder.add(name, value)
        // What is compressed into a few bytes costs its sender nothing: nobody needs many times the size that was announced.
        if decoded > services.settings.clientLimits.head.bytes * 4 { endFlood() }
        return state == .open && headsInTurn <= headsPerTurn
    }

    func invalidField(_ stream: Int32) {
        if let known = streams[stream] { known.isTrailerWrong() } else { builder.refuse() }
    }

    func headEnded(_ stream: Int32, isFirst: Bool, endsStream: Bool) {
        isInsideHead = false
        trailersOf = nil
        readTimer?.clear()
        if let readTimer, leavesAt != .never { services.loop.set(readTimer, at: leavesAt) }
        guard state == .open else { return }
        if let known = streams[stream] {
            if endsStream { known.requestEnded() }
            return
        }
        guard isFirst else { return }
        requestCount += 1
        expectedUpdates += expectedUpdatesPerFrame
        if requestCount >= services.settings.clientLimits.requestsPerConnection {
            if !isTakingLeave { services.counters.add(.lastRequests) }
            takeLeave()
        }
        let new = spare.popLast() ?? HTTP2Stream(self)
        streams[stream] = new
        new.begin(stream, &builder, endsStream: endsStream)
        queueTurn()
    }

    func received(body: Span<UInt8>, _ stream: Int32) { streams[stream]?.received(body) }
    func bodyEnded(_ stream: Int32) { streams[stream]?.requestEnded() }

    func closed(_ stream: Int32, code: UInt32) {
        guard let known = streams.removeValue(forKey: stream) else { return }
        known.abandoned()
        if spare.count < spareStreamsMax { spare.append(known) }
        guard streams.isEmpty, state == .open else { return }
        if isTakingLeave {
            session.endAfterOpenStreams()
        } else if let readTimer {
            services.loop.set(readTimer, after: services.settings.timeouts.idle)
        }
    }

    func nextBody(_ stream: Int32, atMost: Int) -> BodyStep { streams[stream]?.nextBody(atMost: atMost) ?? .broken }

    func holdsBody(_ stream: Int32, _ count: Int) -> Bool { streams[stream]?.holdsBody(count) ?? false }
    func requestNotSent(_ stream: Int32) {}

    func moveBody(_ stream: Int32, _ count: Int, to output: inout ByteQueue) {
        expectedUpdates += expectedUpdatesPerFrame
        streams[stream]?.moveBody(count, to: &output)
    }

    func trailers(_ stream: Int32, _ body: (borrowing FieldBlock) -> Void) {
        if let known = streams[stream] { body(known.answerTrailers) }
    }

    func received(_ frame: ControlFrame) {
        // Who has said hello may take its time with the first request.
        if frame == .settings, requestCount == 0, !isInsideHead, !isTakingLeave, let readTimer {
            services.loop.set(readTimer, after: services.settings.timeouts.idle)
        }
        switch frame {
        case .windowUpdate where expectedUpdates > 0: expectedUpdates -= 1
        case .reset: if !resets.take(at: services.loop.now) { endFlood() }
        default: if !controlFrames.take(at: services.loop.now) { endFlood() }
        }
    }

    func sentEnd(_ stream: Int32) { streams[stream]?.answerSent() }
    func sentReset(_ stream: Int32, code: UInt32) {
        switch code {
        case StreamCode.protocolError, StreamCode.streamClosed, StreamCode.flowControl, StreamCode.refused:
            // What a client has us reset costs it as little as what it resets.
            if !resets.take(at: services.loop.now) { endFlood() }
        default: break
        }
        guard code == StreamCode.protocolError else { return }
        if let known = streams[stream] { known.wasMalformed() } else { services.counters.add(.malformedRequests) }
    }
    func received(goAway lastStream: Int32, code: UInt32) { isTakingLeave = true }

    private func endFlood() {
        guard state == .open else { return }
        services.counters.add(.floodsEnded)
        endBadly(StreamCode.enhanceYourCalm)
    }

    private func endBadly(_ code: UInt32) {
        session.terminate(code)
        closeAfterFlush()
    }
}

private let expectedUpdatesPerFrame = 4
/// Requests of one connection after which the others of its worker are asked.
private let headsPerTurnMost = 16
/// The same for a client that resets many.
private let headsPerTurnAfterResets = 1
private let leaveNotice: UInt64 = 1_000_000_000
private let spareStreamsMax = 32
