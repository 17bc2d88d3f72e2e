package import Time
import Authentication
import Bytes
package import HTTP1
package import HTTPMessage
import Observability
package import RateLimiting
import Routing
import System

/// What a request asks for that wants to change to another protocol.
package struct TunnelRequest {
    /// Its name, as the client wrote it.
    package let upgrade: [UInt8]
    /// Field lines that the upstream needs besides those of the client.
    package let lines: [UInt8]

    package init(upgrade: [UInt8], lines: [UInt8] = []) {
        self.upgrade = upgrade
        self.lines = lines
    }
}

/// The client's side of an exchange, whichever version of HTTP it speaks.
package protocol ExchangeDownstream: AnyObject {
    /// An interim response (1xx but 101).
    func received(interim head: borrowing ResponseHead)
    /// The response's head; 101 where a tunnel opens, whose bytes then come as the body does.
    func received(head: borrowing ResponseHead, framing: BodyFraming)
    func received(body: Span<UInt8>)
    func received(trailer line: FieldTable.Line, in bytes: Span<UInt8>)
    func responseEnded()
    /// There will be no response, or no more of it.
    func responseFailed(_ error: ForwardingError)
    /// The response is still on its way, a while after its head.
    func responseGoesOn()
    /// The process ends: a stream or a tunnel should, in its own terms.
    func responseMustEnd()
    /// Whether more of the response should come now; ``Exchange/resumeResponse()`` says when it may again.
    var takesResponse: Bool { get }
    /// The upstream takes more of the request's body.
    func uploadMayContinue()
}

