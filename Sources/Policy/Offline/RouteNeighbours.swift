import Bytes
import ConfigFile
import Configuration
import HTTPMessage
import Routing

/// The routes that a request does not get, though it might seem so.
struct RouteNeighbours {
    private let routes: [Route]
    private let host: [UInt8]
    private let path: [String]
    private var matching: [Route] = []

    init(_ routes: [Route], _ host: [UInt8], _ target: borrowing RequestTarget) {
        self.routes = routes
        self.host = host
        path = target.segments.map { target.pathSpan.extracting($0.range).text }
        for route in routes {
            var table = RouteTable()
            _ = table.insert(route.pattern, hosts: route.hosts, route.pathDemand)
            if (try? table.find(host: host, target)) ?? nil != nil { matching.append(route) }
        }
    }

    /// Says of the routes that match too why another one is taken; the most specific ones first.
    func others(than taken: Route) -> String {
        let rank = rank(taken)
        let others = matching.filter { $0 !== taken }.sorted { self.rank($0) > self.rank($1) }
        return others.prefix(3).map { other in
            let reason = self.rank(other) < rank ? "is for \(hosts(of: other))" : "is less specific"
            let place = other.line.file == taken.line.file ? "\(other.line.line)" : "\(other.line)"
            return "before \(other.name) (\(place)), which \(reason)"
        }.joined(separator: "; ")
    }

    /// Hosts are compared before paths: an exact name, then the longest wildcard, then every host.
    private func rank(_ route: Route) -> Int {
        if route.hosts.isEmpty { return 0 }
        let name = String(decoding: host, as: UTF8.self)
        if route.hosts.contains(where: { !$0.isWildcard && $0.name == name }) { return .max }
        return route.hosts.filter { $0.isWildcard && name.hasSuffix($0.name) }.map(\.name.count).max() ?? 0
    }

    private func hosts(of route: Route) -> String {
        route.hosts.isEmpty ? "every host" : route.hosts.map { ($0.isWildcard ? "*" : "") + $0.name }.joined(separator: " ")
    }

    /// What keeps the request from the routes that are most like it.
    var nearest: [String] {
        let scored = routes.map { (route: $0, difference: difference(from: $0)) }.filter { $0.difference.shared > 0 }
        let closest = scored.sorted { $0.difference.shared > $1.difference.shared }.prefix(3)
        guard !closest.isEmpty else { return ["no route begins like this path"] }
        return closest.map { "not \($0.route.name) (\($0.route.line)): \($0.difference.reason)" }
    }

    /// How many segments agree, and what differs first.
    private func difference(from route: Route) -> (shared: Int, reason: String) {
        let segments = route.pattern.segments
        var shared = 0
        for (index, segment) in segments.enumerated() {
            guard index < path.count else { return (shared, "the path ends before \(text(segment))") }
            if case .literal(let literal) = segment, literal != path[index] {
                let isCase = literal.lowercased() == path[index].lowercased()
                return (
                    isCase ? shared + 1 : shared,
                    "'\(path[index])' is not '\(literal)'" + (isCase ? ", whose letters are of another case" : "")
                )
            }
            if case .one = segment, path[index].isEmpty { return (shared, "an empty segment is no value of \(text(segment))") }
            shared += 1
        }
        if path.count > segments.count, !route.pattern.hasTail { return (shared, "'\(path[segments.count])' is one segment too many") }
        return (
            shared + 1,
            "it is for the host \(hosts(of: route))" + (host.isEmpty ? "" : ", not for \(String(decoding: host, as: UTF8.self))")
        )
    }

    private func text(_ segment: PathPattern.Segment) -> String {
        switch segment {
        case .literal(let text): "'\(text)'"
        case .one: "a segment of any text"
        }
    }
}
