import Time
import Bytes
import HTTP1
import HTTP2
import HTTPMessage
import System

/// One exchange on a connection of HTTP/2 to an upstream.
final class UpstreamHTTP2Stream: UpstreamChannel, TimerHandler {
    let connection: UpstreamHTTP2Connection
    var server: UpstreamServer { connection.server }
    private(set) var reached: RequestReach
    private(set) var response = Response.awaited

    /// Held while its exchange is under way.
    private var client: (any UpstreamClient)?
    private var shape = RequestShape(method: .other, framing: .none, upgrade: nil)
    private var silence = UpstreamTimeouts.Silence()
    /// Nil until the request is with the session, and once the stream is over.
    private var id: StreamID?
    private var submittedAt = Instant.never
    private var block = FieldBlock()
    private var upload = ByteQueue()
    /// The part of the body that has gone out, while it is short and may have to go out again; nil once it may not.
    private var held: ByteQueue? = ByteQueue()
    private var isUploadComplete = false
    private var requestTrailers = FieldBlock()
    private var timer: Timer?
    private var isStream = false
    private var interimCount = 0

    /// What has come while the client takes no more; no more than the stream's window.
    private var download = ByteQueue()
    /// Body bytes for which the server's flow-control window has not been opened again yet.
    private var unacknowledged = 0
    private var window: StreamWindow
    private var isPaused = false
    private var turn = Turn.none
    private var trailers: [(name: [UInt8], value: [UInt8])] = []

    /// How far the response has come from the session. The client may be behind, by what waits in `download`.
    enum Response {
        /// No head but interim ones.
        case awaited
        /// The head has come.
        case body
        /// All of it has come.
        case ended
        /// There will be no more.
        case failed(ForwardingError)
        /// The client has been told the end, or has left.
        case over
    }

    /// What is to be done at the end of the turn.
    private enum Turn {
        case none
        /// Hand on what waits.
        case delivery
        /// As ``delivery``, after the client has been told that the send queue has room.
        case drainAndDelivery
    }

    /// Whether the head of the response has come: fields that come now are trailers.
    var hasHead: Bool {
        switch response {
        case .awaited: false
        case .body, .ended, .failed, .over: true
        }
    }

    private var isOver: Bool { if case .over = response { true } else { false } }

    init(_ connection: UpstreamHTTP2Connection) {
        self.connection = connection
        reached = .sent(isReused: connection.hasAnswered)
        window = StreamWindow(size: connection.server.settings.windowAtFirst)
    }

    // MARK: - The request

    func begin(_ client: any UpstreamClient, _ shape: RequestShape, _ silence: UpstreamTimeouts.Silence) {
        self.client = client
        self.shape = shape
        self.silence = silence
        isUploadComplete = shape.framing.isEmpty
    }

    func isLastTry() {
        silence.ofTry = nil
        progressed()
    }

    func send(head: OutgoingHead) throws(ForwardingError) {
        do {
            try head.write(shape, isTLS: connection.isTLS, to: &block)
        } catch {
            end(resets: false)
            throw error
        }
        if connection.isOpen { submit() }
    }

    func connectionOpened() { if !block.isEmpty { submit() } }

    private func submit() {
        guard let id = connection.submit(block, hasBody: !isUploadComplete || !upload.isEmpty || !requestTrailers.isEmpty, self) else {
            return failLater(.closedEarly, isUnsent: true)
        }
        self.id = id
        submittedAt = connection.loop.now
        progressed()
    }

    var queuedBytes: Int { upload.count }

    func send(_ bytes: Span<UInt8>) {
        guard !isOver else { return }
        upload.append(bytes)
        wakeSending()
    }

    func endRequest(trailers lines: [UInt8]) {
        guard !isOver else { return }
        requestTrailers.append(lines: lines)
        isUploadComplete = true
        wakeSending()
    }

    private func wakeSending() {
        progressed()
        if let id { connection.resume(id) }
    }

