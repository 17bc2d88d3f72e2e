/// What the routes have to decide: `test` blocks with a case or more for each.
extension Importer {
    func tests(_ groups: [[String]]) -> [GatewayLine] {
        let scheme = listeners.contains(where: \.isTLS) ? "https" : "http"
        return groups.compactMap { hosts in
            let own = self.routes.filter { $0.hosts == hosts }
            let host = hosts.first.map { $0.hasPrefix("*.") ? "sample" + $0.dropFirst() : $0 }
            let cases = own.flatMap { self.cases($0, among: own, host.map { "\(scheme)://\($0)" } ?? "") }
            guard !cases.isEmpty else { return nil }
            return GatewayLine("test", uniqueName(hosts.first ?? "imported"), block: personas(own) + cases)
        }
    }

    private func personas(_ routes: [ImportedRoute]) -> [GatewayLine] {
        authorizers.filter { one in routes.contains { $0.access.credentials.contains(one.name) } }.map { one in
            GatewayLine(
                "as", "user-of-\(one.name)",
                block: [GatewayLine("authorizer", one.name)] + one.claims.map { GatewayLine("claim", $0.claim, "a-\($0.claim)") })
        }
            + passwordFiles.values.sorted().filter { name in routes.contains { $0.access.credentials.contains(name) } }.map {
                GatewayLine("as", "user-of-\($0)", block: [GatewayLine("htpasswd", $0), GatewayLine("claim", "user", "someone")])
            }
    }

    private func cases(_ route: ImportedRoute, among others: [ImportedRoute], _ origin: String) -> [GatewayLine] {
        guard let path = Self.sample(route, among: others) else { return [] }
        let url = origin + path
        let method = route.methods.flatMap { $0.contains("GET") ? nil : $0.first } ?? "GET"
        let access = route.access
        let named = access.isAny ? networks.first { access.credentials.contains($0.name) }?.members ?? [] : access.networks
        // A network may be all that is asked for, or one of several.
        let inside = named.first.map { String($0.prefix { $0 != "/" }) }
        let outside =
            named.contains { $0.hasSuffix("/0") } || named.contains("203.0.113.213")
            ? nil : inside?.contains(":") ?? false ? "2001:db8:ffff::213" : "203.0.113.213"
        let credential = access.credentials.first { name in !networks.contains { $0.name == name } }
        switch route.target {
        case .closed: return [GatewayLine("answer", "nobody", method, url, "501")]
        case .answer where route.lines.contains { $0.name == "answer" && Self.dependsOnClient($0.words.last ?? "") }: return []
        case .answer(let status): return [GatewayLine("answer", "nobody", method, url, status)]
        case .upstream(let upstream):
            let from = access.networks.isEmpty ? [] : inside.map { ["client", $0] } ?? []
            let who = credential.map { "user-of-\($0)" } ?? "nobody"
            let fields =
                access.isAny
                ? []
                : route.claimFields.filter { field in
                    authorizers.contains { $0.name == credential && $0.claims.contains { $0.claim == field.claim } }
                }
            var lines = [
                GatewayLine(
                    words: ["allow", who, method, url, "upstream", upstream]
                        + fields.prefix(1).flatMap { ["header", $0.field, "a-\($0.claim)"] } + from)
            ]
            if credential != nil {
                let far = access.isAny ? outside.map { ["client", $0] } ?? [] : from
                lines.append(GatewayLine(words: ["refuse", "nobody", method, url, "401"] + far))
            }
            if access.isAny, let inside { lines.append(GatewayLine("allow", "nobody", method, url, "client", inside)) }
            if !access.networks.isEmpty, let outside {
                lines.append(GatewayLine(words: ["refuse", who, method, url, "403", "address_not_allowed", "client", outside]))
            }
            return lines
        }
    }

    /// A path that leads to a route and to no other.
    private static func sample(_ route: ImportedRoute, among others: [ImportedRoute]) -> String? {
        for word in ["sample", "example-1", "page"] {
            var segments = route.segments.map { $0 == "*" ? word : String($0) }
            if route.path.hasTail { segments.append(word) }
            let isOthers = others.contains { other in
                other.pattern != route.pattern && matches(other, segments) && other.segments.count >= route.segments.count
            }
            if !isOthers { return "/" + segments.joined(separator: "/") }
        }
        return nil
    }

    private static func matches(_ route: ImportedRoute, _ segments: [String]) -> Bool {
        let own = route.segments
        guard own.count <= segments.count, own.count == segments.count || route.path.hasTail else { return false }
        return zip(own, segments).allSatisfy { $0 == "*" || $0 == $1 || route.foldsCase && $0.lowercased() == $1.lowercased() }
    }
}
