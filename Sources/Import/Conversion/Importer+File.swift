import ConfigFile
import Routing

/// The whole file.
extension Importer {
    func file(of directives: [NginxDirective]) -> [GatewayLine] {
        let http = Self.http(directives)
        let scope = NginxScope(levels: [http.flatMap { $0.block ?? [] }], declared: NginxVariables.declared(in: directives))
        for block in http { record.converted(block) }
        for events in directives where events.name == "events" { record.dropped(events) }
        if let size = scope.own("client_max_body_size"), let text = NginxUnits.size(size.value) {
            usualBodySize = text
            record.converted(size)
        }
        readServers(scope)
        var lines = [GatewayLine("max_body_size", usualBodySize)]
        lines += times(scope)
        let proxies = trustedProxies(scope)
        lines += listenLines(proxies: proxies)
        if !proxies.isEmpty { lines.append(GatewayLine(words: ["trusted_proxies"] + proxies)) }
        lines += authorizers.map(\.line)
        lines += passwordFiles.sorted { $0.value < $1.value }.map { GatewayLine("htpasswd", $0.value, $0.key) }
        lines += networks.map { GatewayLine(words: ["network", $0.name] + $0.members) }
        lines += limits
        lines += upstreams.filter { upstream in routes.contains { $0.target == .upstream(upstream.name) } }.map(\.line)
        lines += shared()
        let groups = routes.reduce(into: [[String]]()) { groups, route in if !groups.contains(route.hosts) { groups.append(route.hosts) } }
        for hosts in groups {
            let lines_ = routes.filter { $0.hosts == hosts }.map(\.line)
            lines += hosts.isEmpty ? lines_ : [GatewayLine(words: ["host"] + hosts, comments: hostComments[hosts] ?? [], block: lines_)]
        }
        return lines + tests(groups)
    }

    /// The blocks in which servers stand; a file of a folder such as sites-enabled has servers, or locations, alone.
    static func http(_ directives: [NginxDirective]) -> [NginxDirective] {
        let found = directives.filter { $0.name == "http" }
        guard found.isEmpty else { return found }
        func wrapped(_ name: String, _ block: [NginxDirective]) -> NginxDirective {
            NginxDirective(
                id: 0, name: name, arguments: [], block: block, line: directives.first?.line ?? .init(file: "?", line: 0), comments: [])
        }
        if directives.contains(where: { $0.name == "server" }) { return [wrapped("http", directives)] }
        guard directives.contains(where: { $0.name == "location" }) else { return [] }
        return [wrapped("http", [wrapped("server", directives)])]
    }

    private func readServers(_ scope: NginxScope) {
        let servers = scope.here.filter { $0.name == "server" }.map { NginxServer($0, in: scope) }
        let all = servers.map { ($0, listens($0)) }
        let kept = together(all)
        for (server, listens) in all where !kept.contains(server.directive.id) {
            let places = listens.map(\.address).joined(separator: " ")
            record.refuse(
                "it listens on \(places) alone, and here the routes of all servers hold on every listener: give it a file of its own",
                server.directive)
        }
        var served: Set<String> = []
        var hasGeneral = false
        // A name has its routes from the server that speaks TLS, if one does.
        let ordered = all.filter { kept.contains($0.0.directive.id) }.enumerated().sorted {
            let (left, right) = ($0.element.1.contains(where: \.isTLS), $1.element.1.contains(where: \.isTLS))
            return left == right ? $0.offset < $1.offset : left
        }.map(\.element)
        for (server, listens) in ordered {
            let redirection = redirection(server)
            let hasTLS = listens.contains(where: \.isTLS)
            if let redirection, redirection.all, !hasTLS {
                readRedirection(server, listens, redirection.exceptions, &served, &hasGeneral)
                continue
            }
            let redirects = redirection != nil && hasTLS
            guard let hosts = hosts(of: server, listens, &served, &hasGeneral) else { continue }
            listen(server, listens, redirects: { redirects && !$0.isTLS }, exceptions: [])
            let own = routes(of: server, hosts: hosts)
            hostComments[hosts] = server.directive.comments
            routes += own
        }
        closeRest()
        for index in routes.indices { note(places: routes[index]) }
    }

