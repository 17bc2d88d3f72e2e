import Forwarding
import RateLimiting
import Redis

/// What the file calls its parts: for those who tell of them and have no other business with them.
package struct GatewayNames {
    package struct Upstream {
        package let name: String
        /// Addresses, as they stand in the file.
        package let servers: [String]
        /// Whether the servers are looked at.
        package let isChecked: Bool
        /// Whether they are taken out for their failures.
        package let isEjected: Bool
        package let hasBreaker: Bool
    }

    package let routes: [String]
    package let upstreams: [Upstream]
    package let limits: [String]
    package let redis: [String]

    init(_ settings: Settings) {
        routes = settings.routes.map(\.name)
        upstreams = settings.upstreams.map {
            Upstream(
                name: $0.name, servers: $0.servers.map(\.text), isChecked: $0.check != nil, isEjected: $0.ejection != nil,
                hasBreaker: $0.breaker != nil)
        }
        limits = settings.limits.map(\.name)
        redis = settings.redis.map(\.name)
    }
}

extension Settings {
    package var names: GatewayNames { GatewayNames(self) }
}
