import Forwarding
import RateLimiting
import Redis
package import UpstreamHealth

/// What the file calls its parts: for those who tell of them and have no other business with them.
package struct GatewayNames {
    package struct Upstream {
        package let name: String
        /// Addresses, as they stand in the file.
        package let servers: [String]
        /// What has the servers that do not.
        package let service: ServiceName?
        /// Whether the servers are looked at.
        package let isChecked: Bool
        /// Whether they are taken out for their failures.
        package let isEjected: Bool
        package let hasBreaker: Bool

        /// The same with other servers, those that its service has at the moment.
        package func having(_ servers: [String]) -> Upstream {
            Upstream(
                name: name, servers: servers, service: service, isChecked: isChecked, isEjected: isEjected, hasBreaker: hasBreaker)
        }
    }

    package let routes: [String]
    package let upstreams: [Upstream]
    package let limits: [String]
    package let redis: [String]

    init(_ settings: Settings) {
        routes = settings.routes.map(\.name)
        upstreams = settings.upstreams.map {
            Upstream(
                name: $0.name, servers: $0.servers.map(\.text), service: $0.service, isChecked: $0.check != nil,
                isEjected: $0.ejection != nil,
                hasBreaker: $0.breaker != nil)
        }
        limits = settings.limits.filter { !$0.isOfRoute }.map(\.name)
        redis = settings.redis.map(\.name)
    }
}

extension Settings {
    package var names: GatewayNames { GatewayNames(self) }
}