    /// A server in clear that does nothing but send to https, but for some locations.
    private func readRedirection(
        _ server: NginxServer, _ listens: [Listen], _ exceptions: [NginxLocation], _ served: inout Set<String>, _ hasGeneral: inout Bool
    ) {
        for line in server.scope.here where ["return", "rewrite", "if", "server_name"].contains(line.name) {
            record.converted(line)
            for inner in line.block ?? [] { record.converted(inner) }
        }
        for location in server.locations where location.matching == .prefix("/", isPreferred: false) {
            record.converted(location.directive)
            for line in location.scope.here where line.name == "return" || line.name == "rewrite" { record.converted(line) }
        }
        let inner = NginxServer(
            server.directive.with(
                block: (server.directive.block ?? []).filter { line in
                    line.name != "location" || exceptions.contains { $0.directive.id == line.id }
                }),
            in: NginxScope(levels: Array(server.scope.levels.dropLast()), declared: server.scope.declared))
        let names = server.scope.here.filter { $0.name == "server_name" }.flatMap(\.arguments).filter {
            $0 != "_" && !$0.isEmpty && !$0.hasPrefix("~")
        }
        let hosts = names.flatMap { $0.hasPrefix(".") ? [String($0.dropFirst()), "*" + $0] : [$0] }
        let own = inner.locations.isEmpty ? [] : routes(of: inner, hosts: hosts).filter { $0.pattern != "/**" }
        let patterns = own.map(\.pattern)
        // They stand among the routes that their host has already; the same path may have one of the server that speaks TLS.
        for group in hosts.isEmpty ? [[]] : hosts.map({ host in routes.first { $0.hosts.contains(host) }?.hosts ?? [host] }) {
            for var route in own where !routes.contains(where: { $0.hosts == group && $0.pattern == route.pattern }) {
                route.hosts = group
                routes.append(route)
            }
        }
        listen(server, listens, redirects: { _ in true }, exceptions: patterns)
        record.converted(server.directive)
    }

    /// Names of a server that no other has; nil where there is nothing left of it.
    private func hosts(of server: NginxServer, _ listens: [Listen], _ served: inout Set<String>, _ hasGeneral: inout Bool) -> [String]? {
        let directives = server.scope.here.filter { $0.name == "server_name" }
        let names = directives.flatMap(\.arguments)
        for directive in directives { record.converted(directive) }
        var hosts: [String] = []
        for name in names {
            if name.hasPrefix("~") || name.hasSuffix(".*") || !Self.isHost(name) {
                record.refuse("a host is named, or has * for its first part: \(name) is neither", directives[0])
            } else if name == "_" || name.isEmpty || name == "$hostname" || name == "localhost" && names.count == 1 {
                continue
            } else {
                for host in name.hasPrefix(".") ? [String(name.dropFirst()), "*" + name] : [name] {
                    if served.insert(host.lowercased()).inserted {
                        hosts.append(host.lowercased())
                    } else {
                        record.note("an earlier server has the name \(host)", directives[0])
                    }
                }
            }
        }
        guard hosts.isEmpty else {
            if let first = directives.first {
                record.note(
                    "a request for another host gets 404 unless a server without a name is there; nginx takes its first server", first)
            }
            return hosts
        }
        let isGeneral = names.isEmpty || names.allSatisfy { $0 == "_" || $0.isEmpty || $0 == "$hostname" || $0 == "localhost" }
        guard isGeneral, !hasGeneral else {
            if isGeneral {
                record.note("an earlier server has all hosts without a server of their own", server.directive)
            } else {
                record.refuse("none of its names is left: its locations have no route", server.directive)
            }
            return nil
        }
        hasGeneral = true
        return []
    }

    private static func isHost(_ name: String) -> Bool {
        let text = name.hasPrefix(".") ? "*" + name : name
        if name == "_" || name.isEmpty || name == "$hostname" { return true }
        return HostPattern(Word(text: text, position: Position(file: 0, offset: 0, length: 0), isQuoted: true), Diagnostics()) != nil
    }

