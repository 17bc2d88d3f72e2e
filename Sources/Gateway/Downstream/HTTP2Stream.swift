import Authentication
import Bytes
import EventLoop
import Forwarding
import HTTP1
import HTTP2
import HTTPMessage
import Observability
import Routing

/// One request on an HTTP/2 connection, and the answer to it. Used again for another stream of its connection.
final class HTTP2Stream: PassageFrontEnd, TimerHandler {
    /// Holds its streams in turn, and lets go of them when it closes.
    private let connection: HTTP2Connection
    private let services: DownstreamServices
    /// Of the request that is under way, if one is.
    private var held: Passage?
    var passage: Passage {
        if let held { return held }
        let taken = services.passages.take(for: connection.origin, isHTTP2: true)
        held = taken
        return taken
    }

    private var id: Int32 = 0
    /// The client has sent all of its request.
    private var isRequestComplete = false
    private var requestTrailers: [UInt8] = []
    private var areTrailersWrong = false
    /// Body bytes that came before the request was let in.
    private var upload = ByteQueue()
    /// Body bytes for which the client has no new credit yet.
    private var uncredited = 0
    /// The body may go on; otherwise it is kept, or thrown away.
    private var takesBody = false
    private var discardsBody = false
    /// The upstream has the request to its end.
    private var hasSentAll = false
    private var awaitsContinue = false

    private var lingersUntil = Instant.never
    private var uploadProgress = Progress()
    private var downloadProgress = Progress()

    private var hasAnswerBegun = false
    private var answerFraming = BodyFraming.none
    private var isAnswerComplete = false
    /// The session has asked for more of the body than there was.
    private var isAwaited = false
    private var isBroken = false
    /// The client takes a byte now and then, to keep the answer from ending.
    private var isTooSlow = false
    /// What waits to be sent of the answer's body.
    private var body = ByteQueue()
    private(set) var answerTrailers = FieldBlock()

    /// Runs while more of the request's body is awaited.
    private var bodyTimer: Timer?
    /// Runs while the client gives no credit for what waits to be sent.
    private var stallTimer: Timer?

    init(_ connection: HTTP2Connection) {
        self.connection = connection
        services = connection.services
    }

    // MARK: - The request

    /// Takes a request whose header block is complete.
    func begin(_ id: Int32, _ builder: inout RequestHeadBuilder, endsStream: Bool) {
        self.id = id
        isRequestComplete = endsStream
        requestTrailers.removeAll(keepingCapacity: true)
        answerTrailers.removeAll()
        areTrailersWrong = false
        takesBody = false
        discardsBody = false
        hasSentAll = false
        awaitsContinue = false
        hasAnswerBegun = false
        isAnswerComplete = false
        isAwaited = false
        isBroken = false
        isTooSlow = false
        uncredited = 0
        uploadProgress.reset()
        downloadProgress.reset()
        lingersUntil = .never
        let passage = passage
        let context = passage.context
        do throws(MessageError) {
            try builder.finish(into: &context.head)
            passage.begin(for: self, of: connection.client, services)
            passage.extendedProtocol = builder.tunnelProtocol
            let envelope = try passage.readEnvelope()
            if passage.extendedProtocol != nil {
                guard passage.framing == .none, !endsStream else { throw .badPseudoField }
            } else if passage.framing == .none, !endsStream {
                passage.framing = .chunked
            }
            if endsStream, !passage.framing.isEmpty { throw .lengthMismatch }
            if envelope.expectation == .unknown { throw .unknownExpectation }
            awaitsContinue = envelope.expectation == .leaveToSend && !endsStream
        } catch {
            if passage.stage == .idle { passage.begin(for: self, of: connection.client, services) }
            return services.path.refuse(passage, .malformed(error))
        }
        services.path.enter(passage)
    }

