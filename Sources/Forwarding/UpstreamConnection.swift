import Bytes
import EventLoop
import HTTP1
import HTTPMessage
import TLS

/// One connection to one server of an upstream: sends a request, reads its answer, then waits in the pool for the next.
///
/// It never calls its client from within a call of the client's, but for the failure to connect at all.
final class UpstreamConnection: EventHandler, TimerHandler, EndOfTurnHandler {
    enum State {
        case connecting, handshaking, idle, busy, closed
    }

    let server: UpstreamServer
    private let loop: EventLoop
    private(set) var state = State.connecting
    /// Whether an exchange before the present one was answered here.
    private(set) var isReused = false
    /// Whether any byte of the present answer has come.
    private(set) var hasAnswerBegun = false
    weak var client: (any UpstreamConnectionClient)?

    private(set) var address: SocketAddress?
    private var transport: Transport?
    private var watch: Watch?
    private var timer: Timer?
    private var outbound = ByteQueue()
    private var inbound = ByteQueue()
    private var unsent = ByteQueue()
    private var parser = ResponseParser()
    private var head = ResponseHead()
    private var body = Body.none
    private var requestMethod = Method.other
    private var isReadingPaused = false
    private var isFlushQueued = false
    private var isRequestSent = false
    /// Whether any byte of the present request may have gone out.
    private var mayHaveSent = false
    /// Whether the last read gave anything, so that more may lie in the TLS session.
    private var lastReadMoved = false
    private var allowsReuse = false
    private var interimCount = 0
    /// The connection is broken or at its end: no exchange follows.
    private var isLast = false
    /// How the server's side ended, when that was read before the client took all that came before it.
    private var end: Transfer?

    private enum Body {
        case none
        case head
        case length(UInt64)
        case chunked(ChunkedDecoder)
        case untilClose
    }

    init(to server: UpstreamServer, on loop: EventLoop) {
        self.server = server
        self.loop = loop
    }

    /// Starts to connect. Failures are told later, from the loop.
    func connect(to address: SocketAddress) throws(SystemError) {
        let socket = try Socket.connect(to: address)
        watch = try loop.watch(socket.raw, for: [.readable, .writable], self)
        transport = Transport(socket)
        self.address = address
        // From here on the connection has to be closed: the timer keeps it alive.
        timer = Timer(self)
        loop.set(timer!, after: server.group.settings.connectTimeout)
    }

    /// Begins an exchange. The request follows through ``write(_:)``.
    func begin(_ client: any UpstreamConnectionClient, method: Method) {
        self.client = client
        requestMethod = method
        hasAnswerBegun = false
        isRequestSent = false
        mayHaveSent = false
        allowsReuse = false
        interimCount = 0
        body = .head
        if state == .idle {
            state = .busy
            progressed()
        }
    }

    /// Lets `body` append to what is sent at the end of this turn.
    func write<Failure: Error>(_ body: (inout ByteQueue) throws(Failure) -> Void) throws(Failure) {
        try body(&outbound)
        queueFlush()
    }

    /// Sends body bytes: at once where nothing waits before them and there are many, else at the end of the turn.
    func send(_ bytes: Span<UInt8>) {
        outbound.append(bytes)
        queueFlush()
    }

    /// The request is complete; what is queued is its end.
    func requestEnded() {
        isRequestSent = true
        progressed()
    }

    var queuedBytes: Int { outbound.count }

    /// Stops reading the answer until ``resumeReading()``, because the client takes no more.
    func pauseReading() {
        guard !isReadingPaused, state == .busy else { return }
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
        if !isFlushQueued { queueFlush() }
    }

    /// Whether the request never set out: the connection did not open, or was found closed when it was to be used again.
    private(set) var hasUnsentRequest = false

    /// Moves a request that never set out to another connection.
    func moveUnsent(to other: UpstreamConnection) {
        swap(&unsent, &other.outbound)
        other.isRequestSent = isRequestSent
        other.queueFlush()
    }

    /// The exchange is given up. Where nothing of it has gone out, the connection serves the next one, even one that is still
    /// being made: clients that come and go at once cost the upstream nothing.
    func giveUp() {
        guard state != .closed, !mayHaveSent, !hasAnswerBegun, watch != nil, !isLast, server.isAt(address), server.hasRoomForIdle else {
            return close()
        }
        client = nil
        body = .none
        outbound.removeAll()
        if state == .busy { becomeIdle() }
        server.becameIdle(self)
    }

    /// Ends the connection; nobody is told.
    func close() {
        guard state != .closed else { return }
        state = .closed
        client = nil
        if let watch { loop.end(watch) }
        watch = nil
        transport?.sayGoodbye()
        transport = nil
        timer?.cancel()
        timer = nil
        inbound = ByteQueue()
        outbound = ByteQueue()
        server.closed(self)
    }

