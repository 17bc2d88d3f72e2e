/// Proof that a request carries a token that is valid now and from an issuer that its route accepts.
///
/// Only ``Authenticator`` makes one.
package struct Identity {
    package let verified: VerifiedToken
    package let kind: CredentialKind

    init(verified: VerifiedToken, kind: CredentialKind) {
        self.verified = verified
        self.kind = kind
    }
}

/// How a token came.
package enum CredentialKind: Equatable, Sendable {
    case cookie, field
    /// As the password of Basic.
    case password

    /// Whether a browser sends it by itself, also for a page of another site.
    package var isAmbient: Bool { self != .field }
}