    func received(_ bytes: Span<UInt8>) {
        uncredited += bytes.count
        guard !discardsBody else { return linger() }
        let passage = passage
        passage.bytesIn += UInt64(bytes.count)
        if passage.tunnel == nil, let most = passage.route?.bodyBytesMax, passage.bytesIn > most { return brokenBody(.bodyTooLarge) }
        let rate = services.settings.clientLimits.uploadRate
        let isFastEnough = uploadProgress.moved(bytes.count, at: services.loop.now, atLeast: rate)
        // Waited for again when it has credit again.
        uploadProgress.rests(at: services.loop.now)
        if !isOpenEnded, !isFastEnough { return brokenBody(.bodyTooSlow) }
        guard takesBody, upload.isEmpty, passage.exchange.isConnected, isTunnelOpen || passage.tunnel == nil else {
            return upload.append(bytes)
        }
        if passage.stream?.passUp(bytes) ?? true { passage.exchange.send(bytes) }
        sendOn()
    }

    /// Whether the client may be silent for as long as it likes: messages of gRPC, or a tunnel.
    private var isOpenEnded: Bool { passage.tunnel != nil || passage.isGRPC }
    private var isTunnelOpen: Bool { passage.stream?.isTunnel ?? false }

    func trailersBegan() { requestTrailers.removeAll(keepingCapacity: true) }

    /// A trailer is passed on unless it could change how the head is understood (RFC 9110 §6.5.1) or bears a name that the
    /// gateway vouches for.
    func received(trailer name: Span<UInt8>, _ value: Span<UInt8>) {
        guard (try? FieldCheck.check(name, value)) != nil, requestTrailers.count + name.count + value.count < Limits.trailerBytesMax else {
            areTrailersWrong = true
            return
        }
        guard FieldName(name) == .other, !services.settings.fieldFilter.isManaged(name) else { return }
        requestTrailers.append(field: name, value)
    }

    func isTrailerWrong() { areTrailersWrong = true }

    func requestEnded() {
        isRequestComplete = true
        bodyTimer?.clear()
        if areTrailersWrong { return brokenBody(.malformed(.badTrailer)) }
        sendOn()
    }

    /// The body turned out wrong on its way.
    private func brokenBody(_ refusal: Refusal) {
        guard !discardsBody, passage.stage != .idle else { return }
        passage.exchange.cancel()
        if hasAnswerBegun {
            services.path.finish(passage, isComplete: false)
            return connection.reset(id, StreamCode.cancel)
        }
        services.path.refuse(passage, refusal)
    }

    /// Gives the client credit for all that has gone on.
    private func credit() {
        guard uncredited > 0 else { return }
        connection.consume(id, uncredited)
        uncredited = 0
    }

    /// Sends on what has come of the body, and gives the client credit for more, as far as the upstream takes it.
    private func sendOn() {
        guard takesBody, !discardsBody, !hasSentAll else { return }
        let passage = passage
        guard passage.tunnel == nil ? !passage.framing.isEmpty : isTunnelOpen else { return }
        // While the upstream is waited for, the client is not.
        bodyTimer?.clear()
        guard passage.exchange.isConnected else { return }
        if !upload.isEmpty {
            var waiting = ByteQueue()
            swap(&waiting, &upload)
            if passage.stream?.passUp(waiting.readable) ?? true { passage.exchange.send(waiting.readable) }
        }
        if isRequestComplete {
            hasSentAll = true
            passage.exchange.endRequest(trailers: requestTrailers)
        } else if passage.exchange.takesUpload {
            credit()
            uploadProgress.waits(at: services.loop.now)
            // A tunnel is timed from its other end.
            if passage.tunnel == nil { arm(&bodyTimer, after: passage.isGRPC ? passage.streamTimeout : services.settings.timeouts.body) }
        }
    }

    private func arm(_ timer: inout Timer?, after nanoseconds: UInt64) {
        let armed = timer ?? Timer(self)
        timer = armed
        services.loop.set(armed, after: nanoseconds)
    }

    func fired(_ timer: Timer) {
        if timer === bodyTimer {
            return isAnswerComplete ? connection.reset(id, StreamCode.noError) : brokenBody(.bodyTimeout)
        }
        // A client that takes nothing of an answer.
        services.counters.add(.slowReaders)
        breakOff()
    }

