import Time
import System
package import Authentication
package import Authorization
import Bytes
package import Configuration
import Forwarding
import HTTP1
import HTTPMessage
package import Routing

/// Runs ``Policy`` for requests that nobody sent: all that `RequestPath` asks of it, in the same order. What needs the running gateway is left
/// out: limits are not asked, no client has a share, no upstream is called, and keys at a URL are not fetched.
package final class OfflinePolicy {
    package enum Decision {
        case forwarded(RouteMatch, Identity?)
        case replied(GatewayReply)
        case refused(Refusal)
        /// The keys of this issuer are at a URL, or this authorizer would have to be asked.
        case undecided(CredentialID)
    }

    /// A decision with what it was made of.
    package struct Outcome {
        package let decision: Decision
        package let context: RequestContext
        /// Nil where none was found.
        package let route: Route?
        /// Nil where the route does not take the request.
        package let match: RouteMatch?
        package let identity: Identity?
        /// The head that the upstream would get, in the form of HTTP/1.1; empty where it would get none.
        package let upstreamHead: [UInt8]
        /// Where a browser that was refused goes; nil for nowhere.
        package let signIn: [UInt8]?

        /// What the client is told; nil where an upstream says it, or nobody knows.
        package var status: Int? {
            switch decision {
            case .refused(let refusal): signIn == nil ? refusal.status : 302
            case .replied(let reply): reply.status
            case .forwarded, .undecided: nil
            }
        }
    }

    package let settings: Settings
    package let policy: Policy
    private let authenticator: Authenticator
    private let forwardedFields: ForwardedFields

    /// - Parameter content: of a key set file.
    package init(_ settings: Settings, keySet content: (_ path: String) -> [UInt8]?) {
        self.settings = settings
        policy = Policy(settings)
        authenticator = Authenticator(
            issuers: settings.issuers, authorizers: settings.authorizers, networks: settings.networks, passwords: settings.passwords,
            sources: settings.tokenSources,
            cacheCapacity: 4,
            cacheHash: SipHash(key0: 1, key1: 2),
            requirements: settings.requirements)
        forwardedFields = ForwardedFields(trusted: settings.trustedFields)
        for (index, issuer) in settings.issuers.enumerated() {
            guard let keys = issuer.keySet(content) else { continue }
            authenticator.tokens.replaceKeys(of: IssuerID(index), with: keys)
        }
    }

    package func decide(_ request: OfflineRequest) -> Outcome {
        let context = RequestContext()
        var run = Run(context: context)
        let decision: Decision
        do throws(Refusal) {
            decision = try decide(request, &run)
        } catch {
            decision = .refused(error)
        }
        return Outcome(
            decision: decision, context: context, route: run.route, match: run.match, identity: run.identity,
            upstreamHead: run.upstreamHead, signIn: signIn(after: decision, run))
    }

    /// Holds claims to the rules of their issuer.
    package func check(_ claims: UnsignedClaims, at time: UInt64) -> CheckedClaims {
        claims.checked(among: settings.issuers, authenticator, settings.requirements, at: time)
    }

    /// What a token is to the file, without a request.
    package func inspect(_ token: [UInt8], at time: UInt64) throws(CredentialError) -> Verification {
        try authenticator.tokens.inspect(token.span, at: time)
    }

    /// What becomes of an identity where a rule of a route asks for one; nil where none is asked for.
    ///
    /// - Throws: the refusal. A rule on a variable that only a request has is refused too, as ``AuthorizationError/ruleUnmet(_:)``.
    package func authorize(_ identity: Identity, _ route: Route, _ rule: Route.MethodRule) throws(Refusal) -> Permit? {
        let match = RouteMatch(route: route, rule: rule, upgrade: nil)
        guard let credentials = match.credentials else { return nil }
        guard credentials.accepts(identity.principal.credential) else { throw .token(.issuerNotAccepted) }
        let context = RequestContext()
        return try policy.authorize(identity, match, in: context)
    }

    private func signIn(after decision: Decision, _ run: Run) -> [UInt8]? {
        guard case .refused(let refusal) = decision else { return nil }
        return policy.signIn(after: refusal, run.route, in: run.context)
    }

    private struct Run {
        let context: RequestContext
        var route: Route?
        var match: RouteMatch?
        var identity: Identity?
        var upstreamHead: [UInt8] = []
    }

    private func decide(_ request: OfflineRequest, _ run: inout Run) throws(Refusal) -> Decision {
        let context = run.context
        let framing = try request.read(into: context, settings)
        if request.isHTTPS == false {
            let port = UInt16(request.host.split(separator: ":").last.map(String.init) ?? "") ?? 80
            if let rule = settings.redirect(at: port), let reply = try redirect(context, context.head, &context.target, rule) {
                return .replied(reply)
            }
        }
        let match: RouteMatch
        switch try self.match(context.head, &context.target, Policy.Form(framing: framing), &run) {
        case .reply(let reply): return .replied(reply)
        case .match(let found): match = found
        }
        run.match = match
        if !request.ignoresAddress { try policy.checkAddress(match, in: context) }
        if let credentials = match.credentials {
            switch try authenticate(request, context.head, by: credentials) {
            case .identity(let identity): run.identity = identity
            case .undecided(let credential): return .undecided(credential)
            }
        }
        _ = try policy.authorize(run.identity, match, in: context)
        switch match.route.action {
        case .forward(let rule):
            run.upstreamHead = try upstreamHead(request, match, rule, run.identity, framing, context)
            return .forwarded(match, run.identity)
        case .reply(let reply):
            let form = ReplyForm(for: context.head, isHTTP2: false)
            return .replied(try policy.reply(reply, of: match.route, to: run.identity, in: context, form: form))
        }
    }

    private func redirect(
        _ context: RequestContext, _ head: borrowing RequestHead, _ target: inout RequestTarget, _ rule: HTTPSRedirect
    ) throws(Refusal) -> GatewayReply? {
        try policy.redirect(head, &target, in: context, by: rule, toPort: settings.securePort)
    }

    private func match(
        _ head: borrowing RequestHead, _ target: inout RequestTarget, _ form: Policy.Form, _ run: inout Run
    ) throws(Refusal) -> Policy.Outcome {
        var found: Route?
        defer { run.route = found }
        return try policy.match(head, form, &target, in: run.context) { found = $0 }
    }

    private enum Authenticated {
        case identity(Identity)
        /// What would have to be asked.
        case undecided(CredentialID)
    }

    private func authenticate(
        _ request: OfflineRequest, _ head: borrowing RequestHead, by rule: AuthenticationRule
    ) throws(Refusal) -> Authenticated {
        var refused: Refusal?
        for step in rule.steps {
            do throws(Refusal) {
                if let found = try authenticate(request, head, by: rule, step) { return found }
            } catch {
                guard rule.takesAny, error.isOfCredential else { throw error }
                if let refused, refused.outweighs(error) { continue }
                refused = error
            }
        }
        throw refused ?? .token(.missing)
    }

    /// Nil where there is no credential of the step's kind.
    private func authenticate(
        _ request: OfflineRequest, _ head: borrowing RequestHead, by rule: AuthenticationRule, _ step: AuthenticationRule.Step
    ) throws(Refusal) -> Authenticated? {
        let claims: CheckedClaims? =
            switch request.bearer {
            case .claims(let claims): check(claims, at: request.time)
            case .checked(let claims): claims
            case .fields, .token: nil
            }
        switch step {
        case .network(let id): return authenticator.identity(of: id, [UInt8](request.clientIP.utf8)).map { .identity($0) }
        case .token:
            do throws(CredentialError) {
                if let claims { return claims.areOfToken ? .identity(try claims.identity(by: rule)) : nil }
                switch try authenticator.tokens.verify(head, by: rule, at: request.time) {
                case .identity(let identity): return .identity(identity)
                case .absent: return nil
                case .pending(let doubt):
                    if doubt.error == .keysUnavailable { return .undecided(.issuer(doubt.issuer)) }
                    throw doubt.error
                }
            } catch {
                throw .token(error)
            }
        case .password(let id):
            if let claims { return claims.credential == .password(id) ? (try? claims.identity(by: rule)).map { .identity($0) } : nil }
            switch authenticator.passwords.find(id, head, at: .past) {
            case .none: return nil
            case .known(let principal): return .identity(authenticator.passwords.identity(principal))
            case .check(let check):
                guard check.run() else { throw .passwordWrong }
                return .identity(authenticator.passwords.identity(authenticator.passwords.passed(check.subject, of: id, at: .past)))
            }
        case .authorizer(let id):
            if let claims, claims.credential == .authorizer(id), let given = try? claims.identity(by: rule) {
                let identity = authenticator.authorizers.identity(given.principal, head)
                return .identity(identity)
            }
            guard request.authorizersRefuse || claims != nil else { return .undecided(.authorizer(id)) }
            throw .authorizer(AuthorizerRefusal(by: id, asksForCredential: true))
        }
    }

    /// The head as the forwarding stage writes it.
    private func upstreamHead(
        _ request: OfflineRequest, _ match: RouteMatch, _ rule: ForwardingRule, _ identity: Identity?, _ framing: BodyFraming,
        _ context: RequestContext
    ) throws(Refusal) -> [UInt8] {
        let peer = IPAddress(request.clientIP)
        let origin = DownstreamOrigin(
            peer: [UInt8]((peer?.text ?? request.clientIP).utf8), isPeerTrusted: peer.map { settings.trusts($0) } ?? false,
            isTLS: request.isHTTPS ?? settings.isServedOverTLS, addresses: nil)
        let outgoing = OutgoingHead(context, settings.fieldFilter, forwardedFields, rule, from: origin)
        outgoing.begin(identity, rule, from: origin, tunnelLines: [])
        var output = ByteQueue()
        do {
            try outgoing.render()
            try outgoing.write(RequestShape(forwarding: context.head.method, framing: framing, upgrade: match.upgrade?.name), to: &output)
        } catch {
            throw .forwarding(error)
        }
        return output.readable.copied()
    }
}
