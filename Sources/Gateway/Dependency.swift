import Authentication

/// What a request waits for before its next stage.
enum Dependency: Equatable {
    /// The stores of the limits that no claim decides.
    case earlyLimits
    /// The fetching of an issuer's key set.
    case keySet(issuer: IssuerID)
    /// What an external authorizer says.
    case authorizer(AuthorizerID)
    /// The check of a password.
    case password(PasswordFileID)
    /// The stores of the other limits.
    case limits
    /// Its turn, where a limit lets it through later.
    case turn
}
