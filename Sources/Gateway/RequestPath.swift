import Configuration
import Policy
import Authentication
import Authorization
import Bytes
import System
import Forwarding
import HTTP1
import HTTPMessage
import Observability
import RateLimiting
import Routing

/// The path of a request through the gateway, in order:
///
/// 1. its target is normalised, once;
/// 2. a route is found for it, and the rule for its method;
/// 3. the limits that no claim decides are asked, then its token becomes an `Identity`;
/// 4. the identity, by the rule, becomes a `Permit`;
/// 5. the permit, by the limits, becomes an `Admission`;
/// 6. the admission is used up by forwarding;
/// 7. the answer leaves a line in the log.
///
/// Each stage that refuses throws; ``Refusal`` says what the client is told. Two stages may have to wait, for keys (3) and
/// for the store of a limit (5); the passage then goes on from where it was.
final class RequestPath {
    private let settings: Settings
    private let policy: Policy
    var fieldFilter: FieldFilter { settings.fieldFilter }
    let forwardedFields: ForwardedFields
    private let loop: EventLoop
    private let authenticator: Authenticator
    private let limiter: RateLimiter
    private let groups: [UpstreamGroup]
    private let log: RequestLog
    private let counters: Counters
    let keyWaits: KeyWaits
    /// What the gateway adds to every answer.
    let addedFields: AddedFields
    /// Streams and tunnels that end with their credential.
    private var streams: [ObjectIdentifier: Passage] = [:]
    /// Of them, those whose keys have changed since they were let in.
    private var doubted: [Passage] = []
    /// Whether the worker holds more memory than it should.
    var isOutOfMemory = false
    /// The same by far: then nobody may have more.
    var isFarOutOfMemory = false

    init(
        settings: Settings, loop: EventLoop, authenticator: Authenticator, limiter: RateLimiter, groups: [UpstreamGroup], log: RequestLog,
        counters: Counters
    ) {
        self.settings = settings
        policy = Policy(settings)
        self.loop = loop
        self.authenticator = authenticator
        self.limiter = limiter
        self.groups = groups
        self.log = log
        self.counters = counters
        keyWaits = KeyWaits(settings.issuers, on: loop)
        addedFields = AddedFields(settings.limits)
        forwardedFields = ForwardedFields(trusted: settings.trustedFields)
    }

    // MARK: - The stages

    /// Takes a request whose head is complete and whose framing is known.
    func enter(_ passage: Passage) {
        counters.add(.requests)
        do throws(Refusal) {
            try checkShare(passage)
            try decide(passage, passage.context.head, &passage.context.target)
            guard try admitEarly(passage) else { return }
            try authenticate(passage)
        } catch {
            refuse(passage, error)
        }
    }

    /// Whether the client may have one more request.
    private func checkShare(_ passage: Passage) throws(Refusal) {
        guard let account = passage.account else { return }
        if isOutOfMemory {
            // What a proxy's connections hold counts as the proxy's.
            let isOverShare = account.isOverShare || passage.connectionAccount?.isOverShare ?? false
            if isFarOutOfMemory || isOverShare { throw .overloaded }
        }
        if account.address != nil, account.requests > settings.clientLimits.requests {
            counters.add(.requestsAtOnceRefused)
            throw .tooManyAtOnce(subject: false)
        }
    }

    /// Answers a request of a listener that sends everybody to https.
    func redirect(_ passage: Passage, toPort port: UInt16) {
        counters.add(.requests)
        do throws(Refusal) {
            throw try place(passage.context, passage.context.head, &passage.context.target, port)
        } catch {
            refuse(passage, error)
        }
    }

    private func place(
        _ context: RequestContext, _ head: borrowing RequestHead, _ target: inout RequestTarget, _ port: UInt16
    ) throws(Refusal) -> Refusal {
        try policy.normalize(head, &target, in: context)
        guard !context.host.isEmpty else { throw .malformed(.missingHost) }
        let host = String(decoding: context.host, as: UTF8.self) + (port == 443 ? "" : ":\(port)")
        return .redirect("https://\(host)\(target.pathSpan.text)\(head.text(target.query))")
    }

