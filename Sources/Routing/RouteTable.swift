import Bytes
package import ConfigFile
package import HTTPMessage

/// Which hosts a route is for.
package struct HostPattern: Hashable, Sendable {
    /// As ``Authority`` compares hosts; for `*.example.com` the part from the dot.
    package let name: String
    package let isWildcard: Bool

    package init?(_ word: Word, _ diagnostics: Diagnostics) {
        let text = word.text.lowercased()
        isWildcard = text.hasPrefix("*.")
        let plain = [UInt8](isWildcard ? String(text.dropFirst(2)) : text)
        guard let authority = Authority(plain.span), authority.host.count == plain.count, !(isWildcard && authority.isIPv6) else {
            diagnostics.error("'\(word.text)' is not a host name", at: word, hint: "write api.example.com or *.example.com, without port")
            return nil
        }
        var normal: [UInt8] = isWildcard ? [0x2E] : []
        authority.appendHost(of: plain.span, to: &normal)
        name = String(decoding: normal, as: UTF8.self)
    }
}

/// All routes, by host and path.
package struct RouteTable {
    private var plain = HostTable()
    /// The same routes with their literals in one case, and of them those that fold case.
    private var folded = HostTable()
    private var folding = HostTable()
    private var demands: [PathDemand] = []
    private var foldsCase = false

    package init() {}

    /// Adds a route, with the next index.
    ///
    /// - Returns: the route that it collides with, if there is one.
    package mutating func insert(_ pattern: PathPattern, hosts: [HostPattern], _ demand: PathDemand) -> Int? {
        let route = demands.count
        demands.append(demand)
        let present = plain.insert(pattern, hosts: hosts, route: route)
        if demand.foldsCase {
            foldsCase = true
            _ = folding.insert(pattern.folded, hosts: hosts, route: route)
        }
        if let other = folded.insert(pattern.folded, hosts: hosts, route: route), demand.foldsCase || demands[other].foldsCase {
            return present ?? other
        }
        return present
    }

    /// Finds the route of a request; nil when there is none.
    ///
    /// Whatever in the path other programs read in other ways must lead to the same route, and to the same captures where the
    /// route makes use of them.
    /// - Parameter host: of the request, in lower case and without port; empty when it has none.
    /// - Throws: ``TargetError/ambiguousPath``.
    package func find(host: [UInt8], _ target: borrowing RequestTarget) throws(TargetError) -> Int? {
        if target.doubts.isEmpty, !foldsCase { return plain.find(host: host, target) }
        return try findInDoubt(host: host, target)
    }

    private func findInDoubt(host: [UInt8], _ target: borrowing RequestTarget) throws(TargetError) -> Int? {
        guard let route = try findFolded(host: host, target) else { return nil }
        let demand = demands[route]
        if demand.foldsCase { try demand.compare(target, target.folded()) }
        guard !target.doubts.isEmpty else { return route }
        for path in try PathReadings.all(of: target) {
            var reading = RequestTarget()
            try reading.normalize(0..<path.count, of: path.span, segmentsMax: .max)
            guard try findFolded(host: host, reading) == route else { throw .ambiguousPath }
            try demand.compare(target, reading)
        }
        return route
    }

    /// A route that folds case has all that it matches so, unless a more specific one has it.
    private func findFolded(host: [UInt8], _ target: borrowing RequestTarget) throws(TargetError) -> Int? {
        let exact = plain.find(host: host, target)
        guard foldsCase else { return exact }
        let target = target.folded()
        guard let claimed = folding.find(host: host, target) else { return exact }
        let closest = folded.find(host: host, target)
        guard closest == claimed || closest == exact else { throw .ambiguousPath }
        return closest
    }
}

/// What a route asks of the readings of a path.
package struct PathDemand {
    /// Whether the upstream takes letters of both cases for the same.
    package private(set) var foldsCase: Bool
    /// Segments of the path that the route makes use of.
    private let captures: [Int]

    package init(foldsCase: Bool = false, captures: [Int] = []) {
        self.foldsCase = foldsCase
        self.captures = captures
    }

    fileprivate func compare(_ target: borrowing RequestTarget, _ reading: borrowing RequestTarget) throws(TargetError) {
        for index in captures {
            guard index < reading.segments.count, reading.decodedSegment(index) == target.decodedSegment(index) else {
                throw .ambiguousPath
            }
        }
    }
}

/// The routes of all hosts.
///
/// A host named exactly comes before a wildcard, a longer wildcard before a shorter one, and routes without a host last;
/// within each, the most specific path wins.
private struct HostTable {
    private var exact: [[UInt8]: Int] = [:]
    private var wildcards: [(suffix: [UInt8], trie: Int)] = []
    private var tries: [PathTrie] = []
    /// Of the routes for every host; on its own, because one in a list is copied to be asked.
    private var general = PathTrie()

    /// Adds a route; the route that it collides with, if there is one.
    mutating func insert(_ pattern: PathPattern, hosts: [HostPattern], route: Int) -> Int? {
        if hosts.isEmpty { return general.insert(pattern, value: route) }
        var collision: Int?
        for host in hosts {
            let present = tries[trie(for: host)].insert(pattern, value: route)
            if present != route { collision = collision ?? present }
        }
        return collision
    }

    func find(host: [UInt8], _ target: borrowing RequestTarget) -> Int? {
        if !exact.isEmpty, let trie = exact[host], let route = tries[trie].find(target) { return route }
        for (suffix, trie) in wildcards where host.count > suffix.count {
            let end = host.span.extracting((host.count - suffix.count)..<host.count)
            if end.equals(suffix.span), let route = tries[trie].find(target) { return route }
        }
        return general.find(target)
    }

    private mutating func trie(for host: HostPattern) -> Int {
        let name = [UInt8](host.name)
        if host.isWildcard {
            if let present = wildcards.first(where: { $0.suffix == name }) { return present.trie }
            tries.append(PathTrie())
            wildcards.append((name, tries.count - 1))
            wildcards.sort { $0.suffix.count > $1.suffix.count }
        } else {
            if let present = exact[name] { return present }
            tries.append(PathTrie())
            exact[name] = tries.count - 1
        }
        return tries.count - 1
    }
}
