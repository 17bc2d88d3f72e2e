import Time
import Authentication
import Authorization
import Configuration
import Forwarding
import HTTPMessage
import Observability
import Policy
import Processes
import RateLimiting
import Routing
import System

/// The path of a request through the gateway, stage by stage:
///
/// | stage | asks | may wait for | makes |
/// |---|---|---|---|
/// | share | what the client has under way | | |
/// | match | ``Policy``: the target's normal form, the route, the rule for the method | | ``RouteMatch`` |
/// | limitEarly | ``RateLimiter``: the limits that no claim decides | a store | |
/// | authenticate | ``Authenticator``: the credential; ``AuthorizerCalls``: a service that knows it | a key set, an authorizer, a password's check | ``Identity`` |
/// | authorize | ``Policy``: origin, scopes, rules | | ``Permit`` |
/// | limit | ``RateLimiter``: the other limits | a store, its turn | ``Admission`` |
/// | forward | ``Exchange``: a connection to the upstream | | the response |
/// | answer | ``Policy``: a route that gives its responses itself | | ``GatewayReply`` |
///
/// A stage that refuses throws; ``Refusal`` says what the client is told. After the response a line goes to the log. Streams that outlive their
/// credential are ended by ``StreamExpiry``.
final class RequestPath {
    /// What is to be done next for a request, with what the stages before made. A stage uses up what it is given.
    enum Stage: ~Copyable {
        case share
        case match
        case limitEarly(RouteMatch)
        case earlyLimitsDecided(RouteMatch)
        case authenticate(RouteMatch)
        case authorize(Identity?, RouteMatch)
        case limit(Permit, RouteMatch)
        case limitsDecided(RouteMatch)
        case forward(Admission, ForwardingRule)
        case answer(Admission, RouteReply, Route)
    }

    /// What a stage comes to, unless it refuses.
    enum StageResult: ~Copyable {
        case next(Stage)
        /// The request goes on when ``resume(_:)`` is called for it.
        case waits
        case reply(GatewayReply)
        /// The request is with the upstream.
        case forwarded
    }

    let settings: Settings
    let policy: Policy
    var fieldFilter: FieldFilter { settings.fieldFilter }
    let forwardedFields: ForwardedFields
    let loop: EventLoop
    let authenticator: Authenticator
    let limiter: RateLimiter
    private let groups: [UpstreamGroup]
    private let log: RequestLog
    let counters: Counters
    let metrics: RequestMetrics
    /// Nil where no trace is followed.
    let tracer: Tracer?
    let encoders = BodyEncoders()
    /// Tells whether an operator has closed the gateway.
    private let host: HostMemory?
    /// Whether anybody is told when a request came how far.
    private let tellsMoments: Bool
    let keyFetches: KeyFetches
    let authorizerCalls: AuthorizerCalls
    private(set) lazy var passwordChecks = PasswordChecks(authenticator.passwords, on: loop) { [unowned self] in resume($0) }
    let expiry: StreamExpiry
    /// What the gateway adds to every response.
    let addedFields: AddedFields
    /// How much memory the worker holds, as it was last looked at.
    var memory = MemoryPressure.none

    init(
        settings: Settings, loop: EventLoop, authenticator: Authenticator, limiter: RateLimiter, groups: [UpstreamGroup], log: RequestLog,
        counters: Counters, metrics: Metrics, tracer: Tracer? = nil,
        host: HostMemory? = nil
    ) {
        self.host = host
        self.tracer = tracer
        tellsMoments = log.isOn || tracer != nil
        self.settings = settings
        policy = Policy(settings)
        self.loop = loop
        self.authenticator = authenticator
        self.limiter = limiter
        self.groups = groups
        self.log = log
        self.counters = counters
        self.metrics = RequestMetrics(settings, metrics)
        keyFetches = KeyFetches(settings.issuers, on: loop)
        forwardedFields = ForwardedFields(trusted: settings.trustedFields)
        authorizerCalls = AuthorizerCalls(
            zip(settings.authorizers, settings.authorizerUpstreams).map { ($0, groups[$1.index]) }, authenticator.authorizers,
            forwardedFields, settings.fieldFilter, on: loop)
        expiry = StreamExpiry(authenticator, authorizerCalls, settings.authorizers.map(\.recheck), self.metrics, on: loop)
        addedFields = AddedFields(settings.limits)
    }

