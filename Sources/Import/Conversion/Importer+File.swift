import ConfigFile
import System

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
        tellsClientsExactly = Self.tellsClientsExactly(scope)
        readServers(scope)
        var lines = [GatewayLine("max_body_size", usualBodySize)]
        lines += times(scope)
        let proxies = trustedProxies(scope)
        lines += listenLines(proxies: proxies)
        if !proxies.isEmpty { lines.append(GatewayLine(words: ["trusted_proxies"] + proxies)) }
        lines += authorizers.filter { one in routes.contains { $0.access.credentials.contains(one.name) } }.map(\.line)
        lines += passwordFiles.sorted { $0.value < $1.value }.map { GatewayLine("htpasswd", $0.value, $0.key) }
        lines += networks.map { GatewayLine(words: ["network", $0.name] + $0.members) }
        lines += limits
        lines += upstreams.filter { upstream in routes.contains { $0.target == .upstream(upstream.name) } }.map(\.line)
        lines += shared()
        let groups = routes.reduce(into: [[String]]()) { groups, route in if !groups.contains(route.hosts) { groups.append(route.hosts) } }
        for hosts in groups {
            let inner = routes.filter { $0.hosts == hosts }.map(\.line)
            lines += hosts.isEmpty ? inner : [GatewayLine(words: ["host"] + hosts, comments: hostComments[hosts] ?? [], block: inner)]
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
        let names = ServerNames(all)
        // A name has its routes from the server that speaks TLS, if one does.
        let ordered = all.filter { kept.contains($0.0.directive.id) }.enumerated().sorted {
            let (left, right) = ($0.element.1.contains(where: \.isTLS), $1.element.1.contains(where: \.isTLS))
            return left == right ? $0.offset < $1.offset : left
        }.map(\.element)
        var served: Set<String> = []
        var losesHosts = false
        for (server, listens) in ordered {
            let redirection = redirection(server)
            let hasTLS = listens.contains(where: \.isTLS)
            let own = names.own(server)
            for directive in server.scope.here where directive.name == "server_name" { record.converted(directive) }
            for name in own.refused {
                record.refuse("a host is named, or has * for its first part: \(name) is neither", own.directive ?? server.directive)
                losesHosts = losesHosts || redirection?.all != true
            }
            for name in own.lost {
                record.note("an earlier server on the same address has the name \(name)", own.directive ?? server.directive)
            }
            if let redirection, redirection.all, !hasTLS {
                readRedirection(server, listens, redirection.exceptions, own)
                continue
            }
            let redirects = redirection != nil && hasTLS
            let hosts = own.hosts.filter { served.insert($0).inserted }
            for name in own.hosts where !hosts.contains(name) {
                record.note("the server that speaks TLS has the name \(name)", own.directive ?? server.directive)
            }
            guard !hosts.isEmpty || own.isGeneral && served.insert("").inserted else {
                record.refuse("no request is for it alone: its locations have no route", server.directive)
                continue
            }
            if let directive = own.directive, !hosts.isEmpty {
                record.note(
                    "a request for another host gets 404 unless a server without a name is there; nginx takes its first server", directive)
            }
            listen(server, listens, redirects: { redirects && !$0.isTLS }, exceptions: [])
            let group = own.isGeneral ? [] : hosts
            hostComments[group] = server.directive.comments
            addresses[group, default: []] += listens.map(\.address)
            let made = routes(of: server, hosts: group)
            routes += made
            notePlacesWithoutRoutes(server, made, hosts.first)
        }
        if losesHosts {
            for index in routes.indices where routes[index].hosts.isEmpty {
                routes[index].close("REFUSED a server with other names than a host can have would come before it")
            }
        }
        closeRest()
        for index in routes.indices { note(places: routes[index]) }
    }

    /// A server in clear that does nothing but send to https, but for some locations.
    private func readRedirection(_ server: NginxServer, _ listens: [Listen], _ exceptions: [NginxLocation], _ names: ServerNames.Own) {
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
        let hosts = names.hosts
        let own = inner.locations.isEmpty ? [] : routes(of: inner, hosts: hosts).filter { $0.pattern != "/**" }
        let patterns = own.map(\.pattern)
        // They stand among the routes that their host has already; the same path may have one of the server that speaks TLS.
        for group in hosts.isEmpty
            ? (names.isGeneral ? [[]] : []) : hosts.map({ host in routes.first { $0.hosts.contains(host) }?.hosts ?? [host] })
        {
            for var route in own where !routes.contains(where: { $0.hosts == group && $0.pattern == route.pattern }) {
                route.hosts = group
                routes.append(route)
            }
            addresses[group, default: []] += listens.map(\.address)
        }
        listen(server, listens, redirects: { _ in true }, exceptions: patterns)
        record.converted(server.directive)
    }

    /// Servers that may share the routes of one file: those that listen where the others do.
    private func together(_ servers: [(NginxServer, [Listen])]) -> Set<Int> {
        func keys(_ listens: [Listen]) -> Set<String> {
            Set(
                listens.map { listen in
                    let host =
                        ["0.0.0.0:", "[::]:"].contains { listen.address.hasPrefix($0) }
                        ? "any" : String(listen.address.dropLast(listen.port.count))
                    return host + (["80", "443"].contains(listen.port) ? "web" : String(listen.port))
                })
        }
        var weights: [Set<String>: Int] = [:]
        for (server, listens) in servers where redirection(server)?.all != true {
            weights[keys(listens), default: 0] += server.locations.count + (listens.contains(where: \.isTLS) ? 8 : 0) + 1
        }
        let main = servers.map { keys($0.1) }.max { weights[$0, default: 0] < weights[$1, default: 0] } ?? []
        return Set(
            servers.filter { server, listens in
                keys(listens) == main || redirection(server).map { $0.all && $0.exceptions.isEmpty } ?? false
            }.map(\.0.directive.id))
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

    /// Locations that have no route of their own are asked for all the same.
    private func notePlacesWithoutRoutes(_ server: NginxServer, _ routes: [ImportedRoute], _ host: String?) {
        for location in server.locations where !routes.contains(where: { $0.source == location.directive.id }) {
            let texts: [String] =
                switch location.matching {
                case .exact(let text), .prefix(let text, _): [text]
                case .expression(let text, _): ((try? ExpressionPaths(text))?.paths ?? []).map(\.text)
                case .named: []
                }
            for text in texts where !text.contains(" ") {
                let host = host.map { $0.hasPrefix("*.") ? "sample" + $0.dropFirst() : $0 }
                places.append(
                    ImportedPlace(
                        pattern: (text.hasSuffix("/") ? String(text.dropLast()) : text) + "/**", host: host,
                        differences: [
                            .finalSlash, .slashRedirect, .signInForBrowsersAlone, .signInByRedirect, .authorizerStatus,
                            .prefixWithinSegment, .crossSite, .methodStatus,
                        ], addresses: addresses[routes.first?.hosts ?? []] ?? []))
            }
        }
    }

    private func note(places route: ImportedRoute) {
        var differences = route.differences
        if route.target == .closed { differences.insert(.closed) }
        places.append(
            ImportedPlace(
                pattern: route.pattern, host: route.hosts.first.map { $0.hasPrefix("*.") ? "sample" + $0.dropFirst() : $0 },
                differences: differences,
                addresses: addresses[route.hosts] ?? []))
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

    /// Whether nothing is said of the client's address, or just what the gateway does.
    private static func tellsClientsExactly(_ scope: NginxScope) -> Bool {
        func all(_ block: [NginxDirective], _ name: String) -> [NginxDirective] {
            block.flatMap { ($0.name == name ? [$0] : []) + all($0.block ?? [], name) }
        }
        // Of a PROXY header nginx takes the address only where set_real_ip_from says so, and the gateway always.
        if all(scope.here, "listen").contains(where: { $0.arguments.contains("proxy_protocol") }) { return false }
        let trusted = all(scope.here, "set_real_ip_from")
        guard !trusted.isEmpty else { return true }
        let servers = scope.here.filter { $0.name == "server" }.map { $0.block ?? [] }
        func own(_ block: [NginxDirective], _ names: String...) -> [[String]] {
            block.filter { names.contains($0.name) }.map { [$0.name] + $0.arguments }
        }
        let perServer = servers.map { own($0, "set_real_ip_from", "real_ip_header", "real_ip_recursive") }
        let here = own(scope.here, "set_real_ip_from", "real_ip_header", "real_ip_recursive")
        // All of it stands in http, or in each server the same, and none of it deeper.
        let first = perServer.first ?? []
        let counted = (here + perServer.flatMap { $0 }).count { $0[0] == "set_real_ip_from" }
        guard perServer.allSatisfy({ $0 == first }), here.isEmpty || first.isEmpty, trusted.count == counted else { return false }
        let said = here + first
        return trusted.allSatisfy { IPNetwork($0.value) != nil } && said.contains(["real_ip_recursive", "on"])
            && said.contains { $0[0] == "real_ip_header" && $0.count == 2 && $0[1].lowercased() == "x-forwarded-for" }
    }

    /// `set_real_ip_from` of all servers.
    private func trustedProxies(_ scope: NginxScope) -> [String] {
        let servers = scope.here.filter { $0.name == "server" }.map { $0.block ?? [] }
        func trusted(_ block: [NginxDirective]) -> [String] { block.filter { $0.name == "set_real_ip_from" }.map(\.value) }
        // What one server trusts, the others must not.
        let isShared = Set(servers.map(trusted)).count <= 1
        for directive in servers.flatMap({ $0 }) where directive.name == "set_real_ip_from" && !isShared {
            record.note("not all servers trust it, and trusted_proxies holds for all: it is left out", directive)
        }
        let scopes = [scope.here] + (isShared ? servers : [])
        var networks: [String] = []
        for directive in scopes.flatMap({ $0 }) {
            if directive.name == "set_real_ip_from" {
                if directive.value.contains(where: { $0.isLetter && !$0.isHexDigit }) {
                    record.note("a proxy is named by its address", directive)
                } else {
                    if IPNetwork(directive.value) != nil, !networks.contains(directive.value) { networks.append(directive.value) }
                    record.note(
                        "of several addresses the last that is not a trusted proxy's counts, as with real_ip_recursive on", directive)
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
