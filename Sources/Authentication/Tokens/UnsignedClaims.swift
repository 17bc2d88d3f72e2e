/// Claims without a token, for commands that tell what the gateway would do with them (`explain`, `test`). No worker makes an identity so;
import Bytes

/// a test holds that the data plane does not name this type.
package struct UnsignedClaims: Equatable, Sendable {
    /// The members of the payload.
    package private(set) var members: [JSONValue.Member]
    /// How the token would come.
    package var kind = CredentialKind.field
    /// The names of claims that ``complete(for:at:)`` put in.
    package private(set) var added: [String] = []

    /// Nil for what is no object.
    package init?(_ value: JSONValue) {
        guard case .object(let members) = value else { return nil }
        self.members = members
    }

    package init(_ claims: [(String, JSONValue)] = []) { members = claims.map { JSONValue.Member(name: $0.0, value: $0.1) } }

    package subscript(_ name: String) -> JSONValue? { members.first { $0.name.isExactly(name) }?.value }

    package mutating func set(_ name: String, _ value: JSONValue) {
        members.removeAll { $0.name.isExactly(name) }
        members.append(JSONValue.Member(name: name, value: value))
    }

    /// Puts in what every token of the issuer has and nobody cares to write down: `iss`, `exp` and `aud`, and the claims that the issuer's
    /// `require` names. What is there already stays.
    package mutating func complete(for issuer: Issuer, at now: UInt64) {
        add("iss", .string(issuer.url))
        add("exp", .number(JSONNumber(text: String(now + 300), value: Double(now + 300))))
        if let audience = issuer.audiences.first { add("aud", .string(audience)) }
        for rule in issuer.rules where rule.comparison == .isOneOf {
            if let value = rule.values.first, !rule.claim.hasPrefix("/") { add(rule.claim, .string(value)) }
        }
    }

    private mutating func add(_ name: String, _ value: JSONValue) {
        guard self[name] == nil else { return }
        set(name, value)
        added.append(name)
    }

    /// The issuer that the claims name; nil where they name none.
    package func issuer(among issuers: [Issuer]) throws(TokenError) -> Int? {
        guard let value = self["iss"] else { return nil }
        guard let url = value.string else { throw .malformed }
        guard let index = issuers.firstIndex(where: { $0.url.isExactly(url) }) else { throw .issuerUnknown }
        return index
    }

    /// The identity that a token with these claims and a good signature would give.
    ///
    /// - Throws: why such a token would be refused.
    package func identity(
        by rule: AuthenticationRule, among issuers: [Issuer], _ requirements: any RequirementAnswering, at now: UInt64
    ) throws(TokenError) -> Identity {
        guard let index = try issuer(among: issuers) else { throw .malformed }
        guard rule.issuers.contains(index) else { throw .issuerNotAccepted }
        let check = ClaimsCheck(issuers: issuers, requirements: requirements)
        let verified = try check.verified(Claims(.object(members)), of: [], issuer: index, keyID: nil, at: now) { _ in SubjectShare() }
        return Identity(verified: verified, kind: kind)
    }
}
