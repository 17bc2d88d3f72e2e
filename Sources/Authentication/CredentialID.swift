/// One of the credentials that the file defines and that routes name.
package enum CredentialID: Hashable, Sendable {
    /// A token of this issuer.
    case issuer(IssuerID)
    /// Whatever this authorizer says is one.
    case authorizer(AuthorizerID)
    /// A user and password of this file.
    case password(PasswordFileID)
    /// Coming from this network.
    case network(NetworkID)
}
