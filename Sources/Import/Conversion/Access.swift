/// Who may come, as the routes of the gateway say it.
struct Access: Hashable {
    /// Names of authorizers, htpasswd files and networks, as in `auth`.
    var credentials: [String] = []
    /// Whether one of them is enough.
    var isAny = false
    /// Networks of which the client must be.
    var networks: [String] = []

    var isOpen: Bool { credentials.isEmpty && networks.isEmpty }

    /// The directives of a route.
    var lines: [GatewayLine] {
        let auth = credentials.isEmpty ? GatewayLine("public") : GatewayLine(words: ["auth"] + (isAny ? ["any"] : []) + credentials)
        return [auth] + (networks.isEmpty ? [] : [GatewayLine(words: ["from"] + networks)])
    }
}
