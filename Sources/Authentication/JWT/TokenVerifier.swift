import Bytes
package import HTTPMessage

/// Verifies access tokens: JSON Web Tokens that an issuer of the file has signed (RFC 7519, RFC 9068).
package final class TokenVerifier {
    private let issuers: [Issuer]
    private let sources: TokenSources
    private var keySets: [KeySet?]
    /// Counts the changes of each issuer's keys.
    private var versions: [UInt64]
    /// How often a token was found among those that are known to be good, and how often it was not.
    package var cacheUse: (hits: UInt64, misses: UInt64) { (hits, misses) }
    private var hits: UInt64 = 0
    private var misses: UInt64 = 0
    private let cache: VerifiedTokenCache
    private let requirements: any RequirementAnswering
    private let shares: SubjectShares
    /// The subject that the last refused token names, where it was looked at; unverified.
    package var claimedSubject: String? { refusedSubject }
    private var refusedSubject: String?

    init(issuers: [Issuer], sources: TokenSources, cacheCapacity: Int, cacheHash: SipHash, requirements: any RequirementAnswering) {
        self.issuers = issuers
        self.sources = sources
        self.requirements = requirements
        versions = [UInt64](repeating: 0, count: issuers.count)
        keySets = [KeySet?](repeating: nil, count: issuers.count)
        cache = VerifiedTokenCache(capacity: cacheCapacity, hash: cacheHash)
        shares = SubjectShares(capacity: max(1_024, cacheCapacity * 2))
    }

    // MARK: - Keys

    /// Replaces the keys of an issuer and forgets what was verified with the old ones.
    ///
    /// - Parameter keySet: nil where the loaded ones are too old to be used.
    package func replaceKeys(of issuer: IssuerID, with keySet: KeySet?) {
        guard keySets.indices.contains(issuer.index) else { return }
        keySets[issuer.index] = keySet
        // Copied out and in: decision 011.
        var counted = versions
        counted[issuer.index] += 1
        versions = counted
        cache.removeAll { $0.credential == .issuer(issuer) }
    }

    package func hasKeys(of issuer: IssuerID) -> Bool { keySets.indices.contains(issuer.index) && keySets[issuer.index] != nil }

    package func version(of credential: CredentialID) -> UInt64 {
        guard case .issuer(let issuer) = credential else { return 0 }
        return versions.indices.contains(issuer.index) ? versions[issuer.index] : 0
    }

    // MARK: - The token of a request

    /// Looks for a token in a request and checks it.
    ///
    /// - Parameters:
    ///   - now: seconds since 1970.
    ///   - mayCheck: asked before anything that costs: the check of a token that is not known yet.
    /// - Throws: why the token that is there lets nobody in.
    package func verify(
        _ head: borrowing RequestHead, by rule: AuthenticationRule, at now: UInt64,
        mayCheck: () throws(CredentialError) -> Void = { () throws(CredentialError) in }
    ) throws(CredentialError) -> Verification {
        refusedSubject = nil
        switch try sources.find(head) {
        case .none: return .absent
        case .one(let range, let kind): return try verify(head.bytes.extracting(range), kind, by: rule, at: now, mayCheck)
        case .cookies(let ranges): return try verify(head, ranges, by: rule, at: now, mayCheck)
        case .password(let token, let user):
            let outcome = try verify(token.span, .password, by: rule, at: now, mayCheck)
            if case .identity(let identity) = outcome, let claim = sources.userClaim {
                let names = identity.principal.claims.texts(claim) ?? []
                guard names.contains(where: { $0.utf8.elementsEqual(user) }) else { throw .claimUnmet(claim) }
            }
            return outcome
        }
    }

    private func verify(
        _ token: Span<UInt8>, _ kind: CredentialKind, by rule: AuthenticationRule, at now: UInt64,
        _ mayCheck: () throws(CredentialError) -> Void
    ) throws(CredentialError) -> Verification {
        if let principal = cache.find(token, at: now) {
            hits &+= 1
            guard rule.accepts(principal.credential) else { throw .issuerNotAccepted }
            return .identity(Identity(principal, kind: kind))
        }
        misses &+= 1
        try mayCheck()
        switch try check(token, by: rule, at: now) {
        case .principal(let principal):
            cache.insert(principal)
            return .identity(Identity(principal, kind: kind))
        case .needsKeys(let doubt): return .pending(doubt)
        }
    }

    /// Of several cookies with one name, set for the host and for its domain, the one that lets in counts, if exactly one does.
    private func verify(
        _ head: borrowing RequestHead, _ ranges: [Range<Int>], by rule: AuthenticationRule, at now: UInt64,
        _ mayCheck: () throws(CredentialError) -> Void
    ) throws(CredentialError) -> Verification {
        var identity: Identity?
        var doubt: KeyDoubt?
        var firstError: CredentialError?
        for range in ranges {
            let outcome: Verification
            do {
                outcome = try verify(head.bytes.extracting(range), .cookie, by: rule, at: now, mayCheck)
            } catch {
                firstError = firstError ?? error
                continue
            }
            switch outcome {
            case .identity(let found):
                guard identity == nil else { throw .ambiguous }
                identity = found
            case .pending(let found): doubt = doubt ?? found
            case .absent: break
            }
        }
        if let identity { return .identity(identity) }
        if let doubt { return .pending(doubt) }
        throw firstError ?? .missing
    }

    // MARK: - A token by itself

    /// Checks a token that no request brought, of any issuer.
    package func inspect(_ token: Span<UInt8>, at now: UInt64) throws(CredentialError) -> Verification {
        let any = AuthenticationRule(issuers.indices.map { .issuer(IssuerID($0)) })
        switch try check(token, by: any, at: now) {
        case .principal(let principal): return .identity(Identity(principal, kind: .field))
        case .needsKeys(let doubt): return .pending(doubt)
        }
    }

    package func isStillGood(_ principal: Principal, at now: UInt64) -> Bool {
        guard let token = principal.token else { return false }
        guard case .principal = try? check(token.span, by: AuthenticationRule([principal.credential]), at: now) else { return false }
        return true
    }

    private enum Check {
        case principal(Principal)
        case needsKeys(KeyDoubt)
    }

    /// Checks a token that is not in the cache: its header, then its signature, and only then what it says. The issuer is chosen by the
    /// `iss` claim among those of the file; nothing else in the token has a say in how it is checked.
    private func check(_ token: Span<UInt8>, by rule: AuthenticationRule, at now: UInt64) throws(CredentialError) -> Check {
        refusedSubject = nil
        let jws = try CompactJWS(token)
        let scan = PayloadScan(jws.payload.span)
        refusedSubject = scan.subject
        guard let claimedIssuer = scan.issuer else { throw .malformed }
        guard let index = issuers.firstIndex(where: { $0.url.isExactly(claimedIssuer) }) else { throw .issuerUnknown }
        let (id, issuer) = (IssuerID(index), issuers[index])
        guard rule.accepts(.issuer(id)) else { throw .issuerNotAccepted }
        guard issuer.takes(type: jws.type) else { throw .typeUnsupported }
        guard issuer.algorithms.contains(jws.algorithm) else { throw .algorithmNotAllowed }
        guard let keySet = keySets[index] else { return .needsKeys(KeyDoubt(issuer: id, keyID: jws.keyID, error: .keysUnavailable)) }
        do {
            try keySet.verify(jws, token)
        } catch {
            switch error {
            // The key may be new, or another one under its old name.
            case .keyUnknown, .signatureInvalid, .keyUnusable:
                guard jws.keyID != nil, !issuer.keys.isFixed else { throw error }
                return .needsKeys(KeyDoubt(issuer: id, keyID: jws.keyID, error: error))
            default: throw error
            }
        }
        let payload: JSONValue
        do {
            payload = try JSONReader.read(jws.payload, valuesMax: Limits.tokenValuesMax)
        } catch {
            throw .malformed
        }
        guard case .object = payload, payload["iss"]?.string?.isExactly(claimedIssuer) ?? false else { throw .malformed }
        let check = ClaimsCheck(issuers: issuers, requirements: requirements)
        let principal = try check.principal(
            Claims(payload), issuer: id, token: token.copied(), at: now
        ) {
            shares.share(of: $0, .issuer(id))
        }
        refusedSubject = nil
        return .principal(principal)
    }
}