/// One request on its way to an upstream and the response on its way back.
///
/// The bodies stream: what one side does not take stops the reading of the other. An exchange is used again for the next
/// request of its connection.
package final class Exchange: UpstreamClient {
    /// Held until the exchange is over.
    var downstream: (any ExchangeDownstream)?
    var channel: (any UpstreamChannel)?
    var group: UpstreamGroup?
    let outgoing: OutgoingHead
    var shape = RequestShape(method: .other, framing: .none, upgrade: nil)
    /// How long its server may say nothing.
    var silence = UpstreamTimeouts.Silence()
    var attempt = 0
    /// How often it went out again for what its server made of it.
    var repetitions = 0
    /// The place in the group's queue, while there is no free connection.
    var wait: WaitingList.Entry?
    /// Whose request it is.
    private(set) var account = ClientAccount()
    /// Where the exchange stands among those that hold a place of the group; negative while it does not.
    var holderIndex = -1
    var isUploadOver = false
    /// What has gone out of the body, where the request may go out again; nil where it may not.
    var kept: [UInt8]?
    /// Whether a request that may be repeated is, where a kept connection turns out to be closed.
    var repeatsIdempotent = true
    /// Whether the downstream takes no more of the response at present.
    private var isResponsePaused = false
    var state = State.over

    enum State {
        /// No request is under way.
        case over
        /// The head of the response has not come.
        case awaited
        /// The response is on its way to the downstream.
        case responding
    }

    /// When the connection was asked for, when the head of the response came.
    package var startedAt: Instant { began }
    package var headAt: Instant { answered }
    /// When the upstream had no more to do with it.
    package var endedAt: Instant { ended }
    /// Whether a server was chosen for it.
    package var serverWasUsed: Bool { server != nil }
    // Kept apart from what is visible: only what no other module can see is known not to be looked at while it changes.
    private var began = Instant.never
    /// When the present server was chosen.
    private var chosen = Instant.never
    private var answered = Instant.never
    private var ended = Instant.never
    /// What the request has taken of its group's gate.
    var pass: UpstreamGate.Pass?
    /// Fires when a request that is repeated has waited for long enough.
    var backoffTimer: Timer?
    /// Whether its group binds clients to servers, and the line that does; see ``binding``, which alone other modules see.
    var mayBind = false
    var bindingLine: [UInt8] = []
    /// Whether the request finds out whether its server is well again.
    private var isTrial = false
    private var server: UpstreamServer?
    /// The server that was used, for the log; empty before there is one.
    package var serverText: String { server?.address.text ?? "" }

    /// The request has been told of: another follows.
    package func forgetServer() {
        server = nil
        if tryCount > 0 { forgetTries() }
    }

    /// Those of the present request, in their order; kept where its trace is.
    package var tries: [Try] { traced }
    var traced: [Try] = []
    var tryCount = 0
    /// What a Host field calls that server.
    package var serverHost: String { server?.hostText ?? "" }

    /// - Parameter outgoing: the head that each request is written from.
    package init(_ outgoing: OutgoingHead) { self.outgoing = outgoing }

    /// Sends a request that has passed every stage. What goes wrong here is thrown; what goes wrong later is told to the
    /// downstream.
    ///
    /// - Parameter tunnel: what the request opens, if the upstream agrees.
    package func begin(
        _ admission: consuming Admission, for downstream: any ExchangeDownstream, rule: ForwardingRule, origin: DownstreamOrigin,
        method: Method, framing: BodyFraming, tunnel: TunnelRequest? = nil, group: UpstreamGroup, account: ClientAccount, at now: Instant
    ) throws(ForwardingError) {
        precondition(admission.route == rule.route, "an admission to another route")
        outgoing.begin(admission.identity, rule, from: origin, tunnelLines: tunnel?.lines ?? [])
        repeatsIdempotent = true
        let shape = RequestShape(forwarding: method, framing: framing, upgrade: tunnel?.upgrade)
        var silence = group.settings.timeouts.silence
        if let answer = rule.timeouts.answer { silence.answer = answer }
        if let stream = rule.timeouts.stream { silence.stream = stream }
        self.silence = silence
        isUploadOver = framing.isEmpty && tunnel == nil
        try begin(shape, for: downstream, group: group, account: account, at: now)
    }

    /// Sends a request of the gateway's own (``Inquiry``), which is sent a second time only if it says that it may be.
    func begin(
        _ head: InquiryHead, for downstream: any ExchangeDownstream, bodyBytes: Int, isRepeatable: Bool, group: UpstreamGroup,
        account: ClientAccount, at now: Instant
    ) throws(ForwardingError) {
        outgoing.begin(head)
        repeatsIdempotent = isRepeatable
        let framing = bodyBytes > 0 ? BodyFraming.length(UInt64(bodyBytes)) : .none
        isUploadOver = framing.isEmpty
        let shape = RequestShape(forwarding: Method(head.method.span), framing: framing, upgrade: nil)
        silence = group.settings.timeouts.silence
        try begin(shape, for: downstream, group: group, account: account, at: now)
    }

    private func begin(
        _ shape: RequestShape, for downstream: any ExchangeDownstream, group: UpstreamGroup, account: ClientAccount, at now: Instant
    ) throws(ForwardingError) {
        self.downstream = downstream
        self.account = account
        isResponsePaused = false
        self.shape = shape
        self.group = group
        attempt = 0
        repetitions = 0
        kept = nil
        mayBind = group.isSticky
        if let rule = group.settings.retry, repeatsIdempotent, shape.upgrade == nil, rule.takes(shape.method), shape.isShort {
            kept = []
            if let perTry = rule.perTry { setPatience(min(perTry, silence.answer)) }
            group.requestBegan()
        }
        state = .awaited
        began = now
        server = nil
        answered = .never
        ended = .never
        do {
            if let gate = group.gate { pass = try gate.enter(hasBody: !shape.framing.isEmpty) }
            try connect(fresh: false)
        } catch {
            if pass != nil { tellGate(of: error, .notSent(isReused: false)) }
            finish()
            throw error
        }
    }

    /// Sends bytes of the request's body, or of a tunnel.
    package func send(_ bytes: Span<UInt8>) {
        if kept != nil { keep(bytes) }
        channel?.send(bytes)
    }

    /// The request's body is complete; within a tunnel, all that the client has to say.
    ///
    /// - Parameter trailers: whole field lines.
    package func endRequest(trailers: [UInt8]) {
        isUploadOver = true
        // Trailers are for one reading.
        if !trailers.isEmpty { kept = nil }
        channel?.endRequest(trailers: trailers)
    }

    /// Bytes of the request that wait to be sent.
    package var queuedBytes: Int { (channel?.queuedBytes ?? 0) + (kept?.count ?? 0) }

    /// Whether there is a connection, so that the request's body can be sent.
    package var isConnected: Bool { channel != nil }

    /// Whether the upstream takes more of the request's body now.
    package var takesUpload: Bool { channel.map { $0.queuedBytes < Limits.sendQueueHighBytes } ?? (state == .over) }

    package func resumeResponse() {
        isResponsePaused = false
        channel?.resumeReading()
    }

    /// Whether the place is held for no other reason than that the client takes nothing of the response, or sends nothing of its body.
    func isHeldByClient(at now: Instant) -> Bool {
        guard state != .over, let channel, now.since(began) > ownTime else { return false }
        if isResponsePaused { return true }
        // A tunnel that is not open yet, and a call of gRPC, may wait for the upstream while the client has more to say.
        return !isUploadOver && state == .awaited && channel.queuedBytes == 0 && shape.upgrade == nil && !outgoing.context.head.isGRPC
    }

    /// The client, if the response's head has gone to it.
    var answeredClient: (any ExchangeDownstream)? { state == .responding ? downstream : nil }
    /// The client, whatever has become of its request.
    var client: (any ExchangeDownstream)? { state != .over ? downstream : nil }

    /// Gives the place up, because others wait for it.
    func giveWay() {
        let channel = self.channel
        fail(.gaveWay)
        channel?.cancel()
    }

    /// Gives the exchange up, because the client is gone or its request was wrong.
    package func cancel() {
        let channel = self.channel
        finish()
        channel?.cancel()
    }

    /// Gives a tunnel up, with a last word to the upstream.
    package func leave(saying bytes: [UInt8]) {
        let channel = self.channel
        finish()
        channel?.leave(saying: bytes)
    }

    // MARK: - What the channel tells

    func received(interim head: borrowing ResponseHead, on channel: any UpstreamChannel) {
        // The gateway has said 100 itself when it let the request in.
        if head.status != 100 { downstream?.received(interim: head) }
    }

    func received(head: borrowing ResponseHead, framing: BodyFraming, on channel: any UpstreamChannel) {
        let now = Clock.now()
        channel.server.responded(head.status, after: now.since(chosen))
        if pass != nil { tellGate(of: head.status) }
        if outgoing.trace != nil { tryResponded(head.status) }
        // Most responses are what the client asked for.
        if head.status >= 502, kept != nil, repeats(for: .of(status: head.status), "status_\(head.status)", after: channel) { return }
        state = .responding
        if kept != nil {
            kept = nil
            if silence.ofTry != nil { channel.isLastTry() }
        }
        answered = now
        if mayBind { bind(to: channel.server, status: head.status) }
        downstream?.received(head: head, framing: framing)
        pauseIfFull(channel)
    }

    func received(body: Span<UInt8>, on channel: any UpstreamChannel) {
        downstream?.received(body: body)
        pauseIfFull(channel)
    }

    func received(trailer line: FieldTable.Line, in bytes: Span<UInt8>, on channel: any UpstreamChannel) {
        downstream?.received(trailer: line, in: bytes)
    }

    func responseEnded(on channel: any UpstreamChannel) {
        let downstream = self.downstream
        finish()
        downstream?.responseEnded()
    }

    func failed(_ error: ForwardingError, on channel: any UpstreamChannel) {
        self.channel = nil
        if state == .awaited {
            channel.server.failed(error, channel.reached)
            if pass != nil { tellGate(of: error, channel.reached) }
        }
        if outgoing.trace != nil { tryFailed(error, at: Clock.now()) }
        var outcome = error
        do {
            if try retry(after: error, on: channel) { return }
        } catch {
            outcome = error
        }
        fail(outcome)
    }

    func sendQueueDrained(on channel: any UpstreamChannel) { downstream?.uploadMayContinue() }

    // MARK: -

    func connect(fresh: Bool) throws(ForwardingError) {
        guard let group else { return }
        // What cannot be written must not cost a connection.
        outgoing.attempt = tryCount
        try outgoing.render()
        guard fresh || !group.hasWaiting || wait != nil,
            let channel = try group.acquire(
                fresh: fresh, for: outgoing.origin, after: repetitions > 0 ? server : nil,
                key: group.keyVariable == nil ? nil : key(in: group), bound: mayBind ? boundServer(in: group) : nil)
        else {
            if wait == nil { wait = try group.wait(self, of: account) }
            return
        }
        wait = nil
        let server = channel.server
        use(channel, of: server)
        outgoing.server = server.hostText
        do {
            try channel.send(head: outgoing)
        } catch {
            self.channel = nil
            throw error
        }
        if repetitions > 0 { sendKept(on: channel) }
    }

    private func endTrial() {
        guard isTrial else { return }
        isTrial = false
        server?.endTrial()
    }

    /// - Parameter isMoved: whether the head goes there as it was written for another server.
    func use(_ channel: any UpstreamChannel, of server: UpstreamServer, isMoved: Bool = false) {
        endTrial()
        self.channel = channel
        self.server = server
        chosen = group?.now ?? .never
        isTrial = server.beginTrial()
        if let trace = outgoing.trace, trace.isSampled { tryBegan(at: chosen, server, isMoved: isMoved) }
        if holderIndex < 0 { group?.hold(self) }
        channel.begin(self, shape, silence)
    }

    func fail(_ error: ForwardingError) {
        let downstream = self.downstream
        if outgoing.trace != nil { tryFailed(error, at: Clock.now()) }
        finish()
        downstream?.responseFailed(error)
    }

    private func pauseIfFull(_ channel: any UpstreamChannel) {
        // The downstream may have given the exchange up meanwhile.
        if channel === self.channel, let downstream, !downstream.takesResponse {
            isResponsePaused = true
            channel.pauseReading()
        }
    }

    private func finish() {
        state = .over
        if let group { ended = group.now }
        if tryCount > 0 { tryEnded(at: ended) }
        if let wait { group?.stopWaiting(wait) }
        wait = nil
        if backoffTimer != nil { endBackoff() }
        if let pass {
            group?.gate?.leave(pass)
            self.pass = nil
        }
        if holderIndex >= 0 { group?.release(self) }
        downstream = nil
        channel = nil
        group = nil
        if kept != nil { kept = nil }
        if mayBind { bindingLine = [] }
        endTrial()
        outgoing.end()
    }
}

/// How long an exchange may wait for its client in any case.
private let ownTime = Nanoseconds.seconds(1)
