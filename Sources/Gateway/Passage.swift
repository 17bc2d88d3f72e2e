import Observability
import Time
import Authentication
import Authorization
import Bytes
import Configuration
import Forwarding
import HTTP1
import HTTPMessage
import Policy
import RateLimiting
import Routing
import System

/// One request's passage through the gateway, from its head to its line in the log. Used again for another request, of whatever
/// connection (see ``Passages``).
final class Passage: AdmissionWaiter, TimerHandler {
    enum State: Equatable {
        /// It serves no request.
        case idle
        /// Before or within the stages of ``RequestPath``.
        case deciding
        case waiting(Dependency)
        case forwarding
        /// The gateway has answered itself.
        case answered

        // Written out, as for FieldName.
        static func == (left: State, right: State) -> Bool {
            switch (left, right) {
            case (.idle, .idle), (.deciding, .deciding), (.forwarding, .forwarding), (.answered, .answered): true
            case (.waiting(let one), .waiting(let other)): one == other
            default: false
            }
        }
    }

    /// How the request ended, where the upstream's response is not all there is to say.
    enum Verdict {
        case none
        case replied(GatewayReply)
        case refused(Refusal)
        /// The response was broken off after its head had gone out.
        case brokenOff(ForwardingError)
    }

    let context = RequestContext()
    /// Held while the request is under way, and no longer: it holds this object in turn. (A weak reference would make every count
    /// of references to the connection a slow one.)
    private(set) var frontEnd: (any PassageFrontEnd)?
    let exchange: Exchange
    let progress = AdmissionProgress()
    unowned let path: RequestPath

    var state = State.idle
    var verdict = Verdict.none
    private(set) var origin: DownstreamOrigin
    /// What the client of the request has; nil between requests.
    private(set) var account: ClientAccount?
    /// What the connection's peer has, which may be a proxy that speaks for the client.
    private(set) var connectionAccount: ClientAccount?
    /// Bytes that the request holds, besides its body.
    var heldBytes: Int { headCapacity + passageBytes + exchange.queuedBytes }
    /// What a trusted proxy tells of the request; nil without one.
    var report: ProxyReport?
    /// Of the head, once it has been read.
    var method = Method.other
    var version = HTTPVersion.http11
    /// How much storage the head held on to when it was last read.
    var headCapacity = 0
    var framing = BodyFraming.none
    /// Set where the request is a question of another proxy, that is decided and not forwarded.
    var decisions: DecisionProtocol?
    /// Known before it is known whether the route takes the request.
    private(set) var route: Route?
    private(set) var match: RouteMatch?
    /// Whether the route says which pages may read its responses, in place of the upstream.
    private(set) var ownsCORS = false
    /// What the route says in responses itself.
    private(set) var responseFields: ResponseFields?
    /// The same for a response of the upstream, whose body may be coded.
    var upstreamsFields: ResponseFields? { encoding == nil ? responseFields : encoding?.responseFields }
    /// What the upstream says of that which the route says only where nothing is there.
    var presentFields: UInt64 = 0
    /// Set when the request counts among those of its token's subject.
    private(set) var identity: Identity?
    /// Of a subject that has too many requests under way: for the log.
    private(set) var refusedIdentity: Identity?
    /// The credential that was good, also where the request was refused for its subject.
    private(set) var knownCredential: CredentialID?
    /// What the request wants to change to, where its route lets it.
    private(set) var tunnel: TunnelRequest?
    /// The protocol of an extended CONNECT (RFC 8441).
    var extendedProtocol: [UInt8]?
    private(set) var isHTTP2 = false
    /// A call of gRPC to an upstream that can speak it: the client may be silent between two messages.
    private(set) var isGRPC = false
    /// The longest silence of a stream.
    private(set) var streamTimeout = Nanoseconds.zero
    /// Of the credential, when it was checked; see ``Authenticator/version(of:)``.
    private(set) var credentialVersion: UInt64 = 0
    /// Whether the credential expired while the response was on its way.
    var isExpired: Bool { stream.map { $0.ending == .credentialExpired || $0.ending == .authorizerRefuses } ?? false }
    /// What is said of a request whose credential was lost while its response was on its way.
    var lostCredential: Refusal? {
        switch stream?.ending {
        case .credentialExpired: .token(.expired)
        case .authorizerRefuses:
            if case .authorizer(let id) = identity?.principal.credential {
                .authorizer(AuthorizerRefusal(by: id, asksForCredential: false))
            } else {
                nil
            }
        case .drained, nil: nil
        }
    }
    /// What makes the responses of the route shorter.
    private(set) var compression: CompressionRule?
    /// The coding of the response's body, where it has one of ours.
    var encoding: ResponseEncoding?
    /// Whether another client might get the response in another coding.
    var variesByCoding = false

