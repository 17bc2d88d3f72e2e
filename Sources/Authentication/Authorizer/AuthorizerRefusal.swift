/// How an external authorizer refuses a request.
package struct AuthorizerRefusal: Equatable, Sendable {
    /// Its place among the authorizers.
    package let authorizer: AuthorizerID
    /// Whether another credential would do (401); else nothing would (403).
    package let asksForCredential: Bool
    /// The values of its WWW-Authenticate fields.
    package let challenges: [String]
    /// Where it sends a browser; nil where it does not, or the file does not follow it.
    package let location: [UInt8]?
    /// Whole lines of fields that the client gets.
    package let lines: [UInt8]

    package init(
        by authorizer: AuthorizerID, asksForCredential: Bool, challenges: [String] = [], location: [UInt8]? = nil, lines: [UInt8] = []
    ) {
        self.authorizer = authorizer
        self.asksForCredential = asksForCredential
        self.challenges = challenges
        self.location = location
        self.lines = lines
    }
}