    // MARK: - The runner

    /// Takes a request whose head is complete and whose framing is known.
    func enter(_ passage: Passage) {
        tracer?.begin(passage)
        run(passage, from: .share)
    }

    /// Goes on with a request that waited: what it waited for has come, or will not come.
    func resume(_ passage: Passage) {
        guard case .waiting(let dependency) = passage.state, let match = passage.match else { return }
        passage.state = .deciding
        switch dependency {
        case .earlyLimits: run(passage, from: .earlyLimitsDecided(match))
        case .keySet, .authorizer, .password: run(passage, from: .authenticate(match))
        case .limits: run(passage, from: .limitsDecided(match))
        case .turn:
            // It may have waited for longer than its credential is good.
            guard expiry.isStillGood(passage) else { return refuse(passage, .token(.expired)) }
            run(passage, from: .limitsDecided(match))
        }
    }

    func run(_ passage: Passage, from first: consuming Stage) {
        var stage = first
        do throws(Refusal) {
            while true {
                switch try perform(stage, for: passage) {
                case .next(let next): stage = next
                case .waits: return
                case .forwarded: return
                case .reply(let reply): return respond(to: passage, reply)
                }
            }
        } catch {
            refuse(passage, error)
        }
    }

    @inline(__always)
    private func perform(_ stage: consuming Stage, for passage: Passage) throws(Refusal) -> StageResult {
        switch consume stage {
        case .share: try share(passage)
        case .match: try match(passage, passage.context.head, &passage.context.target)
        case .limitEarly(let match): try limitEarly(passage, match)
        case .earlyLimitsDecided(let match): try earlyLimitsDecided(passage, match)
        case .authenticate(let match): try authenticate(passage, match)
        case .authorize(let identity, let match): try authorize(passage, identity, match)
        case .limit(let permit, let match): try limit(passage, permit, match)
        case .limitsDecided(let match): try limitsDecided(passage, match)
        case .forward(let admission, let rule): try forward(passage, admission, rule)
        case .answer(let admission, let reply, let route): try answer(passage, admission, reply, of: route)
        }
    }

    // MARK: - The stages

    /// Whether the client may have one more request.
    private func share(_ passage: Passage) throws(Refusal) -> StageResult {
        guard let account = passage.account else { preconditionFailure("a request of no client") }
        if memory != .none {
            // What a proxy's connections hold counts as the proxy's.
            let isOverShare = account.isOverShare || passage.connectionAccount?.isOverShare ?? false
            if memory == .extreme || isOverShare { throw .overloaded }
        }
        if account.address != nil, account.requests > settings.clientLimits.requests {
            counters.add(.requestsAtOnceRefused)
            throw .tooManyAtOnce(subject: false)
        }
        return .next(.match)
    }

    /// Goes by the head and the target alone.
    private func match(
        _ passage: Passage, _ head: borrowing RequestHead, _ target: inout RequestTarget
    ) throws(Refusal) -> StageResult {
        let form = Policy.Form(framing: passage.framing, isHTTP2: passage.isHTTP2, extendedProtocol: passage.extendedProtocol)
        switch try policy.match(head, form, &target, in: passage.context, found: { found($0, for: passage) }) {
        case .reply(let reply): return .reply(reply)
        case .match(let match):
            passage.matched(match)
            let isClosed = host?.isClosed ?? false
            if isClosed || match.route.saysMaintenance {
                try policy.checkMaintenance(match, isClosed: isClosed, in: passage.context)
            }
            if !match.rule.from.isEmpty { try policy.checkAddress(match, in: passage.context) }
            if case .forward(let rule) = match.route.action {
                let group = groups[rule.upstream.index]
                passage.willForward(
                    streamTimeout: rule.timeouts.stream ?? group.streamTimeout, isGRPC: passage.isHTTP2 && group.speaksHTTP2 && head.isGRPC)
            }
            return .next(.limitEarly(match))
        }
    }

    private func found(_ route: Route, for passage: Passage) {
        passage.found(route)
        metrics.began(route)
    }

