package import Time
import Bytes
import ConfigFile

/// A rule on a claim: `name = value`, `name != value`, `name in value …`.
package struct ClaimRule: Equatable, Sendable {
    package enum Comparison: Sendable {
        case isOneOf, isNot
    }

    package let claim: String
    package let comparison: Comparison
    package let values: [String]

    /// A claim of several values is one of them if any is, and is not one if none is. An absent claim meets no rule.
    func isMet(by claims: Claims) -> Bool {
        guard let present = claims.texts(claim) else { return false }
        let shared = present.contains { values.containsExactly($0) }
        return comparison == .isOneOf ? shared : !shared
    }
}

/// An issuer of tokens, as the file describes it.
package struct Issuer: Sendable {
    package enum KeySource: Equatable, Sendable {
        case file(String)
        case url(String)
        /// Files that hold secrets, read with the configuration.
        case secrets([SecretFile])

        /// Whether there is nothing newer to be had at a request.
        package var isFixed: Bool { if case .secrets = self { true } else { false } }
    }

    package struct SecretFile: Equatable, Sendable {
        package let path: String
        package let isBase64: Bool

        package init(path: String, isBase64: Bool) {
            self.path = path
            self.isBase64 = isBase64
        }
    }

    /// The keys of an issuer that has them in files.
    ///
    /// - Parameter content: of a file; nil for one that cannot be read.
    package func keySet(_ content: (_ path: String) -> [UInt8]?) -> KeySet? {
        switch keys {
        case .file(let path): return content(path).flatMap { try? KeySet($0) }
        case .secrets(let files):
            let secrets = files.compactMap { file in content(file.path).flatMap { SharedSecret($0, isBase64: file.isBase64) } }
            return secrets.isEmpty || secrets.count < files.count ? nil : KeySet(secrets)
        case .url: return nil
        }
    }

    package let name: String
    /// What the `iss` claim must be, exactly.
    package let url: String
    package let keys: KeySource
    package var keysAreInFile: Bool { if case .file = keys { true } else { false } }
    /// One of these must be among the token's audiences; empty for `audience any`.
    package let audiences: [String]
    package let algorithms: [Algorithm]
    package let rules: [ClaimRule]
    package let leeway: UInt64
    package let scopeClaims: [String]
    package let scopeMatch: ScopeMatch
    package let subjectClaims: [String]
    /// What a token's `typ` may be, in lower case; empty text for a token without one. Source: RFC 7515 §4.1.9, RFC 9068 §2.1.
    package let tokenTypes: [String]
    /// How long keys at a URL are used when they can no longer be fetched.
    package let staleMax: Nanoseconds
    /// A file of certificates to trust at the key URL; nil for those of the system.
    package let trustedCertificate: String?
    /// Through which keys are fetched.
    package let proxy: KeyProxy?

    package init(
        name: String, url: String, keys: KeySource, audiences: [String], algorithms: [Algorithm], rules: [ClaimRule] = [],
        leeway: UInt64 = 30, scopeClaims: [String] = Self.usualScopeClaims, scopeMatch: ScopeMatch = .exact,
        subjectClaims: [String] = ["sub"], tokenTypes: [String] = Self.usualTokenTypes
    ) {
        self.name = name
        self.url = url
        self.keys = keys
        self.audiences = audiences
        self.algorithms = algorithms
        self.rules = rules
        self.leeway = leeway
        self.scopeClaims = scopeClaims
        self.scopeMatch = scopeMatch
        self.subjectClaims = subjectClaims
        self.tokenTypes = tokenTypes
        staleMax = .seconds(86_400)
        trustedCertificate = nil
        proxy = nil
    }

    package static let usualTokenTypes = ["", "jwt", "application/jwt", "at+jwt", "application/at+jwt"]
    package static let usualScopeClaims = ["scopes", "scope", "scp"]

    package var scopeReading: ScopeReading { ScopeReading(claims: scopeClaims, match: scopeMatch) }

    func takes(type: String?) -> Bool { tokenTypes.containsExactly(type?.lowercased() ?? "") }

    /// Checks all claims but the signature's; returns the second from which on the token is refused.
    ///
    /// - Parameter now: seconds since 1970.
    func check(_ claims: Claims, at now: UInt64) throws(CredentialError) -> UInt64 {
        // An ID token, a logout token and a token that is bound to a key are no access tokens for anyone who bears them (OpenID Connect
        // Core §2, Back-Channel Logout §2.4, RFC 8417 §2.2, RFC 9449 §7.1, RFC 8705 §3).
        for name in ["events", "nonce", "at_hash", "c_hash"] where claims[name] != nil { throw .notAccessToken(name) }
        if claims["token_use"] == .string("id") { throw .notAccessToken("token_use") }
        if claims["cnf"] != nil { throw .bound }
        // RFC 7519 §4.1.2
        if let subject = claims["sub"], subject.string == nil { throw .claimMalformed("sub") }
        guard let expiry = claims["exp"] else { throw .expiryMissing }
        let refusedFrom = try date(expiry, "exp") + leeway
        guard now < refusedFrom else { throw .expired }
        if let notBefore = claims["nbf"], try date(notBefore, "nbf") > now + leeway { throw .notYetValid }
        if let issuedAt = claims["iat"], try date(issuedAt, "iat") > now + leeway { throw .issuedInFuture }
        if !audiences.isEmpty {
            guard let audience = claims["aud"] else { throw .audienceMismatch }
            guard let given = audience.string.map({ [$0] }) ?? audience.strings else { throw .claimMalformed("aud") }
            guard given.contains(where: { audiences.containsExactly($0) }) else { throw .audienceMismatch }
        }
        for rule in rules where !rule.isMet(by: claims) { throw .claimUnmet(rule.claim) }
        return refusedFrom
    }

    private func date(_ value: JSONValue, _ name: String) throws(CredentialError) -> UInt64 {
        guard let date = value.number?.numericDate else { throw .claimMalformed(name) }
        return date
    }
}