    func breakOff() {
        giveUp()
        connection.reset(id, StreamCode.cancel)
    }

    /// nghttp2 has reset the stream, for the body that it saw.
    func wasMalformed() {
        guard passage.stage != .idle else { return }
        services.counters.add(.malformedRequests)
        passage.refusal = .malformed(.lengthMismatch)
        if !hasAnswerBegun { passage.status = 400 }
    }

    /// The stream is gone, and with it whoever waited for the answer.
    func abandoned() {
        if let passage = held {
            if !isAnswerComplete, passage.stage != .idle { services.counters.add(.clientsGone) }
            giveUp()
            passage.end()
            services.passages.give(passage)
            held = nil
        }
        upload.removeAll()
        body.removeAll()
        body.release(to: services.buffers)
        bodyTimer?.clear()
        stallTimer?.clear()
    }

    /// No stream follows.
    func retire() {
        // Timers hold whom they wake.
        bodyTimer?.cancel()
        stallTimer?.cancel()
    }

    private func giveUp() {
        let passage = passage
        guard passage.stage != .idle else { return }
        passage.exchange.cancel()
        if passage.status == 0 { passage.status = 499 }
        services.path.finish(passage, isComplete: false)
    }

    // MARK: - The answer

    func nextBody(atMost: Int) -> BodyStep {
        if isBroken { return .broken }
        if !body.isEmpty {
            let count = min(atMost, body.count)
            return .bytes(count, isLast: isAnswerComplete && count == body.count && answerTrailers.isEmpty)
        }
        guard isAnswerComplete else {
            isAwaited = true
            return .wait
        }
        return answerTrailers.isEmpty ? .bytes(0, isLast: true) : .trailers
    }

    func holdsBody(_ count: Int) -> Bool { body.count >= count }

    func moveBody(_ count: Int, to output: inout ByteQueue) {
        output.move(count, from: &body)
        let rate = services.settings.clientLimits.downloadRate
        isTooSlow = !downloadProgress.moved(count, at: services.loop.now, atLeast: rate)
        downloadProgress.rests(at: services.loop.now)
        if body.isEmpty {
            stallTimer?.clear()
            isTooSlow = false
            body.release(to: services.buffers)
        } else {
            // Only for want of credit the client is to blame, and not those before whom the stream has to wait.
            if connection.session.credit(id) <= count { downloadProgress.waits(at: services.loop.now) }
            armStallTimer()
        }
        if !isAnswerComplete, body.count <= Limits.sendQueueLowBytes { passage.exchange.resumeAnswer() }
    }

    private func armStallTimer() { arm(&stallTimer, after: isTooSlow ? 0 : services.settings.timeouts.write) }

    /// The last frame of the answer has gone out. What a client still sends is thrown away for a while, as in HTTP/1, before
    /// it is told that nobody listens (RFC 9113 §8.1): some drop an answer whose stream is reset.
    func answerSent() {
        guard !isRequestComplete else { return }
        discardsBody = true
        lingersUntil = services.loop.now.adding(Linger.longest)
        linger()
    }

    private func linger() {
        credit()
        arm(&bodyTimer, after: min(Linger.silence, lingersUntil.since(services.loop.now)))
    }

    // MARK: - PassageFrontEnd

    var takesAnswer: Bool { body.count < Limits.sendQueueHighBytes }

    func forwardingBegan() {
        takesBody = true
        if awaitsContinue {
            awaitsContinue = false
            ResponseHeadWriter.begin(100, &connection.block)
            connection.sendInterim(id)
        }
        sendOn()
    }

    func uploadMayContinue() { sendOn() }

    func received(interim head: borrowing ResponseHead) {
        guard !hasAnswerBegun else { return }
        ResponseHeadWriter.writeInterim(head, to: &connection.block)
        connection.sendInterim(id)
    }

