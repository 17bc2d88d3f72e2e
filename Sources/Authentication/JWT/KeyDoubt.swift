/// A token that a newer key set of its issuer may let in.
package struct KeyDoubt: Equatable {
    package let issuer: IssuerID
    /// The key that the token names.
    package let keyID: String?
    /// What is wrong if the keys are what they were.
    package let error: CredentialError
}
