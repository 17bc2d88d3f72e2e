package import Bytes
package import ConfigFile
package import HTTPMessage

/// What a route says about who may come: tokens of these issuers.
package struct AuthenticationRule: Sendable {
    /// Indices of the accepted issuers.
    package let issuers: [Int]
    package let line: SourceLine

    package func accepts(_ issuer: Int) -> Bool { issuers.contains(issuer) }

    package init(issuers: [Int], line: SourceLine = SourceLine(file: "", line: 0)) {
        self.issuers = issuers
        self.line = line
    }
}

/// The stage that turns a request's token into an ``Identity``.
package final class Authenticator {
    package enum Outcome {
        case identity(Identity)
        /// The issuer's key set may have changed: it is to be fetched again.
        case needsKeys(KeyDoubt)
    }

    /// A token that a newer key set may let in.
    package struct KeyDoubt: Equatable {
        package let issuer: Int
        /// The key that the token names.
        package let keyID: String?
        /// What is wrong if the keys are what they were.
        package let error: TokenError
    }

    package let issuers: [Issuer]
    package let sources: TokenSources
    private var keySets: [KeySet?]
    /// Counts the changes of each issuer's keys.
    private var versions: [UInt64]
    private let cache: VerifiedTokenCache
    private let requirements: any RequirementAnswering
    /// By issuer and subject; those that nobody uses are forgotten now and then.
    private var shares: [String: SubjectShare] = [:]
    private let sharesKept: Int
    /// The subject that the last refused token names, where it was looked at; unverified.
    package var claimedSubject: String? { refusedSubject }
    private var refusedSubject: String?

    package init(
        issuers: [Issuer], sources: TokenSources, cacheCapacity: Int, cacheHash: SipHash, requirements: any RequirementAnswering
    ) {
        self.issuers = issuers
        self.sources = sources
        self.requirements = requirements
        versions = [UInt64](repeating: 0, count: issuers.count)
        keySets = [KeySet?](repeating: nil, count: issuers.count)
        cache = VerifiedTokenCache(capacity: cacheCapacity, hash: cacheHash)
        sharesKept = max(1_024, cacheCapacity * 2)
    }

    /// What a subject has under way: one for all of its tokens.
    private func share(of subject: String?, issuer: Int) -> SubjectShare {
        guard let subject else { return SubjectShare() }
        let key = "\(issuer) \(subject)"
        if let known = shares[key] { return known }
        if shares.count >= sharesKept { forgetShares() }
        let new = SubjectShare()
        shares[key] = new
        return new
    }

    private func forgetShares() {
        for key in Array(shares.keys) {
            guard let index = shares.index(forKey: key) else { continue }
            if isKnownUniquelyReferenced(&shares.values[index]) { shares[key] = nil }
        }
    }

    /// Replaces the keys of an issuer and forgets what was verified with the old ones.
    ///
    /// - Parameter keySet: nil where those that were had are too old to be used.
    package func replaceKeys(of issuer: Int, with keySet: KeySet?) {
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
    /// - Parameters:
    ///   - now: seconds since 1970.
    ///   - mayVerify: asked before the signature of a token is checked that is not known yet.
    /// - Throws: why there is no identity.
    package func authenticate(
        _ head: borrowing RequestHead, by rule: AuthenticationRule, at now: UInt64, mayVerify: () throws(TokenError) -> Void = {}
    ) throws(TokenError) -> Outcome {
        refusedSubject = nil
        switch try sources.find(head) {
        case .none: throw .missing
        case .one(let range, let kind): return try authenticate(head.bytes.extracting(range), kind, by: rule, at: now, mayVerify)
        case .cookies(let ranges): return try authenticate(head, ranges, by: rule, at: now, mayVerify)
        case .password(let token, let user):
            let outcome = try authenticate(token.span, .password, by: rule, at: now, mayVerify)
            if case .identity(let identity) = outcome, let claim = sources.userClaim {
                let names = identity.verified.claims.texts(claim) ?? []
                guard names.contains(where: { $0.utf8.elementsEqual(user) }) else { throw .claimUnmet(claim) }
            }
            return outcome
        }
    }

    private func authenticate(
        _ token: Span<UInt8>, _ kind: CredentialKind, by rule: AuthenticationRule, at now: UInt64,
        _ mayVerify: () throws(TokenError) -> Void
    ) throws(TokenError) -> Outcome {
        if let verified = cache.find(token, at: now) {
            guard rule.accepts(verified.issuer) else { throw .issuerNotAccepted }
            return .identity(Identity(verified: verified, kind: kind))
        }
        try mayVerify()
        switch try verify(token, at: now, accepting: rule.issuers) {
        case .verified(let verified):
            cache.insert(verified)
            return .identity(Identity(verified: verified, kind: kind))
        case .needsKeys(let doubt): return .needsKeys(doubt)
        }
    }

    /// Of several cookies with one name, set for the host and for its domain, the one that lets in counts, if exactly one does.
    private func authenticate(
        _ head: borrowing RequestHead, _ ranges: [Range<Int>], by rule: AuthenticationRule, at now: UInt64,
        _ mayVerify: () throws(TokenError) -> Void
    ) throws(TokenError) -> Outcome {
        var identity: Identity?
        var doubt: KeyDoubt?
        var firstError: TokenError?
        for range in ranges {
            let outcome: Outcome
            do {
                outcome = try authenticate(head.bytes.extracting(range), .cookie, by: rule, at: now, mayVerify)
            } catch {
                firstError = firstError ?? error
                continue
            }
            switch outcome {
            case .identity(let found):
                guard identity == nil else { throw .ambiguous }
                identity = found
            case .needsKeys(let found): doubt = doubt ?? found
            }
        }
        if let identity { return .identity(identity) }
        if let doubt { return .needsKeys(doubt) }
        throw firstError ?? .missing
    }

    /// Checks a token that no request brought, of whichever issuer.
    package func inspect(_ token: Span<UInt8>, at now: UInt64) throws(TokenError) -> Outcome {
        switch try verify(token, at: now, accepting: Array(issuers.indices)) {
        case .verified(let verified): .identity(Identity(verified: verified, kind: .field))
        case .needsKeys(let doubt): .needsKeys(doubt)
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
        case needsKeys(KeyDoubt)
    }

    /// Checks a token that is not in the cache: its header, then its signature, and only then what it says. The issuer is chosen by the
    /// `iss` claim among those of the file; nothing else in the token has a say in how it is checked.
    package func verify(_ token: Span<UInt8>, at now: UInt64, accepting: [Int]) throws(TokenError) -> Verification {
        refusedSubject = nil
        let jws = try CompactJWS(token)
        let scan = PayloadScan(jws.payload.span)
        refusedSubject = scan.subject
        guard let claimedIssuer = scan.issuer else { throw .malformed }
        guard let index = issuers.firstIndex(where: { $0.url.isExactly(claimedIssuer) }) else { throw .issuerUnknown }
        guard accepting.contains(index) else { throw .issuerNotAccepted }
        let issuer = issuers[index]
        guard issuer.takes(type: jws.type) else { throw .typeUnsupported }
        guard issuer.algorithms.contains(jws.algorithm) else { throw .algorithmNotAllowed }
        guard let keySet = keySets[index] else { return .needsKeys(KeyDoubt(issuer: index, keyID: jws.keyID, error: .keysUnavailable)) }
        do {
            try keySet.verify(jws, token)
        } catch {
            switch error {
            // The key may be new, or another one under its old name.
            case .keyUnknown, .signatureInvalid, .keyUnusable:
                guard jws.keyID != nil else { throw error }
                return .needsKeys(KeyDoubt(issuer: index, keyID: jws.keyID, error: error))
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
        let claims = Claims(payload)
        let check = ClaimsCheck(issuers: issuers, requirements: requirements)
        let verified = try check.verified(claims, of: token.copied(), issuer: index, keyID: jws.keyID, at: now) {
            share(of: $0, issuer: index)
        }
        refusedSubject = nil
        return .verified(verified)
    }
}