    /// The stages that go by the head and the target alone.
    private func decide(_ passage: Passage, _ head: borrowing RequestHead, _ target: inout RequestTarget) throws(Refusal) {
        let context = passage.context
        try policy.normalize(head, &target, in: context)
        let route = try policy.route(host: context.host, target)
        passage.route = route
        passage.ownsCORS = route.cors != nil
        context.follow(route: route.name, captures: route.pattern.captures)
        let form = Policy.Form(framing: passage.framing, isHTTP2: passage.isHTTP2, extendedProtocol: passage.extendedProtocol)
        let match = try policy.match(head, form, to: route)
        passage.methodRule = match.rule
        if let upgrade = match.upgrade {
            passage.tunnel = TunnelRequest(upgrade: upgrade, lines: match.needsWebSocketKey ? WebSocketHandshake.keyLine() : [])
        }
        let group = groups[route.upstream]
        passage.streamTimeout = group.streamTimeout
        passage.isGRPC = passage.isHTTP2 && group.speaksHTTP2 && head.isGRPC
    }

    /// Asks the limits that need no identity, so that they count those whom the next stages refuse. False when the request has
    /// to wait for a store.
    private func admitEarly(_ passage: Passage) throws(Refusal) -> Bool {
        guard let limits = passage.methodRule?.earlyLimits, !limits.isEmpty else { return true }
        passage.stage = .awaitingEarlyLimits
        guard limiter.beginEarly(limits: limits, in: passage.context, at: loop.now, passage.progress) else { return false }
        passage.stage = .deciding
        if let error = passage.progress.error { throw .admission(error) }
        return true
    }

    private func authenticate(_ passage: Passage) throws(Refusal) {
        guard let route = passage.route, let rule = passage.methodRule else { return }
        if let publicRule = rule.publicRule { return admit(passage, Authorization.permit(publicRule)) }
        switch route.access {
        case .public(let publicRule): admit(passage, Authorization.permit(publicRule))
        case .authenticated(let issuers):
            let outcome: Authenticator.Outcome
            do {
                outcome = try authenticator.authenticate(passage.context.head, by: issuers, at: loop.wall / 1_000_000_000) {
                    () throws(TokenError) in
                    let pause = passage.account?.tokenPause(settings.clientLimits.failedTokens, at: loop.now) ?? 0
                    if pause > 0 { throw .tooManyFailures(pause) }
                }
            } catch {
                throw tokenRefused(passage, error)
            }
            switch consume outcome {
            case .identity(let identity):
                passage.identity = identity
                if identity.kind.isAmbient {
                    try policy.checkOrigin(passage.context.head, of: identity, isUpgrade: passage.tunnel != nil, in: passage.context)
                }
                let share = identity.verified.share
                guard share.requests < settings.clientLimits.requestsPerSubject else {
                    counters.add(.requestsAtOnceRefused)
                    throw .tooManyAtOnce(subject: true)
                }
                share.requestBegan()
                passage.countsForSubject = true
                passage.keysVersion = authenticator.keysVersion(of: identity.verified.issuer)
                try authorize(passage, identity, rule)
            case .needsKeys(let doubt):
                do {
                    try keyWaits.wait(passage, for: doubt, hasKeys: authenticator.hasKeys(of: doubt.issuer))
                } catch {
                    throw tokenRefused(passage, error)
                }
            }
        }
    }

    private func tokenRefused(_ passage: Passage, _ error: TokenError) -> Refusal {
        if case .tooManyFailures(let pause) = error {
            counters.add(.failedTokensRefused)
            return .tooManyFailedTokens(retryAfter: pause)
        }
        passage.claimedSubject = authenticator.claimedSubject
        if error.isForgery { passage.account?.tokenFailed(settings.clientLimits.failedTokens, at: loop.now) }
        return .token(error)
    }

    private func authorize(_ passage: Passage, _ identity: Identity, _ rule: Route.MethodRule) throws(Refusal) {
        if log.isOn { passage.authenticatedAt = Clock.now() }
        admit(passage, try policy.authorize(identity, rule, in: passage.context))
    }

