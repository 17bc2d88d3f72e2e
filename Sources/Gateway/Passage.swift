import Policy
import Configuration
import Authentication
import Authorization
import Bytes
import System
import Forwarding
import HTTP1
import HTTPMessage
import RateLimiting
import Routing

/// What a front end does for the requests that come through it, whichever version of HTTP it speaks.
protocol PassageFrontEnd: ExchangeDownstream {
    var passage: Passage { get }
    /// Sends a piece of an answer's body.
    func send(body: Span<UInt8>)
    /// Ends a tunnel: with its pending Close frame, if there is one.
    func closeTunnel()
    /// Ends an answer that is a stream in its own terms.
    func endAnswer(of stream: LiveStream)
    /// Sends a gateway-made answer.
    func answer(_ answer: RefusalAnswer, to refusal: Refusal)
    /// The request is on its way: its body may follow.
    func forwardingBegan()
    /// Ends a tunnel or a stream that does not end in its own terms.
    func breakOff()
}

extension PassageFrontEnd {
    func received(body: Span<UInt8>) {
        guard let stream = passage.stream, stream.isTunnel else { return send(body: body) }
        let count = stream.passDown(body)
        if count > 0 { send(body: body.extracting(0..<count)) }
        if stream.pendingClose != nil, count < body.count || stream.mayClose { closeTunnel() }
    }

    func answerGoesOn() { passage.path.answerGoesOn(passage) }

    func answerMustEnd() {
        guard let stream = passage.stream else { return }
        stream.cause = .drained
        end(stream)
    }

    /// The credential that let a stream or a tunnel in is good no longer: it ends.
    func credentialExpired() { if let stream = passage.stream { end(stream) } }

    private func end(_ stream: LiveStream) {
        switch stream.kind {
        case .webSocket:
            stream.pendingClose = stream.closeFrame(masked: false)
            // A frame that is under way goes to its end first.
            if stream.mayClose { closeTunnel() }
        case .tunnel: closeTunnel()
        case .events, .grpc: endAnswer(of: stream)
        case .body:
            // Ended like one that is complete, a part would be taken for the whole.
            passage.exchange.cancel()
            answerFailed(.closedEarly)
        }
    }
}

/// One request's passage through the gateway, from its head to its line in the log. Used again for another request, of whatever
/// connection (see ``Passages``).
final class Passage: AdmissionWaiter, TimerHandler {
    enum Stage {
        case idle
        case deciding
        /// An issuer's keys are being fetched anew.
        case awaitingKeys
        /// The limits that ask for no claim, then those that do.
        case awaitingEarlyLimits
        case awaitingLimits
        case forwarding
        /// Refused, or answered to the end.
        case decided
    }

    let context = RequestContext()
    /// Held while the request is under way, and no longer: it holds this object in turn. (A weak reference would make every count
    /// of references to the connection a slow one.)
    private(set) var frontEnd: (any PassageFrontEnd)?
    let exchange: Exchange
    let progress = AdmissionProgress()
    unowned let path: RequestPath

    var stage = Stage.idle
    private(set) var origin: DownstreamOrigin
    /// What the client of the request has; nil between requests.
    private(set) var account: ClientAccount?
    /// What the connection's peer has, which may be a proxy that speaks for the client.
    private(set) var connectionAccount: ClientAccount?
    /// Bytes that the request holds, besides its body.
    var heldBytes: Int { headCapacity + passageBytes + exchange.queuedBytes }
    /// Where the host stands that a trusted proxy tells of.
    var toldHost: ByteRange?
    /// Whether what a trusted proxy tells of the client cannot be read, so that nobody knows who asks.
    var isReportMalformed = false
    /// Of the head, once it has been read.
    var method = Method.other
    var version = HTTPVersion.http11
    /// How much storage the head held on to when it was last read.
    var headCapacity = 0
    var framing = BodyFraming.none
    var route: Route?
    var methodRule: Route.MethodRule?
    /// Whether the route says which pages may read its answers, in place of the upstream.
    var ownsCORS = false
    var identity: Identity?
    /// Whether the request counts among those of its token's subject.
    var countsForSubject = false
    var refusal: Refusal?
    /// What the request wants to change to, where its route lets it.
    var tunnel: TunnelRequest?
    /// The protocol of an extended CONNECT (RFC 8441).
    var extendedProtocol: [UInt8]?
    private(set) var isHTTP2 = false
    /// A call of gRPC to an upstream that can speak it: the client may be silent between two messages.
    var isGRPC = false
    /// The longest silence of a stream.
    var streamTimeout: UInt64 = 0
    /// Counts the changes of the issuer's keys, up to the one with which the token was verified.
    var keysVersion: UInt64 = 0
    /// The credential expired while the stream was open.
    var isExpired = false
    /// The answer goes on for as long as both sides like.
    private(set) var stream: LiveStream?
    private var expiryTimer: Timer?
    var keyFetch = KeyFetch.notAsked
    /// The subject that a refused token names; unverified.
    var claimedSubject: String?
    /// Counts requests, so that what was asked for one is not answered to the next.
    private(set) var generation: UInt64 = 0

    // For the log.
    /// Why an answer whose head has gone out was broken off.
    var failure: ForwardingError?
    var beganAt = Instant.never
    var authenticatedAt = Instant.never
    var admittedAt = Instant.never
    var handshakeNanoseconds: UInt64 = 0
    var status = 0
    var bytesIn: UInt64 = 0
    var bytesOut: UInt64 = 0

    init(_ path: RequestPath, from origin: DownstreamOrigin) {
        self.path = path
        self.origin = origin
        exchange = Exchange(OutgoingHead(context, path.fieldFilter, path.forwardedFields, ForwardingRule(upstream: 0), from: origin))
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
        failure = nil
        generation += 1
        stage = .deciding
        route = nil
        methodRule = nil
        ownsCORS = false
        identity = nil
        refusal = nil
        tunnel = nil
        isGRPC = false
        extendedProtocol = nil
        method = .other
        version = .http11
        framing = .none
        isExpired = false
        keyFetch = .notAsked
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
        stage = .idle
        frontEnd = nil
        account?.requestEnded()
        account = nil
        connectionAccount = nil
        if countsForSubject { identity?.verified.share.requestEnded() }
        countsForSubject = false
        identity = nil
        stream = nil
        expiryTimer?.cancel()
        expiryTimer = nil
        progress.reset()
    }

    /// Whether a trailer of the upstream's answer goes on.
    func passes(trailer name: Span<UInt8>) -> Bool { !ownsCORS || !ResponseHeadWriter.isAboutPages(name) }

    // MARK: - Streams

    /// Whether the protocol that is changed to is WebSocket, whose frames are known here.
    var opensWebSocket: Bool {
        guard let name = tunnel?.upgrade else { return false }
        return name.span.equalsIgnoringCase("websocket")
    }

    /// The answer turns out to be a stream, or a tunnel.
    func begin(_ stream: LiveStream, checkedAt deadline: Instant?, on loop: EventLoop) {
        self.stream = stream
        guard let deadline else { return }
        let timer = expiryTimer ?? Timer(self)
        expiryTimer = timer
        loop.set(timer, at: deadline)
    }

    func check(at deadline: Instant, on loop: EventLoop) { if let expiryTimer { loop.set(expiryTimer, at: deadline) } }

    func fired(_ timer: Timer) { path.checkCredential(self) }

    func admissionDecided() { path.admissionDecided(self) }
}

/// What a request takes in any case.
private let passageBytes = 4_096