    func received(head: borrowing ResponseHead, framing: BodyFraming) {
        let passage = passage
        if passage.extendedProtocol != nil, (200..<300).contains(head.status) {
            // To a client of HTTP/2 any success would mean that the tunnel is open.
            passage.exchange.cancel()
            return services.path.refuse(passage, .forwarding(.unexpectedAnswer("the upstream does not change to the protocol")))
        }
        passage.status = head.status
        hasAnswerBegun = true
        answerFraming = framing
        var block = FieldBlock()
        // Taken out while it is written to: each look at a field of an object is checked for overlap with another.
        swap(&block, &connection.block)
        ResponseHeadWriter.write(head, framing: framing, to: &block)
        services.path.addedFields.append(passage, to: &block)
        connection.sendHead(block, id, hasBody: !framing.isEmpty)
        swap(&block, &connection.block)
        if head.status == 101 {
            services.path.began(LiveStream(passage.opensWebSocket ? .webSocket : .tunnel), of: passage)
            sendOn()
        } else if head.isStream, passage.stream == nil {
            services.path.began(LiveStream(.events), of: passage)
        }
    }

    func send(body bytes: Span<UInt8>) {
        passage.bytesOut += UInt64(bytes.count)
        if body.isEmpty {
            body.prepare(from: services.buffers)
            if connection.session.credit(id) <= 0 { downloadProgress.waits(at: services.loop.now) }
            armStallTimer()
        }
        body.append(bytes)
        goOn()
    }

    /// The session asks by itself for what it has not asked for yet.
    private func goOn() {
        guard isAwaited else { return connection.queueTurn() }
        isAwaited = false
        connection.resume(id)
    }

    func received(trailer line: FieldTable.Line, in bytes: Span<UInt8>) {
        guard line.id == .other else { return }
        answerTrailers.append(bytes.extracting(line.name.range), bytes.extracting(line.value.range))
    }

    func answerEnded() {
        isAnswerComplete = true
        services.path.finish(passage, isComplete: true)
        goOn()
    }

    func endAnswer(of stream: LiveStream) {
        passage.exchange.cancel()
        guard hasAnswerBegun else { return services.path.refuse(passage, .token(.expired)) }
        // An answer of a given length cannot end before.
        if case .length = answerFraming { return answerFailed(.closedEarly) }
        if stream.kind == .grpc {
            answerTrailers.append("grpc-status", decimal: 16)
            answerTrailers.append("grpc-message", "the access token has expired")
        }
        answerEnded()
    }

    func closeTunnel() {
        guard let stream = passage.stream else { return }
        if let frame = stream.pendingClose { send(body: frame.span) }
        passage.exchange.leave(saying: stream.lastWord)
        discardsBody = true
        answerEnded()
    }

    func answerFailed(_ error: ForwardingError) {
        guard hasAnswerBegun else { return services.path.refuse(passage, .forwarding(error)) }
        // A part of the answer is with the client: only a reset tells that the rest is missing.
        services.counters.add(.upstreamFailures)
        services.path.finish(passage, isComplete: false)
        isBroken = true
        connection.reset(id, StreamCode.internalError)
    }

    func answer(_ answer: RefusalAnswer, to refusal: Refusal) {
        hasAnswerBegun = true
        isAnswerComplete = true
        discardsBody = true
        upload.removeAll()
        bodyTimer?.clear()
        var block = FieldBlock()
        swap(&block, &connection.block)
        ResponseHeadWriter.begin(answer.status, &block)
        block.append("date", TimeText.fieldDate(services.loop.wall))
        block.append(lines: answer.fields)
        services.path.addedFields.append(passage, to: &block)
        if answer.status == refusal.status { block.append("content-length", decimal: UInt64(answer.body.count)) }
        let hasBody = passage.context.head.method != .head && !answer.body.isEmpty
        if hasBody {
            body.append(answer.body)
            passage.bytesOut += UInt64(answer.body.count)
            armStallTimer()
        }
        connection.sendHead(block, id, hasBody: hasBody)
        swap(&block, &connection.block)
        services.path.finish(passage, isComplete: true)
    }
}