    private func admit(_ passage: Passage, _ permit: consuming Permit) {
        passage.stage = .awaitingLimits
        let limits = passage.methodRule?.limits ?? []
        if limiter.begin(permit, limits: limits, in: passage.context, at: loop.now, passage.progress) { admissionDecided(passage) }
    }

    /// The limits have been asked; called later when one of them is kept outside.
    func admissionDecided(_ passage: Passage) {
        if passage.stage == .awaitingEarlyLimits { return earlyLimitsDecided(passage) }
        guard passage.stage == .awaitingLimits else { return }
        do {
            guard let admission = try passage.progress.takeAdmission() else { return }
            if log.isOn { passage.admittedAt = Clock.now() }
            forward(passage, admission)
        } catch {
            refuse(passage, .admission(error))
        }
    }

    private func earlyLimitsDecided(_ passage: Passage) {
        passage.stage = .deciding
        do throws(Refusal) {
            if let error = passage.progress.error { throw .admission(error) }
            try authenticate(passage)
        } catch {
            refuse(passage, error)
        }
    }

    private func forward(_ passage: Passage, _ admission: consuming Admission) {
        guard let route = passage.route else { return }
        passage.stage = .forwarding
        do {
            guard let frontEnd = passage.frontEnd, let account = passage.account else { return }
            try passage.exchange.begin(
                admission, for: frontEnd, rule: route.forwarding, origin: passage.origin, method: passage.method, framing: passage.framing,
                tunnel: passage.tunnel, group: groups[route.forwarding.upstream], account: account, at: loop.now)
        } catch {
            return refuse(passage, .forwarding(error))
        }
        // A call may go on without an answer for as long as the client sends.
        if passage.isGRPC { began(LiveStream(.grpc), of: passage) }
        passage.frontEnd?.forwardingBegan()
    }

    // MARK: - Refusing and ending

    /// Answers a request in the gateway's own name.
    func refuse(_ passage: Passage, _ refusal: Refusal) {
        passage.stage = .decided
        passage.refusal = refusal
        passage.status = refusal.status
        counters.add(.refusals)
        if case .malformed = refusal { counters.add(.malformedRequests) }
        if case .forwarding = refusal { counters.add(.upstreamFailures) }
        switch refusal {
        case .malformed(.headTooLarge), .malformed(.tooManyFields), .malformed(.targetTooLong): counters.add(.headsTooLarge)
        case .headTimeout: counters.add(.headsTimedOut)
        case .bodyTimeout, .bodyTooSlow: counters.add(.slowBodies)
        case .overloaded: counters.add(.memoryRefusals)
        default: break
        }
        let answer = RefusalAnswer(
            refusal, requestID: passage.context.requestID, challenge: passage.route?.challenge ?? settings.challenge, form: form(passage))
        passage.frontEnd?.answer(answer, to: refusal)
    }

    /// The answer is complete, or will never be: counts it and writes the log.
    func finish(_ passage: Passage, isComplete: Bool) {
        guard passage.stage != .idle else { return }
        // Of a request that was broken off before its answer nobody knows how it would have been answered: it counts.
        let isAnswered = isComplete || passage.stage == .forwarding && passage.exchange.headAt != .never
        if isAnswered { limiter.settle(passage.progress, status: passage.status, at: loop.now) }
        switch passage.status {
        case 200..<300: counters.add(.answers2xx)
        case 300..<400: counters.add(.answers3xx)
        case 400..<500: counters.add(.answers4xx)
        case 500..<600: counters.add(.answers5xx)
        default: break
        }
        log.write(passage, limits: limiter.limits, wall: loop.wall, at: loop.now, isComplete: isComplete)
        if passage.stream != nil { streams[ObjectIdentifier(passage)] = nil }
        passage.end()
    }

    private func form(_ passage: Passage) -> RefusalAnswer.Form {
        if passage.isHTTP2, passage.context.head.isGRPC { return .grpc }
        return wantsHTML(passage.context.head) ? .html : .problem
    }

    private func wantsHTML(_ head: borrowing RequestHead) -> Bool {
        guard let mode = head.value(.secFetchMode), head.bytes.extracting(mode).equals("navigate"), let accept = head.value(.accept) else {
            return false
        }
        var elements = ListElements(range: accept)
        while let element = elements.next(in: head.bytes) {
            if head.bytes.extracting(element).hasPrefix("text/html") { return true }
        }
        return false
    }

