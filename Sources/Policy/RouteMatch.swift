package import Authentication
package import Configuration

/// What the file demands of one request: its route, the rule for its method, and what it changes to.
package struct RouteMatch {
    package let route: Route
    package let rule: Route.MethodRule
    /// What the request changes to; nil for nothing.
    package let upgrade: Upgrade?

    package final class Upgrade: Sendable {
        /// The protocol, as the client wrote it.
        package let name: [UInt8]
        /// Whether the upstream needs a Sec-WebSocket-Key that the client did not send, as over HTTP/2.
        package let needsWebSocketKey: Bool

        init(_ name: [UInt8], needsWebSocketKey: Bool) {
            self.name = name
            self.needsWebSocketKey = needsWebSocketKey
        }
    }

    /// Whose tokens are accepted; nil where no credential is looked at.
    package var credentials: AuthenticationRule? {
        guard rule.publicRule == nil, case .authenticated(let credentials) = route.access else { return nil }
        return credentials
    }
}
