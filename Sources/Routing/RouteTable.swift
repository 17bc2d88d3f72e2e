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
///
/// A host named exactly comes before a wildcard, a longer wildcard before a shorter one, and routes without a host last;
/// within each, the most specific path wins.
package struct RouteTable {
    private var exact: [[UInt8]: Int] = [:]
    private var wildcards: [(suffix: [UInt8], trie: Int)] = []
    private var tries: [PathTrie] = []
    /// Of the routes for every host; on its own, because one in a list is copied to be asked.
    private var general = PathTrie()

    package init() {}

    /// Adds a route; the route that it collides with, if there is one.
    package mutating func insert(_ pattern: PathPattern, hosts: [HostPattern], route: Int) -> Int? {
        if hosts.isEmpty { return general.insert(pattern, value: route) }
        var collision: Int?
        for host in hosts {
            let present = tries[trie(for: host)].insert(pattern, value: route)
            if present != route { collision = collision ?? present }
        }
        return collision
    }

    /// - Parameter host: of the request, in lower case and without port; empty when it has none.
    package func find(host: [UInt8], _ target: borrowing RequestTarget) -> Int? {
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