    func takeEncoding() -> ResponseEncoding? {
        guard let present = encoding else { return nil }
        encoding = nil
        path.encoders.giveBack()
        return present
    }

    /// The response goes on for as long as both sides like.
    private(set) var stream: LiveStream?
    /// Of its turn, and of its stream's credential.
    private var timer: Timer?
    var keyFetch = KeyFetch.notAsked
    /// Which of the credentials that the route takes is asked, by its place among the rule's steps.
    var credentialStep = 0
    /// Why an earlier one let nobody in, where any of them may.
    var credentialRefusal: Refusal?
    /// The call to an external authorizer that the request waits for.
    var authorizerCall: AuthorizerCall?
    /// What it said, until that has been looked at.
    var authorizerVerdict: AuthorizerVerdict?
    /// What tells the check of a password that the request waits for.
    var passwordDigest: [UInt8] = []
    /// What became of it, until that has been looked at.
    var passwordOutcome: PasswordOutcome?
    /// Whole lines of fields that an authorizer gives to the client.
    private(set) var authorizerLines: [UInt8] = []
    /// The subject that a refused token names; unverified.
    var claimedSubject: String?
    /// Counts requests, so that what was asked for one is not answered to the next.
    private(set) var generation: UInt64 = 0

    /// The trace that the request belongs to; nil where none is followed.
    var trace: TraceContext?

    // For the log.
    var beganAt = Instant.never
    var authenticatedAt = Instant.never
    var admittedAt = Instant.never
    var handshakeTime = Nanoseconds.zero
    var status = 0
    var bytesIn: UInt64 = 0
    var bytesOut: UInt64 = 0

    init(_ path: RequestPath, from origin: DownstreamOrigin) {
        self.path = path
        self.origin = origin
        exchange = Exchange(
            OutgoingHead(context, path.fieldFilter, path.forwardedFields, ForwardingRule(upstream: UpstreamID(0)), from: origin))
        progress.waiter = self
    }

    /// Serves another connection from now on.
    func serve(_ origin: DownstreamOrigin, isHTTP2: Bool) {
        self.origin = origin
        self.isHTTP2 = isHTTP2
    }

    /// Makes ready for the next request; its head stands in the context.
    func begin(
        for frontEnd: any PassageFrontEnd, of account: ClientAccount, over connectionAccount: ClientAccount,
        at now: Instant
    ) {
        self.frontEnd = frontEnd
        self.account = account
        self.connectionAccount = connectionAccount
        account.requestBegan()
        generation += 1
        state = .deciding
        route = nil
        match = nil
        ownsCORS = false
        responseFields = nil
        decisions = nil
        tunnel = nil
        isGRPC = false
        extendedProtocol = nil
        method = .other
        version = .http11
        framing = .none
        keyFetch = .notAsked
        credentialStep = 0
        if passwordOutcome != nil { passwordOutcome = nil }
        claimedSubject = nil
        beganAt = now
        authenticatedAt = .never
        admittedAt = .never
        status = 0
        bytesIn = 0
        bytesOut = 0
    }

    /// Forgets the request; whatever is still being asked for it reaches nobody.
    func end() {
        generation += 1
        state = .idle
        verdict = .none
        if credentialRefusal != nil { credentialRefusal = nil }
        if !authorizerLines.isEmpty { authorizerLines = [] }
        if !passwordDigest.isEmpty { passwordDigest = [] }
        if passwordOutcome != nil { passwordOutcome = nil }
        if authorizerVerdict != nil { authorizerVerdict = nil }
        authorizerCall?.abandon(self)
        frontEnd = nil
        exchange.forgetServer()
        if compression != nil { forgetCompression() }
        account?.requestEnded()
        account = nil
        connectionAccount = nil
        identity?.principal.share.requestEnded()
        identity = nil
        refusedIdentity = nil
        knownCredential = nil
        if trace != nil { trace = nil }
        stream = nil
        timer?.cancel()
        timer = nil
        progress.reset()
    }