    /// Servers that may share the routes of one file: those that can be reached where the others can.
    private func together(_ servers: [(NginxServer, [Listen])]) -> Set<Int> {
        func key(_ listen: Listen) -> String {
            listen.isLocal ? listen.address : ["80", "443"].contains(listen.port) ? "web" : String(listen.port)
        }
        var best: (ids: Set<Int>, weight: Int) = ([], -1)
        for (start, listens) in servers {
            var keys = Set(listens.map(key))
            var ids: Set<Int> = [start.directive.id]
            var grows = true
            while grows {
                grows = false
                for (server, others) in servers where !ids.contains(server.directive.id) && !keys.isDisjoint(with: others.map(key)) {
                    ids.insert(server.directive.id)
                    keys.formUnion(others.map(key))
                    grows = true
                }
            }
            // A server that sends from one port to another belongs to both; the larger group is meant.
            let weight = servers.filter { ids.contains($0.0.directive.id) }.reduce(0) { sum, one in
                sum + one.0.locations.count + (one.1.contains(where: \.isTLS) ? 8 : 0) + 1
            }
            if weight > best.weight { best = (ids, weight) }
            if ids.count == servers.count { break }
        }
        // Those that only send to https may stand anywhere.
        for (server, _) in servers where redirection(server)?.all ?? false { best.ids.insert(server.directive.id) }
        return best.ids
    }

    /// A host without a route for everything would leave the rest to the routes for every host.
    private func closeRest() {
        let hosts = Set(routes.map(\.hosts))
        guard hosts.count > 1 else { return }
        for own in routes.reduce(into: [[String]](), { if !$0.contains($1.hosts) { $0.append($1.hosts) } }) where !own.isEmpty {
            if routes.contains(where: { !Set($0.hosts).isDisjoint(with: own) && $0.pattern == "/**" }) { continue }
            routes.append(
                ImportedRoute(
                    hosts: own, path: ExpressionPaths.Path(text: "", hasTail: true), foldsCase: false, access: Access(),
                    target: .answer(status: "404"),
                    lines: [GatewayLine("answer", "404")], comments: ["what no location of this server is for"], differences: [.ownStatus],
                    rank: .prefix))
        }
    }

    private func note(places route: ImportedRoute) {
        var differences = route.differences
        if route.target == .closed { differences.insert(.closed) }
        places.append(
            ImportedPlace(
                pattern: route.pattern, host: route.hosts.first.map { $0.hasPrefix("*.") ? "sample" + $0.dropFirst() : $0 },
                differences: differences))
    }

    private func times(_ scope: NginxScope) -> [GatewayLine] {
        var block: [GatewayLine] = []
        for (name, own) in [
            ("client_header_timeout", "head"), ("client_body_timeout", "body"), ("send_timeout", "write"), ("keepalive_timeout", "idle"),
        ] {
            guard let directive = scope.own(name), let time = NginxUnits.time(directive.value) else { continue }
            block.append(GatewayLine(own, time))
            record.converted(directive)
        }
        return block.isEmpty ? [] : [GatewayLine("timeouts", block: block)]
    }

    /// `set_real_ip_from` of all servers.
    private func trustedProxies(_ scope: NginxScope) -> [String] {
        let scopes = [scope.here] + scope.here.filter { $0.name == "server" }.map { $0.block ?? [] }
        var networks: [String] = []
        for directive in scopes.flatMap({ $0 }) {
            if directive.name == "set_real_ip_from" {
                if directive.value.contains(where: { $0.isLetter && !$0.isHexDigit }) {
                    record.note("a proxy is named by its address", directive)
                } else {
                    if !networks.contains(directive.value) { networks.append(directive.value) }
                    record.converted(directive)
                }
            } else if directive.name == "real_ip_header" {
                if ["x-forwarded-for", "proxy_protocol"].contains(directive.value.lowercased()) {
                    record.converted(directive)
                } else {
                    record.note(
                        "the client's address is read from X-Forwarded-For or Forwarded of trusted proxies; have the proxy write it there",
                        directive)
                }
            }
        }
        return networks
    }

    /// Lines that every route has stand once, for all of them.
    private func shared() -> [GatewayLine] {
        let forwarding = routes.indices.filter { if case .upstream = routes[$0].target { true } else { false } }
        guard let first = forwarding.first, forwarding.count > 1 else { return [] }
        var moved: [GatewayLine] = []
        for line in routes[first].lines {
            let isRequestField =
                line.name == "set_header" && !(line.words.last ?? "").contains("$claim") && !(line.words.last ?? "").contains("$(claim")
            guard isRequestField, forwarding.allSatisfy({ routes[$0].lines.contains(line) }) else { continue }
            moved.append(line)
        }
        for line in routes[0].lines where ["add_response_header", "set_response_header", "hsts"].contains(line.name) {
            if routes.allSatisfy({ $0.lines.contains(line) }) { moved.append(line) }
        }
        for index in routes.indices { routes[index].lines.removeAll { moved.contains($0) } }
        return moved
    }
}
