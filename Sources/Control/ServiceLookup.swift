import Processes
import System
import Time
import UpstreamHealth

/// Asks the DNS for the servers of a service and their addresses; blocks, so it runs on a thread of its own. Source: RFC 2782.
struct ServiceLookup: Sendable {
    enum Outcome: Sendable {
        /// In the order of priorities; good for so many seconds.
        case servers([ServiceServer], seconds: UInt64)
        case failed(String)
    }

    let service: ServiceName
    /// What was known before: the addresses of a server whose name cannot be resolved now stay.
    let known: [ServiceServer]

    func run() -> Outcome {
        let answer: DNSQuery.Answer
        do {
            answer = try DNSQuery(service.name, .srv, at: service.resolvers).run()
        } catch {
            return .failed(error.reason)
        }
        var seconds = UInt64.max
        var servers: [ServiceServer] = []
        for record in answer.records {
            guard case .service(let priority, let weight, let port, let target) = record.content else { continue }
            seconds = min(seconds, UInt64(record.seconds))
            if target.isEmpty || port == 0 { continue }
            servers.append(ServiceServer(host: target, port: port, priority: priority, weight: weight, addresses: []))
        }
        if servers.isEmpty { return .failed(answer.records.isEmpty ? "it has no such records" : "it says that there is no server") }
        servers.sort { ($0.priority, $0.host, $0.port) < ($1.priority, $1.host, $1.port) }
        var result: [ServiceServer] = []
        var found: [String: (addresses: [IPAddress], seconds: UInt64)] = [:]
        let deadline = Clock.now().adding(lookupMax)
        for server in servers where result.count < ServiceMessage.serversMax {
            // Of several records for one server the first counts.
            if result.contains(where: { $0.host == server.host && $0.port == server.port }) { continue }
            // Where the time is over, what is known of the rest stays.
            let isLate = found[server.host] == nil && Clock.now() > deadline
            let (addresses, kept) = isLate ? ([], usualSeconds) : found[server.host] ?? self.addresses(of: server.host, answer)
            if !isLate { found[server.host] = (addresses, kept) }
            seconds = min(seconds, kept)
            let last = known.first { $0.host == server.host && $0.port == server.port }?.addresses ?? []
            result.append(
                ServiceServer(
                    host: server.host, port: server.port, priority: server.priority, weight: server.weight,
                    addresses: addresses.isEmpty ? last : addresses))
        }
        if result.allSatisfy(\.addresses.isEmpty) { return .failed("none of its servers' names has an address, such as \(result[0].host)") }
        return .servers(result, seconds: seconds)
    }

    /// And for how many seconds they are good.
    private func addresses(of host: String, _ answer: DNSQuery.Answer) -> ([IPAddress], seconds: UInt64) {
        var records = answer.additional.filter { $0.name == host }
        if records.isEmpty {
            // The system's own way knows files and search domains too, but no times.
            if service.resolvers.isEmpty { return (Self.list(NameLookup(host: host).run()), usualSeconds) }
            for kind in [DNSQuery.Kind.a, .aaaa] {
                records += (try? DNSQuery(host, kind, at: service.resolvers).run().records) ?? []
            }
        }
        let addresses = records.compactMap { if case .address(let address) = $0.content { address } else { nil } }
        return (Self.list(addresses), records.map { UInt64($0.seconds) }.min() ?? usualSeconds)
    }

    /// Always in one order: resolvers turn it with each answer, and that is no news.
    private static func list(_ addresses: [IPAddress]) -> [IPAddress] {
        Array(Set(addresses).sorted { ($0.high, $0.low) < ($1.high, $1.low) }.prefix(ServiceMessage.addressesMax))
    }
}

private let usualSeconds: UInt64 = 30
private let lookupMax = Nanoseconds.seconds(10)