    // MARK: - Streams

    /// The answer turns out to be a stream, or a tunnel: it lives no longer than the credential that let it in.
    func began(_ stream: LiveStream, of passage: Passage) {
        guard let verified = passage.identity?.verified, passage.route?.endsStreamsOnExpiry ?? true else {
            return passage.begin(stream, checkedAt: nil, on: loop)
        }
        streams[ObjectIdentifier(passage)] = passage
        // The keys may have changed while the request was on its way.
        if authenticator.keysVersion(of: verified.issuer) != passage.keysVersion { doubted.append(passage) }
        passage.begin(stream, checkedAt: nextCheck(verified), on: loop)
    }

    /// When the credential may have expired; at the latest in a minute, because the host's clock may be set.
    private func nextCheck(_ verified: VerifiedToken) -> Instant {
        let end = verified.refusedFrom.multipliedReportingOverflow(by: 1_000_000_000)
        let left = end.overflow ? UInt64.max : end.partialValue - min(loop.wall, end.partialValue)
        return loop.now.adding(min(left, credentialCheckPause))
    }

    func checkCredential(_ passage: Passage) {
        if passage.isExpired, passage.stage == .forwarding { return passage.frontEnd?.breakOff() ?? () }
        guard passage.stage == .forwarding, let verified = passage.identity?.verified else { return }
        if loop.wall / 1_000_000_000 < verified.refusedFrom { return passage.check(at: nextCheck(verified), on: loop) }
        expire(passage)
    }

    /// Called now and then: no answer goes on for longer than the credential that let it in, whatever its type.
    func lookAtAnswers() { for group in groups { group.lookAtAnswers() } }

    /// The process is about to end.
    func endStreams() { for group in groups { group.endStreams() } }

    func answerGoesOn(_ passage: Passage) {
        guard passage.stage == .forwarding, passage.stream == nil, let verified = passage.identity?.verified,
            passage.route?.endsStreamsOnExpiry ?? true, loop.wall / 1_000_000_000 >= verified.refusedFrom
        else { return }
        passage.begin(LiveStream(.body), checkedAt: nil, on: loop)
        expire(passage)
    }

    private func expire(_ passage: Passage) {
        streams[ObjectIdentifier(passage)] = nil
        counters.add(.streamsExpired)
        passage.isExpired = true
        // It ends in its own terms, or without.
        passage.check(at: loop.now.adding(endingTime), on: loop)
        passage.frontEnd?.credentialExpired()
    }

    /// An issuer's keys have changed: streams that were let in with the old ones are looked at again, a few at a time.
    func keysChanged(of issuer: Int) {
        keyWaits.changed(issuer)
        doubted += streams.values.filter { $0.identity?.verified.issuer == issuer }
        recheckSome()
    }

    /// Called now and then.
    func recheckSome() {
        for _ in 0..<min(doubted.count, recheckedAtOnce) {
            guard let passage = doubted.popLast(), passage.stage == .forwarding, let verified = passage.identity?.verified,
                streams[ObjectIdentifier(passage)] != nil
            else { continue }
            if !authenticator.isStillGood(verified, at: loop.wall / 1_000_000_000) { expire(passage) }
        }
    }

    // MARK: - Waiting for keys

    /// The fetching of an issuer's keys has ended, well or not: who waited goes on.
    func keysSettled(of issuer: Int, hasFailed: Bool) { resume(keyWaits.settled(issuer, hasFailed: hasFailed)) }

    /// Lets go of those who have waited for too long.
    func giveUpWaiting() { resume(keyWaits.overdue()) }

    private func resume(_ passages: [Passage]) {
        for passage in passages {
            do throws(Refusal) {
                try authenticate(passage)
            } catch {
                refuse(passage, error)
            }
        }
    }
}

private let endingTime: UInt64 = 5_000_000_000
private let credentialCheckPause: UInt64 = 60_000_000_000
/// A signature costs up to 120 µs.
private let recheckedAtOnce = 64
