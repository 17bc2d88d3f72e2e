/// Where a principal's scopes stand, and how they are compared with those that a route demands.
package struct ScopeReading: Sendable {
    /// The first of these claims that is there holds them.
    package let claims: [String]
    package let match: ScopeMatch

    package init(claims: [String], match: ScopeMatch) {
        self.claims = claims
        self.match = match
    }
}

/// How scopes are compared.
package enum ScopeMatch: Hashable, Sendable {
    case exact, wildcard, usso, ussoAnchored
}
