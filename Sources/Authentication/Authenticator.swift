package import Bytes

/// The stage that turns a request's credential into an ``Identity``: one verifier for each kind of credential.
package final class Authenticator {
    package let tokens: TokenVerifier
    package let authorizers: AuthorizerVerifier
    package let passwords: PasswordVerifier
    private let networks: [NetworkSet]
    private let requirements: any RequirementAnswering

    package init(
        issuers: [Issuer], authorizers: [Authorizer] = [], networks: [NetworkSet] = [], passwords: [PasswordFile] = [],
        sources: TokenSources, cacheCapacity: Int,
        cacheHash: SipHash, requirements: any RequirementAnswering
    ) {
        tokens = TokenVerifier(
            issuers: issuers, sources: sources, cacheCapacity: cacheCapacity, cacheHash: cacheHash, requirements: requirements)
        self.authorizers = AuthorizerVerifier(authorizers, hash: cacheHash, requirements)
        self.passwords = PasswordVerifier(passwords, requirements)
        self.networks = networks
        self.requirements = requirements
    }

    /// Who comes from a network; nil for a client elsewhere.
    ///
    /// What pages of other sites have a browser ask for comes from there too, so it is a credential that a browser sends by itself.
    ///
    /// Each client is one of its own: what one has under way, and what limits count, is no other's.
    ///
    /// - Parameter client: its address, as text.
    package func identity(of id: NetworkID, _ client: [UInt8]) -> Identity? {
        guard networks[id.index].contains(client) else { return nil }
        let (credential, claims) = (CredentialID.network(id), Claims(.object([])))
        let principal = Principal(
            credential, subject: nil, claims: claims, expiry: Principal.noExpiry,
            answers: requirements.answers(for: claims, of: credential),
            token: nil)
        return Identity(principal, kind: .cookie)
    }

    /// Whether a principal that was let in earlier would be let in now: its issuer's keys may have changed since. An authorizer is asked
    /// again by others.
    package func isStillGood(_ principal: Principal, at now: UInt64) -> Bool {
        switch principal.credential {
        case .issuer: tokens.isStillGood(principal, at: now)
        case .authorizer, .network, .password: true
        }
    }

    /// Counts the changes after which principals of a credential have to be looked at again.
    package func version(of credential: CredentialID) -> UInt64 {
        switch credential {
        case .issuer: tokens.version(of: credential)
        case .authorizer, .network, .password: 0
        }
    }
}
