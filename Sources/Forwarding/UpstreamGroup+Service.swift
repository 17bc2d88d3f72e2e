package import UpstreamHealth
import System

/// Servers that stand in the DNS.
extension UpstreamGroup {
    /// What the control process has found out of a service's servers.
    package func resolve(service: String, to list: [ServiceServer]) {
        guard settings.service?.text == service, !list.isEmpty else { return }
        let priorities = Set(list.map(\.priority)).sorted()
        use(
            list.map { server in
                let hasWeights = list.contains { $0.priority == server.priority && $0.weight > 0 }
                return ServerSettings(server, tier: priorities.firstIndex(of: server.priority) ?? 0, hasWeights: hasWeights)
            })
        for server in list {
            let known = servers.first { $0.address == .host(server.host, port: server.port) }
            known?.resolve(to: server.addresses.map { .ip($0, port: server.port) })
        }
        connectionFreed()
    }
}
