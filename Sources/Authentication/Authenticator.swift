package import Bytes
package import HTTPMessage

/// What a route says about who may come: tokens of these issuers.
package struct AuthenticationRule: Sendable {
    /// Indices of the accepted issuers.
    package let issuers: [Int]

    package init(issuers: [Int]) { self.issuers = issuers }
}

/// The stage that turns a request's token into an ``Identity``.
package final class Authenticator {
    package enum Outcome {
        case identity(Identity)
        /// The token names a key that is not known; the issuer's key set may have changed.
        case needsKeys(issuer: Int)
    }

    package let issuers: [Issuer]
    package let sources: TokenSources
    private var keySets: [KeySet?]
    /// Counts the changes of each issuer's keys.
    private var versions: [UInt64]
    private let cache: VerifiedTokenCache
    private let requirements: any RequirementAnswering

    package init(
        issuers: [Issuer], sources: TokenSources, cacheCapacity: Int, cacheHash: SipHash, requirements: any RequirementAnswering
    ) {
        self.issuers = issuers
        self.sources = sources
        self.requirements = requirements
        versions = [UInt64](repeating: 0, count: issuers.count)
        keySets = [KeySet?](repeating: nil, count: issuers.count)
        cache = VerifiedTokenCache(capacity: cacheCapacity, hash: cacheHash)
    }

    /// Replaces the keys of an issuer and forgets what was verified with the old ones.
    package func replaceKeys(of issuer: Int, with keySet: KeySet) {
        guard keySets.indices.contains(issuer) else { return }
        keySets[issuer] = keySet
        // Copied out and in, so that no look at them has to be checked for overlap with another.
        var counted = versions
        counted[issuer] += 1
        versions = counted
        cache.removeAll { $0.issuer == issuer }
    }

    /// Counts the changes of an issuer's keys.
    package func keysVersion(of issuer: Int) -> UInt64 { versions.indices.contains(issuer) ? versions[issuer] : 0 }

    package func hasKeys(of issuer: Int) -> Bool { keySets.indices.contains(issuer) && keySets[issuer] != nil }

    /// Checks the token of a request.
    ///
    /// - Parameter now: seconds since 1970.
    /// - Throws: why there is no identity.
    package func authenticate(
        _ head: borrowing RequestHead, by rule: AuthenticationRule, at now: UInt64
    ) throws(TokenError) -> Outcome {
        guard let range = try sources.find(head) else { throw .missing }
        let token = head.bytes.extracting(range)
        if let verified = cache.find(token, at: now) {
            guard rule.issuers.contains(verified.issuer) else { throw .issuerNotAccepted }
            return .identity(Identity(verified: verified, token: range))
        }
        switch try verify(token, at: now, accepting: rule.issuers) {
        case .verified(let verified):
            cache.insert(verified)
            return .identity(Identity(verified: verified, token: range))
        case .needsKeys(let issuer): return .needsKeys(issuer: issuer)
        }
    }

    /// Whether a token that was let in earlier would be let in now: its issuer's keys may have changed since.
    package func isStillGood(_ verified: VerifiedToken, at now: UInt64) -> Bool {
        let token = verified.token
        guard case .verified = try? verify(token.span, at: now, accepting: [verified.issuer]) else { return false }
        return true
    }

    package enum Verification {
        case verified(VerifiedToken)
        case needsKeys(issuer: Int)
    }

    /// Checks a token that is not in the cache. The issuer is chosen by the `iss` claim among those of the file; nothing
    /// else in the token has a say in how it is checked.
    package func verify(_ token: Span<UInt8>, at now: UInt64, accepting: [Int]) throws(TokenError) -> Verification {
        let jws = try CompactJWS(token)
        if let type = jws.type?.lowercased(), !["jwt", "at+jwt", "application/at+jwt"].contains(type) { throw .typeUnsupported }
        let payload: JSONValue
        do {
            payload = try JSONReader.read(jws.payload)
        } catch {
            throw .malformed
        }
        guard case .object = payload, let claimed = payload["iss"]?.string else { throw .malformed }
        guard let index = issuers.firstIndex(where: { $0.url.isExactly(claimed) }) else { throw .issuerUnknown }
        guard accepting.contains(index) else { throw .issuerNotAccepted }
        let issuer = issuers[index]
        guard issuer.algorithms.contains(jws.algorithm) else { throw .algorithmNotAllowed }
        guard let keySet = keySets[index] else { return .needsKeys(issuer: index) }
        do {
            try keySet.verify(jws, token)
        } catch .keyUnknown where jws.keyID != nil {
            return .needsKeys(issuer: index)
        }
        let claims = Claims(payload)
        let refusedFrom = try issuer.check(claims, at: now)
        return .verified(
            VerifiedToken(
                token: token.copied(), issuer: index, claims: claims,
                subject: issuer.subjectClaims.lazy.compactMap { claims[$0]?.string }.first, keyID: jws.keyID, refusedFrom: refusedFrom,
                answers: requirements.answers(for: claims, issuer: index)))
    }
}
