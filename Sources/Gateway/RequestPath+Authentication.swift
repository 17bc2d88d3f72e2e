import Authentication
import Configuration
import Observability
import Policy
import RateLimiting
import Routing
import System
import Time

/// The stage that finds out who asks: one credential after the other, as the route has them.
extension RequestPath {
    /// Asks for the credentials that the route takes, in their order: the first that is there decides, or with `auth any` the first that lets
    /// in.
    func authenticate(_ passage: Passage, _ match: RouteMatch) throws(Refusal) -> StageResult {
        guard let credentials = match.credentials else { return .next(.authorize(nil, match)) }
        while passage.credentialStep < credentials.steps.count {
            do throws(Refusal) {
                switch credentials.steps[passage.credentialStep] {
                case .token: if let result = try checkToken(passage, match, credentials) { return result }
                case .authorizer(let id): return try askAuthorizer(passage, match, id)
                case .password(let id): if let result = try checkPassword(passage, match, id) { return result }
                case .network(let id):
                    if let identity = authenticator.identity(of: id, passage.context.clientIP) {
                        return try admit(identity, passage, match)
                    }
                }
            } catch {
                guard credentials.takesAny, error.isOfCredential else { throw error }
                passage.refusedCredential(error)
            }
            passage.credentialStep += 1
        }
        throw passage.credentialRefusal ?? .token(.missing)
    }

    /// Nil where the request brings no token.
    private func checkToken(_ passage: Passage, _ match: RouteMatch, _ rule: AuthenticationRule) throws(Refusal) -> StageResult? {
        let outcome: Verification
        do throws(CredentialError) {
            outcome = try authenticator.tokens.verify(passage.context.head, by: rule, at: loop.wallSeconds) {
                () throws(CredentialError) in
                let pause = passage.account?.tokenPause(at: loop.now) ?? .zero
                if pause > .zero { throw .tooManyFailures(pause) }
            }
            if case .pending(let doubt) = outcome {
                try keyFetches.wait(passage, for: doubt, hasKeys: authenticator.tokens.hasKeys(of: doubt.issuer))
            }
        } catch {
            throw tokenRefused(passage, error)
        }
        switch consume outcome {
        case .identity(let identity): return try admit(identity, passage, match)
        case .absent: return nil
        case .pending: return .waits
        }
    }

    /// Nil where the request brings no user and password.
    private func checkPassword(_ passage: Passage, _ match: RouteMatch, _ id: PasswordFileID) throws(Refusal) -> StageResult? {
        let principal: Principal
        switch passage.passwordOutcome {
        case .right(let found): principal = found
        case .wrong:
            passage.passwordOutcome = nil
            passage.account?.tokenFailed(at: loop.now)
            throw .passwordWrong
        case .late:
            passage.passwordOutcome = nil
            throw .overloaded
        case nil:
            switch authenticator.passwords.find(id, passage.context.head, at: loop.now) {
            case .none: return nil
            case .known(let found): principal = found
            case .check(let check):
                let pause = passage.account?.tokenPause(at: loop.now) ?? .zero
                if pause > .zero {
                    counters.add(.failedTokensRefused)
                    throw .tooManyFailedTokens(retryAfter: pause)
                }
                try passwordChecks.wait(passage, for: check, of: id)
                return .waits
            }
        }
        passage.passwordOutcome = nil
        return try admit(authenticator.passwords.identity(principal), passage, match)
    }

    private func askAuthorizer(_ passage: Passage, _ match: RouteMatch, _ id: AuthorizerID) throws(Refusal) -> StageResult {
        var said = passage.takeAuthorizerVerdict()
        if said == nil { said = try authorizerCalls.verdict(of: id, on: passage) }
        guard let verdict = said else { return .waits }
        switch verdict {
        case .allowed(let principal, let lines):
            if !lines.isEmpty { passage.willAnswer(with: lines) }
            return try admit(authenticator.authorizers.identity(principal, passage.context.head), passage, match)
        case .refused(let refusal): throw .authorizer(refusal)
        case .unavailable(let reason):
            throw .authorizerUnavailable(settings.authorizers[id.index].name, reason)
        }
    }

    /// Whether who an authorizer names by now still meets what the route demands.
    func permits(_ principal: Principal, on passage: Passage) -> Bool {
        guard let match = passage.match else { return false }
        let identity = authenticator.authorizers.identity(principal, passage.context.head)
        return (try? policy.authorize(identity, match, in: passage.context)) != nil
    }

    /// Goes on with who asks, unless that subject has enough under way.
    private func admit(_ identity: Identity, _ passage: Passage, _ match: RouteMatch) throws(Refusal) -> StageResult {
        guard identity.principal.share.requests < settings.clientLimits.requestsPerSubject else {
            counters.add(.requestsAtOnceRefused)
            passage.refused(identity)
            throw Refusal.tooManyAtOnce(subject: true)
        }
        passage.authenticated(identity, credentialVersion: authenticator.version(of: identity.principal.credential))
        return .next(.authorize(identity, match))
    }

    private func tokenRefused(_ passage: Passage, _ error: CredentialError) -> Refusal {
        if case .tooManyFailures(let pause) = error {
            counters.add(.failedTokensRefused)
            return .tooManyFailedTokens(retryAfter: pause)
        }
        passage.claimedSubject = authenticator.tokens.claimedSubject
        if error.isForgery { passage.account?.tokenFailed(at: loop.now) }
        return .token(error)
    }
}
