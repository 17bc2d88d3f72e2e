import Time
import Connection
import Authentication
import Bytes
import Configuration
import Forwarding
import HTTP1
import HTTP2
import HTTPMessage
import Observability
import Policy
import Routing
import System

/// One request on an HTTP/2 connection, and the response to it (`+Response`). Used again for another stream of its connection.
final class HTTP2Stream: TimerHandler {
    /// Holds its streams in turn, and lets go of them when it closes.
    let connection: HTTP2Connection
    let services: DownstreamServices
    /// Of the request that is under way, if one is.
    private var held: Passage?
    var passage: Passage {
        if let held { return held }
        let taken = services.passages.take(for: connection.origin, isHTTP2: true)
        held = taken
        return taken
    }

    var id = StreamID(0)
    /// How much of the request has come.
    enum RequestProgress {
        case open
        /// The client has sent all of it.
        case complete
        /// And the upstream has it to its end.
        case handedOn
    }

    enum Response {
        case none
        /// Its head has gone to the session.
        case begun
        /// All of it has come; what waits is sent.
        case complete
        /// There will be no more of it: the stream is reset.
        case broken
    }

    private var request = RequestProgress.open
    /// The client has sent all of its request.
    var isRequestComplete: Bool { request != .open }
    private var requestTrailers: [UInt8] = []
    private var areTrailersWrong = false
    /// Body bytes that came before the request was let in.
    private var upload = ByteQueue()
    /// Body bytes for which the client's flow-control window has not been opened again yet.
    private var unacknowledged = 0
    private var window = StreamWindow()
    var bodyUse = BodyUse.withheld

    var lingersUntil = Instant.never
    private var uploadProgress = MinimumRate()
    var downloadProgress = MinimumRate()

    var response = Response.none
    var responseFraming = BodyFraming.none
    /// The session has asked for more of the body than there was.
    var isAwaited = false
    /// The client takes a byte now and then, to keep the response from ending.
    var isTooSlow = false
    /// What waits to be sent of the response's body.
    var body = ByteQueue()
    private var responseTrailers = FieldBlock()
    private(set) var hasResponseTrailers = false

    /// Runs while more of the request's body is awaited.
    var bodyTimer: Timer?
    /// Runs while the client's flow-control window is closed to what waits to be sent.
    var stallTimer: Timer?

    init(_ connection: HTTP2Connection) {
        self.connection = connection
        services = connection.services
    }

    /// Bytes that the request and its response hold.
    var heldBytes: Int { streamBytes + upload.capacity + body.capacity + (held.map { $0.heldBytes } ?? 0) }

    // What changes while a request is under way is taken out, changed and put back (decision 011).

    // MARK: - The request