    func moveUnsent(to other: any UpstreamChannel) {
        guard let other = other as? UpstreamHTTP2Stream else { preconditionFailure("a group has channels of one kind") }
        swap(&block, &other.block)
        swap(&upload, &other.upload)
        swap(&requestTrailers, &other.requestTrailers)
        other.isUploadComplete = isUploadComplete
        if other.connection.isOpen { other.submit() }
    }

    func nextBody(atMost: Int) -> BodyStep {
        if !upload.isEmpty {
            let count = min(atMost, upload.count)
            return .bytes(count, isLast: isUploadComplete && count == upload.count && requestTrailers.isEmpty)
        }
        guard isUploadComplete else { return .wait }
        return requestTrailers.isEmpty ? .bytes(0, isLast: true) : .trailers
    }

    func holdsBody(_ count: Int) -> Bool { upload.count >= count }

    func moveBody(_ count: Int, to output: inout ByteQueue) {
        keepForRetry(count)
        output.move(count, from: &upload)
        progressed()
        guard upload.count < Limits.sendQueueLowBytes else { return }
        // Told at the turn's end: the session does not like to be written to while it writes.
        queue(.drainAndDelivery)
    }

    /// Keeps a copy of what goes out next, as long as that is short.
    private func keepForRetry(_ count: Int) {
        guard var kept = held.take() else { return }
        guard kept.count + count <= Limits.heldBodyBytesMax else { return }
        kept.append(upload.readable.extracting(0..<count))
        held = consume kept
    }

    func lendTrailers(_ body: (borrowing FieldBlock) -> Void) { body(requestTrailers) }

    // MARK: - The response

    func received(_ head: borrowing ResponseHead, endsStream: Bool) throws(MessageError) {
        reached = .responseBegan
        progressed()
        if head.status < 200 {
            interimCount += 1
            guard head.status != 101, !endsStream else { throw .badStatusLine }
            if interimCount <= Limits.interimResponsesMax { client?.received(interim: head, on: self) }
            return
        }
        response = .body
        held = nil
        isStream = head.isStream
        progressed()
        var framing = try BodyFraming.of(head, to: shape.method)
        if endsStream, framing != .none { framing = .length(0) }
        // An empty body may still have trailers, as of a call of gRPC that failed: END_STREAM alone is its end.
        if !endsStream, framing == .length(0) { framing = .close }
        client?.received(head: head, framing: framing, on: self)
        // Nothing follows that the client would want to wait for.
        if !endsStream, framing.isEmpty {
            complete()
            queue(.delivery)
        }
    }

    func received(_ bytes: Span<UInt8>) {
        guard !isOver, hasHead else { return }
        unacknowledged += bytes.count
        progressed()
        guard !isPaused, download.isEmpty else { return download.append(bytes) }
        client?.received(body: bytes, on: self)
        acknowledgeBody()
    }

    func received(trailers builder: borrowing ResponseHeadBuilder) throws(MessageError) {
        try builder.trailers { line, bytes in
            trailers.append((bytes.extracting(line.name.range).copied(), bytes.extracting(line.value.range).copied()))
        }
    }

    func responseEnded() {
        complete()
        deliver()
    }

    private func complete() { if case .body = response { response = .ended } }

    /// The session is through with the stream.
    func closed(code: UInt32) {
        id = nil
        switch response {
        case .awaited, .body, .failed: break
        case .ended, .over: return
        }
        if code == StreamCode.refused, !hasHead { reached = .refused(isKept: takesUploadBack()) }
        broken(.closedEarly)
    }

    /// Puts what has gone out of the body back before the rest of it; false when that is no longer there.
    private func takesUploadBack() -> Bool {
        guard var whole = held.take() else { return false }
        whole.append(upload.readable)
        swap(&whole, &upload)
        return true
    }

    /// The server took leave before the request could go out.
    func neverSent() {
        id = nil
        reached = .refused(isKept: true)
        broken(.closedEarly)
    }

    /// The connection is gone.
    func lost(_ error: ForwardingError, isUnsent: Bool) {
        id = nil
        if isUnsent { isUnsentNow() }
        broken(error)
    }

