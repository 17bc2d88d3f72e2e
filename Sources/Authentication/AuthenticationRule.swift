package import ConfigFile

/// What a route says about who may come: the holders of these credentials.
package final class AuthenticationRule: Sendable {
    /// In the file's order.
    package let credentials: [CredentialID]
    package let line: SourceLine

    package init(_ credentials: [CredentialID], line: SourceLine = SourceLine(file: "", line: 0)) {
        self.credentials = credentials
        self.line = line
    }

    /// Of the credentials, those that are tokens.
    package var issuers: [IssuerID] {
        credentials.map { credential in
            switch credential {
            case .issuer(let id): id
            }
        }
    }

    package func accepts(_ credential: CredentialID) -> Bool { credentials.contains(credential) }
}
