/// Which location nginx chooses for a path (ngx_http_core_find_location).
struct LocationChooser {
    private struct Node {
        let location: NginxLocation
        let children: [Node]
        /// Nil for a location that is none, and for an expression that cannot be evaluated here: it may match.
        let expression: Expression?
    }

    private let roots: [Node]

    init(_ server: NginxServer) { roots = Self.nodes(server.scope) }

    private static func nodes(_ scope: NginxScope) -> [Node] {
        scope.here.filter { $0.name == "location" }.compactMap { directive in
            NginxLocation(directive, in: scope).map { location in
                Node(location: location, children: nodes(location.scope), expression: Expression(location.matching))
            }
        }
    }

    /// The locations that may be chosen: more than one where an expression could not be evaluated; none where no location is for the path.
    func candidates(_ path: String) -> [NginxLocation] { choose(roots, path).found }

    private func choose(_ nodes: [Node], _ path: String) -> (found: [NginxLocation], isFinal: Bool) {
        var longest: (node: Node, count: Int, isPreferred: Bool)?
        for node in nodes {
            switch node.location.matching {
            case .exact(let text) where text == path: return ([node.location], true)
            case .prefix(let text, let isPreferred) where path.hasPrefix(text) && text.utf8.count >= longest?.count ?? 0:
                longest = (node, text.utf8.count, isPreferred)
            default: break
            }
        }
        // A proxied location with a slash at its end takes the path without it, for a redirect to itself, before any expression.
        for node in nodes {
            guard case .prefix(let text, _) = node.location.matching, text.count > 1, text == path + "/" else { continue }
            if node.location.scope.own("proxy_pass") != nil || node.location.scope.own("grpc_pass") != nil {
                return ([node.location], true)
            }
        }
        var found: [NginxLocation] = []
        if let longest {
            let inner = choose(longest.node.children, path)
            if inner.isFinal { return inner }
            found = inner.found.isEmpty ? [longest.node.location] : inner.found
            if longest.isPreferred { return (found, false) }
        }
        for node in nodes {
            guard case .expression = node.location.matching else { continue }
            let matches = node.expression.flatMap { $0.matches(path) }
            if matches == false { continue }
            let inner = choose(node.children, path)
            let own = inner.found.isEmpty ? [node.location] : inner.found
            if matches == true { return (matchesUnknown(found, nodes, before: node) + own, true) }
            found += own
        }
        return (found, false)
    }

    /// Of what was found before an expression that matches, only what may have matched before it.
    private func matchesUnknown(_ found: [NginxLocation], _ nodes: [Node], before node: Node) -> [NginxLocation] {
        let unknown = nodes.prefix { $0.location.directive.id != node.location.directive.id }.filter { one in
            if case .expression = one.location.matching { one.expression == nil } else { false }
        }
        return found.filter { location in unknown.contains { $0.location.directive.id == location.directive.id } }
    }

    /// A regular expression as far as it can be evaluated in time.
    private struct Expression {
        private let regex: Regex<AnyRegexOutput>

        init?(_ matching: NginxLocation.Matching) {
            guard case .expression(let text, let foldsCase) = matching, text.utf8.count <= 256, Self.isTame(text),
                let regex = try? Regex(text)
            else { return nil }
            self.regex = foldsCase ? regex.ignoresCase() : regex
        }

        /// Whether no repetition stands around another, which can take time without end.
        private static func isTame(_ text: String) -> Bool {
            ![")+", ")*", "){"].contains { text.contains($0) } && text.count { "*+{".contains($0) } <= 2
        }

        /// Nil for a path that is too long to be looked at in time.
        func matches(_ path: String) -> Bool? { path.utf8.count > 160 ? nil : path.firstMatch(of: regex) != nil }
    }
}
