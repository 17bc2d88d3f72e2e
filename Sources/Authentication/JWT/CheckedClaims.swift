/// Unsigned claims that were held to the rules of their issuer, once for all requests that they are asked about.
package struct CheckedClaims {
    /// Nil where they name no issuer, or an unknown one.
    package let credential: CredentialID?
    /// Whether a token has them, and nothing else.
    package var areOfToken: Bool {
        switch credential {
        case .issuer, nil: true
        case .authorizer, .password, .network: false
        }
    }
    let principal: Result<Principal, CredentialError>
    let kind: CredentialKind

    /// The identity where a route asks for one.
    ///
    /// - Throws: why a token with these claims is refused there.
    package func identity(by rule: AuthenticationRule) throws(CredentialError) -> Identity {
        if let credential, !rule.accepts(credential) {
            switch credential {
            case .issuer: throw .issuerNotAccepted
            // What an authorizer would let in brings nothing where another is asked.
            case .authorizer, .network, .password: throw .missing
            }
        }
        return Identity(try principal.get(), kind: kind)
    }
}
