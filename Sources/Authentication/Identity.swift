/// Proof that a request carries a credential that is valid now and that its route accepts.
///
/// Only a ``CredentialVerifier`` makes one.
package struct Identity {
    package let principal: Principal
    package let kind: CredentialKind

    init(_ principal: Principal, kind: CredentialKind) {
        self.principal = principal
        self.kind = kind
    }
}

/// How a credential came.
package enum CredentialKind: Equatable, Sendable {
    case cookie, field
    /// As the password of Basic.
    case password

    /// Whether a browser sends it by itself, also for a page of another site.
    package var isAmbient: Bool { self != .field }
}
