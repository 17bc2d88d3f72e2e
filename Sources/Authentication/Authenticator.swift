package import Bytes
package import HTTPMessage

/// The stage that turns a request's credential into an ``Identity``: asks the verifier of each kind; the first that finds a credential
/// decides.
package final class Authenticator {
    package let tokens: TokenVerifier
    /// Of the credentials that are no tokens.
    private let others: [any CredentialVerifier]

    package init(
        issuers: [Issuer], sources: TokenSources, cacheCapacity: Int, cacheHash: SipHash, requirements: any RequirementAnswering
    ) {
        tokens = TokenVerifier(
            issuers: issuers, sources: sources, cacheCapacity: cacheCapacity, cacheHash: cacheHash, requirements: requirements)
        others = []
    }

    /// Checks the credential of a request.
    ///
    /// - Parameters:
    ///   - now: seconds since 1970.
    ///   - mayCheck: asked before the check of a credential that is not known yet.
    /// - Returns: never `absent`.
    /// - Throws: why there is no identity.
    package func authenticate(
        _ head: borrowing RequestHead, by rule: AuthenticationRule, at now: UInt64,
        mayCheck: () throws(CredentialError) -> Void = { () throws(CredentialError) in }
    ) throws(CredentialError) -> Verification {
        let found = try tokens.verify(head, by: rule, at: now, mayCheck: mayCheck)
        guard case .absent = found else { return found }
        for verifier in others {
            let found = try verifier.verify(head, by: rule, at: now, mayCheck: mayCheck)
            guard case .absent = found else { return found }
        }
        throw .missing
    }

    /// Whether a principal that was let in earlier would be let in now: its issuer's keys may have changed since.
    package func isStillGood(_ principal: Principal, at now: UInt64) -> Bool {
        verifier(of: principal.credential).isStillGood(principal, at: now)
    }

    /// Counts the changes after which principals of a credential have to be looked at again.
    package func version(of credential: CredentialID) -> UInt64 { verifier(of: credential).version(of: credential) }

    private func verifier(of credential: CredentialID) -> any CredentialVerifier {
        switch credential {
        case .issuer: tokens
        }
    }
}