    /// Takes a request whose header block is complete.
    func begin(_ id: StreamID, _ builder: RequestHeadBuilder, endsStream: Bool) {
        self.id = id
        request = endsStream ? .complete : .open
        trailersBegan()
        dropResponseTrailers()
        areTrailersWrong = false
        bodyUse = .withheld
        response = .none
        isAwaited = false
        isTooSlow = false
        unacknowledged = 0
        window = StreamWindow()
        uploadProgress = MinimumRate()
        downloadProgress = MinimumRate()
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
            if envelope.expectation == .leaveToSend, !endsStream { bodyUse = .awaitsContinue }
        } catch {
            if passage.state == .idle {
                builder.keepRefused(in: &context.head)
                passage.begin(for: self, of: connection.client, services)
            }
            return services.path.refuse(passage, .malformed(error))
        }
        if let decisions = connection.client.decisions {
            services.path.enter(passage, deciding: decisions, services)
        } else {
            services.path.enter(passage)
        }
    }

    func received(_ bytes: Span<UInt8>) {
        unacknowledged += bytes.count
        guard bodyUse != .discarded else { return linger() }
        let passage = passage
        passage.bytesIn += UInt64(bytes.count)
        if passage.tunnel == nil, let most = passage.route?.bodyBytesMax, passage.bytesIn > most { return brokenBody(.bodyTooLarge) }
        let rate = services.settings.clientLimits.uploadRate
        var progress = uploadProgress
        let isFastEnough = progress.moved(bytes.count, at: services.loop.now, atLeast: rate)
        // Waited for again when its window is open again.
        progress.endWaiting(at: services.loop.now)
        uploadProgress = progress
        if !isOpenEnded, !isFastEnough { return brokenBody(.bodyTooSlow) }
        guard bodyUse == .forwarded, upload.isEmpty, passage.exchange.isConnected, isTunnelOpen || passage.tunnel == nil else {
            var queue = exchange(&upload, with: ByteQueue())
            queue.append(bytes)
            return swap(&queue, &upload)
        }
        if passage.stream?.passUp(bytes) ?? true { passage.exchange.send(bytes) }
        sendOn()
    }

    /// Whether the client may be silent for as long as it likes: messages of gRPC, or a tunnel.
    private var isOpenEnded: Bool { passage.tunnel != nil || passage.isGRPC }
    private var isTunnelOpen: Bool { passage.stream?.isTunnel ?? false }

    func trailersBegan() { if !requestTrailers.isEmpty { requestTrailers = [] } }

    /// A trailer is passed on unless it could change how the head is understood (RFC 9110 §6.5.1) or bears a name that the
    /// gateway vouches for.
    func received(trailer name: Span<UInt8>, _ value: Span<UInt8>) {
        guard (try? FieldCheck.check(name, value)) != nil, requestTrailers.count + name.count + value.count < Limits.trailerBytesMax else {
            areTrailersWrong = true
            return
        }
        guard FieldName(name) == .other, passage.passes(requestTrailer: name, services.settings.fieldFilter) else { return }
        var lines = requestTrailers
        requestTrailers = []
        lines.append(field: name, value)
        requestTrailers = lines
    }

    func isTrailerWrong() { areTrailersWrong = true }

    func requestEnded() {
        request = .complete
        bodyTimer?.clear()
        if areTrailersWrong { return brokenBody(.malformed(.badTrailer)) }
        sendOn()
    }

    /// The body turned out wrong on its way.
    private func brokenBody(_ refusal: Refusal) {
        guard bodyUse != .discarded, passage.state != .idle else { return }
        passage.exchange.cancel()
        if response != .none {
            services.path.finish(passage, isComplete: false)
            return connection.reset(id, StreamCode.cancel)
        }
        services.path.refuse(passage, refusal)
    }

    /// Opens the client's flow-control window by all that has gone on.
    func acknowledgeBody() {
        guard unacknowledged > 0 else { return }
        connection.consume(id, unacknowledged)
        let count = unacknowledged
        unacknowledged = 0
        guard bodyUse != .discarded, !isRequestComplete else { return }
        changeWindow { $0.consumed(count, most: services.settings.clientLimits.streamWindow, connection.windows) }
    }

    /// A request that was let in with a body, whose upstream takes it, need not wait for the first update.
    func openWindow() {
        guard !isRequestComplete, passage.tunnel == nil else { return }
        changeWindow { $0.grow(to: services.settings.clientLimits.streamWindow, connection.windows) }
    }

    private func changeWindow(_ change: (inout StreamWindow) -> Int?) {
        var window = window
        let size = change(&window)
        self.window = window
        if let size { connection.setWindow(id, size) }
    }

    /// Sends on what has come of the body, and opens the client's window for more, as far as the upstream takes it.
    func sendOn() {
        guard bodyUse == .forwarded, request != .handedOn else { return }
        let passage = passage
        guard passage.tunnel == nil ? !passage.framing.isEmpty : isTunnelOpen else { return }
        // While the upstream is waited for, the client is not.
        bodyTimer?.clear()
        guard passage.exchange.isConnected else { return }
        if !upload.isEmpty {
            let waiting = exchange(&upload, with: ByteQueue())
            if passage.stream?.passUp(waiting.readable) ?? true { passage.exchange.send(waiting.readable) }
        }
        if isRequestComplete {
            request = .handedOn
            passage.exchange.endRequest(trailers: requestTrailers)
        } else if passage.exchange.takesUpload {
            acknowledgeBody()
            var progress = uploadProgress
            progress.beginWaiting(at: services.loop.now)
            uploadProgress = progress
            // A tunnel is timed from its other end.
            if passage.tunnel == nil { armBodyTimer(after: passage.isGRPC ? passage.streamTimeout : services.settings.timeouts.body) }
        }
    }

    func armBodyTimer(after length: Nanoseconds) {
        let timer = bodyTimer ?? Timer(self)
        bodyTimer = timer
        services.loop.set(timer, after: length)
    }

    func fired(_ timer: Timer) {
        if timer === bodyTimer {
            guard response == .complete else { return brokenBody(.bodyTimeout) }
            // As long as the response is on its way, nobody waits for the rest of the request.
            return lingersUntil == .never ? () : connection.reset(id, StreamCode.noError)
        }
        // A client that takes nothing of a response.
        services.counters.add(.slowReaders)
        breakOff()
    }

    func breakOff() {
        cancel()
        connection.reset(id, StreamCode.cancel)
    }

    /// nghttp2 has reset the stream, for the body that it saw.
    func wasMalformed() {
        guard passage.state != .idle else { return }
        passage.verdict = .refused(.malformed(.lengthMismatch))
        if response == .none { passage.status = 400 }
    }

    var carriesStream: Bool { held?.stream != nil }

    /// The stream is gone, and with it anyone who waited for the response.
    func abandoned() {
        if let passage = held {
            cancel()
            passage.end()
            services.passages.give(passage)
            held = nil
        }
        dropUpload()
        changeWindow { window in
            window.end(connection.windows)
            return nil
        }
        dropBody()
        bodyTimer?.clear()
        stallTimer?.clear()
    }

    /// No stream follows.
    func retire() {
        // A Timer retains its handler; cancel it to break the cycle.
        bodyTimer?.cancel()
        stallTimer?.cancel()
    }

    func dropBody() {
        guard !body.isEmpty else { return }
        var queue = exchange(&body, with: ByteQueue())
        queue.removeAll()
        queue.release(to: services.buffers)
    }

    func dropUpload() {
        guard !upload.isEmpty else { return }
        _ = exchange(&upload, with: ByteQueue())
    }

    /// Keeps a trailer of the response until its body has gone out.
    func append(responseTrailer name: Span<UInt8>, _ value: Span<UInt8>) {
        withResponseTrailers { $0.append(name, value) }
        hasResponseTrailers = true
    }

    func dropResponseTrailers() {
        if hasResponseTrailers { withResponseTrailers { $0.removeAll() } }
        hasResponseTrailers = false
    }

    func withResponseTrailers(_ use: (inout FieldBlock) -> Void) {
        var block = exchange(&responseTrailers, with: FieldBlock())
        use(&block)
        swap(&block, &responseTrailers)
    }

    private func cancel() {
        let passage = passage
        guard passage.state != .idle else { return }
        passage.exchange.cancel()
        if passage.status == 0 { passage.status = 499 }
        services.path.finish(passage, isComplete: false)
    }

    /// The last frame of the response has gone out. What a client still sends is thrown away for a while, as in HTTP/1, before
    /// it is told that nobody listens (RFC 9113 §8.1): some drop a response whose stream is reset.
    func responseSent() {
        guard !isRequestComplete else { return }
        bodyUse = .discarded
        lingersUntil = services.loop.now.adding(Linger.longest)
        linger()
    }

    private func linger() {
        acknowledgeBody()
        armBodyTimer(after: min(Linger.silence, lingersUntil.since(services.loop.now)))
    }
}

/// What nghttp2 and this program keep of a stream in any case.
private let streamBytes = 2_048
