/// Where a request may carry credentials. Services behind see none of them, and a client that brings none is told which schemes it
/// may use.
package struct CredentialPlaces: Sendable {
    /// A scheme of the Authorization field (RFC 9110 §11.6.2).
    package enum Scheme: Equatable, Sendable {
        /// RFC 6750 §2.1
        case bearer
        /// RFC 7617
        case basic
        /// Any other, in lower case.
        case other([UInt8])
    }

    /// Names of cookies.
    package var cookies: [[UInt8]] = []
    /// Names of fields, in lower case, whose whole value is a credential.
    package var fields: [[UInt8]] = []
    package var schemes: [Scheme] = []
    /// Names of parameters of the query.
    package var parameters: [String] = []

    package init() {}
}