    /// The request never set out.
    private func isUnsentNow() {
        switch reached {
        case .sent(let isReused): reached = .notSent(isReused: isReused)
        case .notSent, .refused, .responseBegan: break
        }
    }

    /// There will be no more of the response.
    func broken(_ error: ForwardingError) {
        switch response {
        case .awaited, .body: break
        case .ended, .failed, .over: return
        }
        guard !download.isEmpty else { return fail(error) }
        response = .failed(error)
        deliver()
    }

    private func failLater(_ error: ForwardingError, isUnsent: Bool) {
        if isUnsent { isUnsentNow() }
        response = .failed(error)
        queue(.delivery)
    }

    private func fail(_ error: ForwardingError) {
        let client = self.client
        end(resets: true)
        client?.failed(error, on: self)
    }

    /// Hands on what waits, as far as the client takes it.
    func deliver() {
        let turn = self.turn
        self.turn = .none
        guard !isOver else { return }
        if turn == .drainAndDelivery {
            client?.sendQueueDrained(on: self)
            guard !isOver else { return }
        }
        if !isPaused, !download.isEmpty {
            let waiting = exchange(&download, with: ByteQueue())
            client?.received(body: waiting.readable, on: self)
        }
        // Also of what was handed on before the client asked for a pause.
        acknowledgeBody()
        guard download.isEmpty else { return }
        switch response {
        case .awaited, .body, .over: return
        case .failed(let error): return fail(error)
        case .ended: break
        }
        for (name, value) in trailers { tell(trailer: name, value) }
        let client = self.client
        end(resets: !isUploadComplete || !upload.isEmpty)
        client?.responseEnded(on: self)
    }

    private func tell(trailer name: [UInt8], _ value: [UInt8]) {
        var bytes = name
        bytes += value
        let line = FieldTable.Line(
            id: FieldName(name.span), name: ByteRange(0..<name.count), value: ByteRange(name.count..<bytes.count))
        client?.received(trailer: line, in: bytes.span, on: self)
    }

    /// Lets the server send as much more as the client has taken.
    private func acknowledgeBody() {
        guard unacknowledged > 0, !isPaused, download.isEmpty, let id else { return }
        connection.consume(id, unacknowledged)
        let count = unacknowledged
        unacknowledged = 0
        if case .body = response, let size = window.consumed(count, most: server.settings.streamWindow, server.windows) {
            connection.setWindow(id, size)
        }
    }

    // MARK: - Pausing and ending

    func pauseReading() {
        isPaused = true
        timer?.clear()
    }

    func resumeReading() {
        guard isPaused else { return }
        isPaused = false
        progressed()
        queue(.delivery)
    }

    private func queue(_ work: Turn) {
        guard !isOver else { return }
        let isQueued = turn != .none
        if turn != .drainAndDelivery { turn = work }
        if !isQueued { connection.queueTurn(for: self) }
    }

    func cancel() { end(resets: true) }
    func leave(saying bytes: [UInt8]) { end(resets: true) }

    private func end(resets: Bool) {
        guard !isOver else { return }
        response = .over
        client = nil
        window.end(server.windows)
        timer?.cancel()
        timer = nil
        let id = self.id
        self.id = nil
        connection.leave(self, id, resets: resets)
    }

    // MARK: - Waiting

    func fired(_ timer: Timer) {
        // A connection on which nothing comes at all is of no use to others either.
        if connection.receivedAt < submittedAt { connection.closeAfterStreams() }
        fail(.responseTimedOut)
    }

    /// As for a connection of HTTP/1: the timer runs while the server has something to do.
    private func progressed() {
        guard !isOver, !isPaused, connection.isOpen else { return }
        let armed = timer ?? Timer(self)
        timer = armed
        if isStream {
            connection.loop.set(armed, after: silence.stream)
        } else if isUploadComplete || !upload.isEmpty {
            connection.loop.set(armed, after: hasHead ? silence.answer : silence.ofTry ?? silence.answer)
        } else {
            armed.clear()
        }
    }
}
