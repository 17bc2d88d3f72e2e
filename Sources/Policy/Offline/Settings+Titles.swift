package import Authentication
package import Configuration

extension Settings {
    /// The name that the file gives a credential, with its kind.
    package func title(of credential: CredentialID) -> String {
        "\(kind(of: credential)) \(name(of: credential))"
    }

    /// The directive that defines a credential.
    func kind(of credential: CredentialID) -> String {
        switch credential {
        case .issuer: "issuer"
        case .authorizer: "authorizer"
        case .network: "network"
        case .password: "htpasswd"
        }
    }

    /// Why nobody knows without the running gateway what a credential is worth.
    package func unknown(of credential: CredentialID) -> String {
        switch credential {
        case .issuer: "the keys of issuer \(name(of: credential)) are at a URL"
        case .authorizer: "authorizer \(name(of: credential)) would be asked"
        case .network, .password: "\(title(of: credential)) says nothing"
        }
    }
}
