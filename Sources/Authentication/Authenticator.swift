package import Bytes

/// The stage that turns a request's credential into an ``Identity``: one verifier for each kind of credential.
package final class Authenticator {
    package let tokens: TokenVerifier
    package let authorizers: AuthorizerVerifier
    private let networks: [NetworkSet]
    /// Who comes from each of them: nobody by name.
    private let neighbours: [Principal]

    package init(
        issuers: [Issuer], authorizers: [Authorizer] = [], networks: [NetworkSet] = [], sources: TokenSources, cacheCapacity: Int,
        cacheHash: SipHash, requirements: any RequirementAnswering
    ) {
        tokens = TokenVerifier(
            issuers: issuers, sources: sources, cacheCapacity: cacheCapacity, cacheHash: cacheHash, requirements: requirements)
        self.authorizers = AuthorizerVerifier(authorizers, hash: cacheHash, requirements)
        self.networks = networks
        neighbours = networks.indices.map { index in
            let id = CredentialID.network(NetworkID(index))
            let claims = Claims(.object([]))
            return Principal(
                id, subject: nil, claims: claims, expiry: Principal.noExpiry, answers: requirements.answers(for: claims, of: id), token: nil
            )
        }
    }

    /// Who comes from a network; nil for a client elsewhere.
    ///
    /// What pages of other sites have a browser ask for comes from there too, so it is a credential that a browser sends by itself.
    ///
    /// - Parameter client: its address, as text.
    package func identity(of id: NetworkID, _ client: [UInt8]) -> Identity? {
        networks[id.index].contains(client) ? Identity(neighbours[id.index], kind: .cookie) : nil
    }

    /// Whether a principal that was let in earlier would be let in now: its issuer's keys may have changed since. An authorizer is asked
    /// again by others.
    package func isStillGood(_ principal: Principal, at now: UInt64) -> Bool {
        switch principal.credential {
        case .issuer: tokens.isStillGood(principal, at: now)
        case .authorizer, .network: true
        }
    }

    /// Counts the changes after which principals of a credential have to be looked at again.
    package func version(of credential: CredentialID) -> UInt64 {
        switch credential {
        case .issuer: tokens.version(of: credential)
        case .authorizer, .network: 0
        }
    }
}