    /// Asks the limits that need no identity, so that they count the requests that the next stages refuse.
    private func limitEarly(_ passage: Passage, _ match: RouteMatch) throws(Refusal) -> StageResult {
        guard !match.rule.earlyLimits.isEmpty else { return .next(.authenticate(match)) }
        passage.state = .waiting(.earlyLimits)
        let isDecided = limiter.beginEarly(limits: match.rule.earlyLimits, in: passage.context, at: loop.now, passage.progress)
        // A store that answers at once has had the request go on already.
        guard isDecided, passage.state == .waiting(.earlyLimits) else { return .waits }
        return try earlyLimitsDecided(passage, match)
    }

    private func earlyLimitsDecided(_ passage: Passage, _ match: RouteMatch) throws(Refusal) -> StageResult {
        passage.state = .deciding
        if let error = passage.progress.error { throw .admission(error) }
        return .next(.authenticate(match))
    }

    private func authorize(_ passage: Passage, _ identity: Identity?, _ match: RouteMatch) throws(Refusal) -> StageResult {
        if identity != nil { passage.authenticatedAt = Clock.now() }
        return .next(.limit(try policy.authorize(identity, match, in: passage.context), match))
    }

    private func limit(_ passage: Passage, _ permit: consuming Permit, _ match: RouteMatch) throws(Refusal) -> StageResult {
        passage.state = .waiting(.limits)
        let isDecided = limiter.begin(permit, limits: match.rule.limits, in: passage.context, at: loop.now, passage.progress)
        guard isDecided, passage.state == .waiting(.limits) else { return .waits }
        return try limitsDecided(passage, match)
    }

    private func limitsDecided(_ passage: Passage, _ match: RouteMatch) throws(Refusal) -> StageResult {
        passage.state = .deciding
        if limiter.delays, passage.progress.error == nil {
            let turn = limiter.takeTurn(passage.progress)
            if turn > .zero {
                passage.wait(turn, on: loop)
                return .waits
            }
        }
        let admission: Admission?
        do {
            admission = try passage.progress.takeAdmission()
        } catch {
            throw .admission(error)
        }
        guard let admission = consume admission else { preconditionFailure("limits that were decided and admit nothing") }
        if tellsMoments { passage.admittedAt = Clock.now() }
        if limiter.hasShadows { passage.context.exceeded = limiter.exceeded(passage.progress) }
        switch match.route.action {
        case .forward(let rule):
            if passage.decisions != nil { return .reply(try decided(passage, rule)) }
            return .next(.forward(admission, rule))
        case .reply(let reply): return .next(.answer(admission, reply, match.route))
        }
    }

    private func forward(_ passage: Passage, _ admission: consuming Admission, _ rule: ForwardingRule) throws(Refusal) -> StageResult {
        guard let frontEnd = passage.frontEnd, let account = passage.account else { preconditionFailure("a request of no client") }
        passage.state = .forwarding
        if passage.trace != nil { passage.exchange.follow(passage.trace) }
        do {
            try passage.exchange.begin(
                admission, for: frontEnd, rule: rule, origin: passage.origin, method: passage.method,
                framing: passage.framing, tunnel: passage.tunnel, group: groups[rule.upstream.index], account: account, at: loop.now)
        } catch {
            throw .forwarding(error)
        }
        // A call may go on without a response for as long as the client sends.
        if passage.isGRPC { expiry.began(LiveStream(.grpc), of: passage) }
        frontEnd.forwardingBegan()
        return .forwarded
    }

    private func answer(_ passage: Passage, _ admission: consuming Admission, _ reply: RouteReply, of route: Route) throws(Refusal)
        -> StageResult
    {
        .reply(try policy.reply(reply, of: route, to: admission.identity, in: passage.context, form: form(passage)))
    }

    /// The upstream's response begins: some limits go by what it says.
    func responseBegan(_ head: borrowing ResponseHead, _ passage: Passage) {
        if limiter.readsCosts { limiter.note(head, passage.progress) }
    }

    // MARK: - Answering and ending

