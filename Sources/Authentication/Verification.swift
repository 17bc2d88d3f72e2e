/// What is found in a request.
package enum Verification {
    case identity(Identity)
    /// No credential of its kind.
    case absent
    /// It cannot be known yet: a newer key set may let the token in.
    case pending(KeyDoubt)
}
