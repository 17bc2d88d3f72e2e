/// A location with an expression that has no routes.
struct UnconvertedExpression {
    let location: NginxLocation
    /// The directive of its server.
    let server: Int
    let reason: String
    /// What every path begins with that it matches, without a slash at the end.
    let begins: String
    let foldsCase: Bool
}