    /// Takes a request of a listener that sends its clients to https.
    func enter(_ passage: Passage, by redirect: HTTPSRedirect) {
        tracer?.begin(passage)
        do throws(Refusal) {
            guard let reply = try self.redirect(passage.context, passage.context.head, &passage.context.target, redirect) else {
                return run(passage, from: .share)
            }
            respond(to: passage, reply)
        } catch {
            refuse(passage, error)
        }
    }

    private func redirect(
        _ context: RequestContext, _ head: borrowing RequestHead, _ target: inout RequestTarget, _ rule: HTTPSRedirect
    ) throws(Refusal) -> GatewayReply? {
        try policy.redirect(head, &target, in: context, by: rule, toPort: settings.securePort)
    }

    private func respond(to passage: Passage, _ reply: GatewayReply) {
        passage.verdict = .replied(reply)
        passage.status = reply.status
        send(policy.reply(reply, passage.route, passage.identity, in: passage.context, form: form(passage)), to: passage)
    }

    /// Refuses a request, at whatever stage it is.
    func refuse(_ passage: Passage, _ refusal: Refusal) {
        passage.verdict = .refused(refusal)
        if passage.encoding != nil { _ = passage.takeEncoding() }
        // Of what was refused before it was read, too, there is a trace.
        if let tracer, passage.trace == nil { tracer.begin(passage) }
        counters.add(refusal)
        let reply = policy.reply(to: refusal, passage.route, passage.knownIdentity, in: passage.context, form: form(passage))
        // A call of gRPC is answered 200; the log has the status that says more.
        passage.status = reply.status == 302 ? 302 : refusal.status
        send(reply, to: passage)
    }

    private func send(_ reply: Reply, to passage: Passage) {
        passage.state = .answered
        guard let decisions = passage.decisions else { return passage.frontEnd?.respond(reply) ?? () }
        let isAllowed = if case .replied(.decision) = passage.verdict { true } else { false }
        passage.frontEnd?.respond(reply.told(to: decisions, isAllowed: isAllowed))
    }

    private func form(_ passage: Passage) -> ReplyForm {
        ReplyForm(for: passage.context.head, isHTTP2: passage.isHTTP2 && passage.decisions == nil)
    }

    /// The response is complete, or will never be: counts it and writes the log.
    func finish(_ passage: Passage, isComplete: Bool) {
        guard passage.state != .idle else { return }
        // Of a request that was broken off before its response nobody knows how it would have been answered: it counts.
        let isAnswered = isComplete || passage.state == .forwarding && passage.exchange.headAt != .never
        // Who is sent to sign in has failed all the same.
        let counted = if case .refused(let refusal) = passage.verdict { refusal.status } else { passage.status }
        if isAnswered { limiter.settle(passage.progress, status: counted, bodyBytes: passage.bytesOut, at: loop.now) }
        limiter.release(passage.progress, at: loop.now)
        let record = RequestRecord(passage, isComplete: isComplete, at: Clock.now())
        metrics.count(record)
        if let tracer { tracer.finish(record) }
        log.write(record, limits: limiter.limits, wall: loop.wall, at: loop.now)
        if let stream = passage.stream {
            metrics.streamEnded(passage, stream.kind)
            expiry.ended(passage)
        }
        passage.end()
    }

    // MARK: - Events of the worker

    /// The fetching of an issuer's keys has ended, well or not: the requests that waited for it go on.
    func keysSettled(of issuer: IssuerID, hasFailed: Bool) {
        for passage in keyFetches.settled(issuer, hasFailed: hasFailed) { resume(passage) }
    }

    /// An issuer's keys have changed.
    func keysChanged(of issuer: IssuerID) {
        keyFetches.changed(issuer)
        expiry.keysChanged(of: issuer)
    }

    /// Lets go on, without it, the requests that have waited for something too long.
    func endOverdueWaits() {
        for passage in keyFetches.overdue() { resume(passage) }
        if !settings.passwords.isEmpty { for passage in passwordChecks.overdue() { resume(passage) } }
    }

    /// Called now and then: no response goes on for longer than the credential that let it in, whatever its type.
    func checkResponses() { for group in groups { group.checkResponses() } }

    /// The process is about to end.
    func endStreams() { for group in groups { group.endStreams() } }
}
