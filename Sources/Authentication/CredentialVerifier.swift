package import HTTPMessage

/// Finds and checks one kind of credential.
package protocol CredentialVerifier: AnyObject {
    /// Looks for a credential of this kind in a request and checks it.
    ///
    /// - Parameters:
    ///   - now: seconds since 1970.
    ///   - mayCheck: asked before anything that costs: the check of a credential that is not known yet.
    /// - Throws: why the credential that is there lets nobody in.
    func verify(
        _ head: borrowing RequestHead, by rule: AuthenticationRule, at now: UInt64, mayCheck: () throws(CredentialError) -> Void
    ) throws(CredentialError) -> Verification

    /// Whether a principal that was let in earlier would be let in now.
    func isStillGood(_ principal: Principal, at now: UInt64) -> Bool

    /// Counts the changes, such as of an issuer's keys, after which a principal of this credential has to be looked at again.
    func version(of credential: CredentialID) -> UInt64
}

/// What a verifier finds in a request.
package enum Verification {
    case identity(Identity)
    /// No credential of its kind.
    case absent
    /// It cannot be known yet.
    case pending(PendingCredential)
}

/// What has to come before a credential can be checked.
package enum PendingCredential: Equatable {
    /// A newer key set, which may let the token in.
    case keySet(KeyDoubt)
}