    /// Who asks, also where the request was refused for it.
    var knownIdentity: Identity? { identity ?? refusedIdentity }

    // MARK: - What the stages find out

    func found(_ route: Route) {
        self.route = route
        ownsCORS = route.cors != nil
        responseFields = route.responseFields
        if route.compression != nil { compression = route.compression }
    }

    private func forgetCompression() {
        compression = nil
        variesByCoding = false
        _ = takeEncoding()
    }

    func willForward(streamTimeout: Nanoseconds, isGRPC: Bool) {
        self.streamTimeout = streamTimeout
        self.isGRPC = isGRPC
    }

    func matched(_ match: RouteMatch) {
        self.match = match
        if let upgrade = match.upgrade {
            tunnel = TunnelRequest(upgrade: upgrade.name, lines: upgrade.needsWebSocketKey ? WebSocketHandshake.keyLine() : [])
        }
    }

    /// From here on the request counts among those of its subject.
    func authenticated(_ identity: Identity, credentialVersion: UInt64) {
        self.identity = identity
        knownCredential = identity.principal.credential
        self.credentialVersion = credentialVersion
        identity.principal.share.requestBegan()
    }

    /// The credential is good, and its subject has too many requests under way.
    func refused(_ identity: Identity) {
        refusedIdentity = identity
        knownCredential = identity.principal.credential
    }

    /// A credential let nobody in, and the next is asked. What could not be known outweighs what is known to be wrong, and an authorizer, which
    /// may say where to sign in, outweighs a token.
    func refusedCredential(_ refusal: Refusal) {
        if let credentialRefusal, credentialRefusal.outweighs(refusal) { return }
        credentialRefusal = refusal
    }

    /// What the authorizer says, taken once.
    func takeAuthorizerVerdict() -> AuthorizerVerdict? {
        defer { authorizerVerdict = nil }
        return authorizerVerdict
    }

    func willAnswer(with lines: [UInt8]) { authorizerLines = lines }

    /// Whether a trailer of the client's request goes on.
    func passes(requestTrailer name: Span<UInt8>, _ filter: FieldFilter) -> Bool {
        filter.passes(trailer: name) && !(route?.forwarding?.removes(name) ?? false)
    }

    /// Whether a trailer of the upstream's response goes on.
    func passes(trailer name: Span<UInt8>) -> Bool {
        if let own = upstreamsFields, own.drops(name) { return false }
        return !ownsCORS || !ResponseHeadWriter.isAboutPages(name)
    }

    // MARK: - Streams

    /// Whether the protocol that is changed to is WebSocket, whose frames are known here.
    var opensWebSocket: Bool {
        guard let name = tunnel?.upgrade else { return false }
        return name.span.equalsIgnoringCase("websocket")
    }

    /// The response turns out to be a stream, or a tunnel.
    func begin(_ stream: LiveStream, checkedAt deadline: Instant?, on loop: EventLoop) {
        self.stream = stream
        guard let deadline else { return }
        set(at: deadline, on: loop)
    }

    /// The request goes on after so long.
    func wait(_ turn: Nanoseconds, on loop: EventLoop) {
        state = .waiting(.turn)
        set(at: loop.now.adding(turn), on: loop)
    }

    private func set(at moment: Instant, on loop: EventLoop) {
        let present = timer ?? Timer(self)
        timer = present
        loop.set(present, at: moment)
    }

    func check(at deadline: Instant, on loop: EventLoop) { if let timer { loop.set(timer, at: deadline) } }

    func fired(_ timer: Timer) { if state == .waiting(.turn) { path.resume(self) } else { path.expiry.check(self) } }

    func admissionDecided() { path.resume(self) }
}

/// What a request takes in any case.
private let passageBytes = 4_096
