package import ConfigFile

/// What a route says about who may come: the holders of these credentials.
package final class AuthenticationRule: Sendable {
    /// What is asked for an identity. Tokens of all issuers are one step.
    package enum Step: Equatable, Sendable {
        case token
        case authorizer(AuthorizerID)
        case network(NetworkID)
        case password(PasswordFileID)
    }

    /// In the file's order.
    package let credentials: [CredentialID]
    /// In the order in which they are asked.
    package let steps: [Step]
    /// Whether the first that lets in decides (`auth any`); else the first that is there.
    package let takesAny: Bool
    package let line: SourceLine

    package init(_ credentials: [CredentialID], takesAny: Bool = false, line: SourceLine = SourceLine(file: "", line: 0)) {
        self.credentials = credentials
        self.takesAny = takesAny
        self.line = line
        var steps: [Step] = []
        for credential in credentials {
            let step: Step =
                switch credential {
                case .issuer: .token
                case .authorizer(let id): .authorizer(id)
                case .network(let id): .network(id)
                case .password(let id): .password(id)
                }
            if !steps.contains(step) { steps.append(step) }
        }
        self.steps = steps
    }

    /// Of the credentials, those that are tokens.
    package var issuers: [IssuerID] {
        credentials.compactMap { if case .issuer(let id) = $0 { id } else { nil } }
    }

    package var authorizers: [AuthorizerID] {
        credentials.compactMap { if case .authorizer(let id) = $0 { id } else { nil } }
    }

    package var passwords: [PasswordFileID] {
        credentials.compactMap { if case .password(let id) = $0 { id } else { nil } }
    }

    package var networks: [NetworkID] {
        credentials.compactMap { if case .network(let id) = $0 { id } else { nil } }
    }

    package func accepts(_ credential: CredentialID) -> Bool { credentials.contains(credential) }
}