    // MARK: - Events

    func handle(_ readiness: Readiness) {
        switch state {
        case .connecting:
            guard let raw = transport?.raw, !readiness.isDisjoint(with: [.writable, .failed]) else { return }
            let code = Socket.pendingError(raw)
            guard code == 0 else { return fail(.connectFailed(SystemError.text(code))) }
            connected()
        case .handshaking: handshake()
        case .idle:
            // A TLS server may send session tickets. Anything else that was not asked for ends the connection.
            var unasked = ByteQueue()
            if transport!.receive(to: &unasked, minimum: 1) != .wouldBlock { close() }
        case .busy:
            if readiness.contains(.writable) { flush() }
            if isReadingPaused, !readiness.isDisjoint(with: .failed) { endWatch() }
            guard state == .busy, !isReadingPaused, !readiness.isDisjoint(with: [.readable, .peerClosed, .failed]) else { return }
            receive()
        case .closed: return
        }
    }

    func fired(_ timer: Timer) {
        switch state {
        case .connecting: fail(.connectTimedOut)
        case .handshaking: fail(.tlsFailed("the handshake took too long"))
        case .idle: close()
        case .busy: fail(.answerTimedOut)
        case .closed: return
        }
    }

    func turnEnded() {
        isFlushQueued = false
        guard state == .busy else { return }
        flush()
        if state == .busy, !isReadingPaused, !inbound.isEmpty || end != nil || watch == nil || lastReadMoved && transport!.hasPending {
            receive()
        }
    }

    // MARK: - Connecting

    private func connected() {
        let settings = server.group.settings
        guard let tls = settings.tls else { return opened() }
        guard let raw = transport?.raw, let session = tls.context.makeSession(raw, host: settings.tlsHost(of: server.address)) else {
            return fail(.tlsFailed("no session could be made"))
        }
        transport?.secure(with: session)
        state = .handshaking
        handshake()
    }

    private func handshake() {
        guard let outcome = transport?.handshake() else { return }
        switch outcome {
        case .done: opened()
        case .wantsRead: want(.readable)
        case .wantsWrite: want([.readable, .writable])
        case .failed(let reason): fail(.tlsFailed(reason))
        }
    }

    private func opened() {
        server.answered(address)
        guard client != nil else { return becomeIdle() }
        state = .busy
        progressed()
        flush()
    }

    // MARK: - Sending

    private func queueFlush() {
        guard !isFlushQueued else { return }
        isFlushQueued = true
        loop.atEndOfTurn(self)
    }

    private func flush() {
        guard state == .busy, !outbound.isEmpty else { return }
        let before = outbound.count
        let outcome = transport!.flush(&outbound)
        // A connection that takes nothing from the start is waited for just as long as one that stops.
        if outbound.count < before || timer?.deadline == .never { progressed() }
        switch outcome {
        case .moved:
            mayHaveSent = true
            updateInterest()
            client?.sendQueueDrained(on: self)
        case .wouldBlock:
            mayHaveSent = true
            updateInterest()
            if outbound.count < Limits.sendQueueLowBytes { client?.sendQueueDrained(on: self) }
        case .ended, .failed:
            if !mayHaveSent { return fail(.closedEarly) }
            // The answer may be there already: a server that has seen enough closes after it.
            outbound.removeAll()
            isLast = true
            receive()
            if state == .busy, !hasAnswerBegun { fail(.closedEarly) }
        }
    }

    // MARK: - Receiving

    private func receive() {
        // The queue is taken out, so that nothing that the client does meets it half read.
        var queue = ByteQueue()
        swap(&queue, &inbound)
        if queue.isEmpty { queue.prepare(from: server.group.buffers) }
        var outcome = end ?? .moved(0)
        if end == nil, queue.count < Limits.streamBytes {
            outcome = transport!.receive(to: &queue, minimum: min(Limits.streamBytes, max(4_096, queue.capacity - queue.count)))
        }
        lastReadMoved = false
        if case .moved = outcome {
            lastReadMoved = true
            progressed()
        }
        if outcome == .ended || isFailure(outcome) { isLast = true }
        if !queue.isEmpty, state == .busy { process(&queue) }
        switch outcome {
        case .moved, .wouldBlock: break
        case .ended, .failed:
            end = outcome
            // What was read before the end goes out first.
            if !isReadingPaused { ended(isClean: outcome == .ended) }
        }
        guard state != .closed else { return }
        queue.release(to: server.group.buffers)
        swap(&queue, &inbound)
        if state == .busy, !isReadingPaused, watch == nil || lastReadMoved && transport!.hasPending { queueFlush() }
    }

