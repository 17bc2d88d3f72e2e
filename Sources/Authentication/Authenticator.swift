package import Bytes

/// The stage that turns a request's credential into an ``Identity``: one verifier for each kind of credential.
package final class Authenticator {
    package let tokens: TokenVerifier
    package let authorizers: AuthorizerVerifier

    package init(
        issuers: [Issuer], authorizers: [Authorizer] = [], sources: TokenSources, cacheCapacity: Int, cacheHash: SipHash,
        requirements: any RequirementAnswering
    ) {
        tokens = TokenVerifier(
            issuers: issuers, sources: sources, cacheCapacity: cacheCapacity, cacheHash: cacheHash, requirements: requirements)
        self.authorizers = AuthorizerVerifier(authorizers, hash: cacheHash, requirements)
    }

    /// Whether a principal that was let in earlier would be let in now: its issuer's keys may have changed since. An authorizer is asked
    /// again by others.
    package func isStillGood(_ principal: Principal, at now: UInt64) -> Bool {
        switch principal.credential {
        case .issuer: tokens.isStillGood(principal, at: now)
        case .authorizer: true
        }
    }

    /// Counts the changes after which principals of a credential have to be looked at again.
    package func version(of credential: CredentialID) -> UInt64 {
        switch credential {
        case .issuer: tokens.version(of: credential)
        case .authorizer: 0
        }
    }
}
