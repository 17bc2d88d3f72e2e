import Bytes
package import HTTPMessage
package import Routing
package import Time

/// Makes of an authorizer's response what the next stages go by, and remembers it where the file says so.
///
/// It asks nobody itself: the gateway does, and brings what was said.
package final class AuthorizerVerifier {
    private let authorizers: [Authorizer]
    private let requirements: any RequirementAnswering
    private let hash: SipHash
    private let shares = SubjectShares(capacity: 16_384)
    private var caches: [VerdictCache]

    init(_ authorizers: [Authorizer], hash: SipHash, _ requirements: any RequirementAnswering) {
        self.hash = hash
        self.authorizers = authorizers
        self.requirements = requirements
        caches = authorizers.map { _ in VerdictCache() }
    }

    /// By which what it says of a request is remembered; nil for not at all.
    package func key(_ id: AuthorizerID, of context: RequestContext) -> VerdictKey? {
        authorizers[id.index].cacheKey(of: context).map { VerdictKey($0, hash) }
    }

    /// What it said lately of a request that is no other by the cache's key.
    package func known(_ id: AuthorizerID, _ key: VerdictKey, at now: Instant) -> AuthorizerVerdict? { caches[id.index].find(key, at: now) }

    /// What a response says, and whether it holds for others who asked the same: what one client is given is not given to the next.
    ///
    /// - Parameter key: by which it is remembered; nil for not at all.
    package func verdict(
        of id: AuthorizerID, _ response: AuthorizerResponse, remembering key: VerdictKey?, at now: Instant
    ) -> (verdict: AuthorizerVerdict, isShared: Bool) {
        let authorizer = authorizers[id.index]
        let verdict = verdict(of: id, authorizer, response)
        guard let key, let rule = authorizer.cache else { return (verdict, false) }
        var time = rule.time
        if let seconds = response.secondsKept { time = min(time, .seconds(seconds)) }
        switch verdict {
        case .allowed(_, let lines): if !lines.isEmpty { return (verdict, false) }
        case .refused(let refusal):
            if !refusal.lines.isEmpty { return (verdict, false) }
            time = min(time, refusalTimeMax)
        case .unavailable: return (verdict, true)
        }
        guard time > .zero else { return (verdict, false) }
        caches[id.index].keep(verdict, key, until: now.adding(time))
        return (verdict, true)
    }

    private func verdict(of id: AuthorizerID, _ authorizer: Authorizer, _ response: AuthorizerResponse) -> AuthorizerVerdict {
        switch response.status {
        case 200..<300:
            do {
                let claims = try response.claims(authorizer.claims)
                return .allowed(principal(id, claims), lines: response.lines(authorizer.passedFields))
            } catch {
                return .unavailable(error.reason)
            }
        case 401, 403, 301, 302, 303, 307, 308:
            let location = response.status == 403 ? nil : response.values("location").first
            return .refused(
                AuthorizerRefusal(
                    by: id, asksForCredential: response.status != 403,
                    challenges: response.status == 401
                        ? response.values("www-authenticate").map { String(decoding: $0, as: UTF8.self) } : [],
                    location: authorizer.followsRedirects ? location : nil, lines: response.lines(authorizer.passedFields)))
        default: return .unavailable("it responded with status \(response.status)")
        }
    }

    func principal(_ id: AuthorizerID, _ claims: Claims) -> Principal {
        let authorizer = authorizers[id.index]
        let subject = authorizer.subjectClaims.lazy.compactMap { claims[$0]?.string }.first
        return Principal(
            .authorizer(id), subject: subject, claims: claims, expiry: Principal.noExpiry,
            answers: requirements.answers(for: claims, of: .authorizer(id)), share: shares.share(of: subject, .authorizer(id)), token: nil)
    }

    /// Who a request is that was let in. What it was let in by nobody here knows; a cookie, or a password of Basic, a browser sends by itself.
    package func identity(_ principal: Principal, _ head: borrowing RequestHead) -> Identity {
        // Basic, Negotiate, NTLM and Digest it repeats by itself, and where there is neither, the address may be what counts.
        let isField =
            !head.fields.has(.cookie)
            && head.value(.authorization).map { value in
                !Credential.isForeign(head.bytes.extracting(value))
            } ?? false
        return Identity(principal, kind: isField ? .field : .cookie)
    }
}

private let refusalTimeMax = Nanoseconds.seconds(1)