    /// Reads what has come: heads, body, trailers, as far as the client takes them.
    private func process(_ queue: inout ByteQueue) {
        // An answer that came before its question belongs to nobody.
        guard mayHaveSent else { return fail(.closedEarly) }
        hasAnswerBegun = true
        while state == .busy, !queue.isEmpty, !isReadingPaused {
            do {
                switch body {
                case .none:
                    // Bytes beyond the answer: nobody can say what they belong to.
                    return close()
                case .head:
                    guard case .complete(let consumed) = try parser.parse(queue, into: &head) else { return }
                    queue.drop(consumed)
                    try headComplete(isQueueEmpty: queue.isEmpty)
                case .length(let remaining):
                    let count = Int(min(UInt64(queue.count), remaining))
                    body = .length(remaining - UInt64(count))
                    client?.received(body: queue.readable.extracting(0..<count), on: self)
                    queue.drop(count)
                    if UInt64(count) == remaining { answerComplete(isQueueEmpty: queue.isEmpty) }
                case .chunked(var decoder):
                    let event = try decoder.next(queue.readable)
                    body = .chunked(decoder)
                    switch event {
                    case .needMore(let consumed):
                        queue.drop(consumed)
                        return
                    case .data(let range, let consumed):
                        client?.received(body: queue.readable.extracting(range), on: self)
                        queue.drop(consumed)
                    case .trailer(let line, let consumed):
                        client?.received(trailer: line, in: queue.readable, on: self)
                        queue.drop(consumed)
                    case .end(let consumed):
                        queue.drop(consumed)
                        answerComplete(isQueueEmpty: queue.isEmpty)
                    }
                case .untilClose:
                    client?.received(body: queue.readable, on: self)
                    queue.removeAll()
                }
            } catch {
                return fail(.badAnswer(error))
            }
        }
    }

    private func headComplete(isQueueEmpty: Bool) throws(MessageError) {
        if head.status == 101 { return fail(.unexpectedAnswer("the upstream switches protocols, which was not asked for")) }
        if head.status < 200 {
            interimCount += 1
            guard interimCount <= Limits.interimResponsesMax else { return fail(.unexpectedAnswer("too many interim answers")) }
            client?.received(head: head, on: self)
            return
        }
        try head.checkConnectionOptions()
        let framing = try BodyFraming.of(head, to: requestMethod)
        allowsReuse = head.allowsReuse && framing != .close
        client?.received(head: head, on: self)
        guard state == .busy else { return }
        switch framing {
        case .none, .length(0): answerComplete(isQueueEmpty: isQueueEmpty)
        case .length(let count): body = .length(count)
        case .chunked: body = .chunked(ChunkedDecoder())
        case .close: body = .untilClose
        }
    }

    private func answerComplete(isQueueEmpty: Bool) {
        body = .none
        let client = self.client
        self.client = nil
        // Both sides agree that the exchange is over, and nothing unasked-for was read: only then is there another one.
        if allowsReuse, watch != nil, server.isAt(address), isRequestSent, !isLast, outbound.isEmpty, isQueueEmpty, !transport!.hasPending,
            server.hasRoomForIdle
        {
            isReused = true
            becomeIdle()
            server.becameIdle(self)
        } else {
            close()
        }
        client?.answerEnded(on: self)
    }

    private func becomeIdle() {
        state = .idle
        isReadingPaused = false
        updateInterest()
        loop.set(timer!, after: server.group.settings.idleTimeout)
    }

    private func isFailure(_ transfer: Transfer) -> Bool {
        if case .failed = transfer { true } else { false }
    }

    private func ended(isClean: Bool) {
        guard state == .busy else { return }
        if case .untilClose = body, isClean {
            allowsReuse = false
            return answerComplete(isQueueEmpty: true)
        }
        fail(.closedEarly)
    }

    private func fail(_ error: ForwardingError) {
        let hasOpened = state == .busy
        if !hasOpened { server.refused(address, at: loop.now) }
        if !hasOpened || isReused && !mayHaveSent {
            hasUnsentRequest = true
            swap(&unsent, &outbound)
        }
        let client = self.client
        close()
        client?.failed(error, on: self)
    }

    // MARK: - Waiting

    /// The answer timeout runs while the server has something to do: to take what is sent, or to answer a whole request.
    private func progressed() {
        guard state == .busy, !isReadingPaused else { return }
        guard isRequestSent || !outbound.isEmpty else {
            timer?.clear()
            return
        }
        loop.set(timer!, after: server.group.settings.answerTimeout)
    }

    private func updateInterest() {
        var interest: Readiness = isReadingPaused ? [] : .readable
        if !outbound.isEmpty { interest.insert(.writable) }
        want(interest)
    }

    /// Stops watching a connection that is broken but not read to its end: its event would come again and again.
    private func endWatch() {
        if let watch { loop.end(watch) }
        watch = nil
    }

    private func want(_ interest: Readiness) {
        guard var changed = watch else { return }
        loop.change(&changed, to: interest)
        watch = changed
    }
}
