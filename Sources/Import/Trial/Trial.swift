/// Both configurations with other addresses, so that they can be started beside each other before services that only tell what they are sent.
package struct Trial {
    /// Where everything listens during the trial.
    package struct Ports: Sendable {
        /// By the addresses of the files.
        package var nginx: [String: UInt16] = [:]
        package var gateway: [String: UInt16] = [:]
        package var services: [String: UInt16] = [:]
        /// A certificate and its key, for all that speaks TLS.
        package var certificate = ""
        package var key = ""
        /// A folder that nginx may write to.
        package var folder = ""

        package init() {}
    }

    private let imported: NginxImport
    private let http: [NginxDirective]
    private let declared: Set<String>
    /// The addresses on which the gateway listens, and whether by TLS.
    package let listeners: [(address: String, isTLS: Bool)]
    /// The addresses of all services.
    package let services: [String]
    /// The first server of the upstream to which an address belongs: which of them is asked next is chance.
    package let names: [String: String]
    /// The paths at which an authorizer is asked.
    package let authorizerPaths: [String]
    /// Files of passwords, as nginx names them.
    package let passwordFiles: [String]
    /// The fields of its response that become claims.
    package let claimFields: [String]
    /// The fields that routes set, which clients try to forge.
    package let setFields: [String]

    package init(_ imported: NginxImport) {
        self.imported = imported
        http = Importer.http(imported.nginx)
        declared = NginxVariables.declared(in: imported.nginx)
        let gateway = imported.gateway
        listeners = gateway.filter { $0.name == "listen" }.map { line in
            (line.words[1], (line.block ?? []).contains { $0.name == "tls" })
        }
        func all(_ lines: [GatewayLine], _ name: String) -> [GatewayLine] {
            lines.flatMap { line in (line.name == name ? [line] : []) + all(line.block ?? [], name) }
        }
        let authorizers = all(gateway, "authorizer").filter { $0.block?.contains { $0.name == "path" } ?? false }
        let written = all(gateway, "server").map { $0.words[1] }
        let askedFor = Self.askedPaths(NginxScope(levels: [http.flatMap { $0.block ?? [] }], declared: declared))
        authorizerPaths =
            askedFor
            + authorizers.flatMap { $0.block ?? [] }.filter { $0.name == "path" }.map {
                String($0.words[1].prefix { $0 != "?" })
            }
        claimFields = authorizers.flatMap { $0.block ?? [] }.filter { $0.name == "claim" }.map { $0.words[2] }
        setFields = Array(Set(all(gateway, "set_header").map { $0.words[1] })).sorted()
        names = all(gateway, "upstream").reduce(into: [:]) { names, upstream in
            let servers = (upstream.block ?? []).filter { $0.name == "server" }.map { $0.words[1] }
            for server in servers { names[server] = names[server] ?? servers[0] }
        }
        func files(_ block: [NginxDirective]) -> [String] {
            block.flatMap { ($0.name == "auth_basic_user_file" && !$0.value.hasPrefix("/") ? [$0.value] : []) + files($0.block ?? []) }
        }
        passwordFiles = Array(Set(files(imported.nginx))).sorted()
        var addresses = written
        Self.addresses(NginxScope(levels: [http.flatMap { $0.block ?? [] }], declared: declared), &addresses)
        services = addresses.reduce(into: []) { list, one in if !list.contains(one) { list.append(one) } }
    }

    /// The paths that nginx asks by auth_request, whether or not the import knows them.
    private static func askedPaths(_ http: NginxScope) -> [String] {
        func requests(_ block: [NginxDirective]) -> [String] {
            block.flatMap { ($0.name == "auth_request" && $0.value != "off" ? [$0.value] : []) + requests($0.block ?? []) }
        }
        let wanted = Set(requests(http.here))
        return http.here.filter { $0.name == "server" }.map { NginxServer($0, in: http) }.flatMap { server in
            wanted.flatMap { uri -> [String] in
                LocationChooser(server).candidates(uri).compactMap { location in
                    guard let pass = location.scope.own("proxy_pass"), let target = try? ProxyTarget(pass, NginxVariables(location.scope))
                    else { return nil }
                    guard let text = target.uri?.parts.first, case .text(let path) = text else { return uri }
                    guard case .prefix(let prefix, _) = location.matching, !target.replacesPath else {
                        return String(path.prefix { $0 != "?" })
                    }
                    return path + uri.dropFirst(prefix.count)
                }
            }
        }
    }

    /// The services that nginx asks.
    private static func addresses(_ scope: NginxScope, _ found: inout [String]) {
        for directive in scope.here {
            switch directive.name {
            case "proxy_pass", "grpc_pass":
                if let target = try? ProxyTarget(directive, NginxVariables(scope)) { found.append(target.address) }
            case "upstream":
                for server in directive.block ?? [] where server.name == "server" { found.append(address(ofServer: server.value)) }
            default: if let block = directive.block { addresses(scope.inner(block), &found) }
            }
        }
    }

    private static func address(ofServer text: String) -> String {
        text.hasPrefix("unix:") || text.contains(":") && !text.hasSuffix("]") ? text : text + ":80"
    }

    // MARK: nginx

    /// The file of nginx.
    ///
    /// - Parameter without: directives that this nginx does not know.
    package func nginx(_ ports: Ports, without unknown: Set<String>) -> String {
        let blocks = http.flatMap { $0.block ?? [] }
        let scope = NginxScope(levels: [blocks], declared: declared)
        let temporary = ["client_body_temp_path", "proxy_temp_path", "fastcgi_temp_path", "uwsgi_temp_path", "scgi_temp_path"]
        return
            "user root;\npid \(ports.folder)/nginx.pid;\nerror_log \(ports.folder)/error.log;\nworker_processes 1;\nevents { }\nhttp {\n    access_log off;\n"
            + temporary.map { "    \($0) \(ports.folder)/\($0);\n" }.joined()
            + rewritten(blocks, scope, ports, unknown).map { $0.text(depth: 1) }.joined() + "}\n"
    }

    private func rewritten(_ block: [NginxDirective], _ scope: NginxScope, _ ports: Ports, _ unknown: Set<String>) -> [NginxDirective] {
        block.compactMap { directive -> NginxDirective? in
            if unknown.contains(directive.name) || Self.left.contains(directive.name) || directive.name.hasPrefix("proxy_ssl_")
                || directive.name.hasSuffix("_temp_path")
            {
                return nil
            }
            switch directive.name {
            case "listen": return listen(directive, scope, ports)
            case "ssl_certificate": return directive.with(arguments: [ports.certificate])
            case "ssl_certificate_key": return directive.with(arguments: [ports.key])
            case "auth_basic_user_file":
                return directive.with(arguments: [directive.value.hasPrefix("/") ? directive.value : ports.folder + "/" + directive.value])
            // No file of the machine is served, or changed, by a trial.
            case "root", "alias": return directive.with(arguments: [ports.folder + "/empty"])
            case "proxy_cache_path", "fastcgi_cache_path", "uwsgi_cache_path", "scgi_cache_path":
                return directive.with(arguments: [ports.folder + "/cache"] + directive.arguments.dropFirst())
            case "fastcgi_pass", "uwsgi_pass", "scgi_pass", "memcached_pass": return directive.with(arguments: ["127.0.0.1:9"])
            case "proxy_pass", "grpc_pass": return pass(directive, scope, ports)
            case "upstream":
                let inner = (directive.block ?? []).compactMap { line -> NginxDirective? in
                    if line.name == "server", let port = ports.services[Self.address(ofServer: line.value)] {
                        return line.with(
                            arguments: ["127.0.0.1:\(port)"]
                                + line.arguments.dropFirst().filter { $0 == "backup" || $0 == "down" || $0.hasPrefix("weight=") })
                    }
                    return ["zone", "resolver"].contains(line.name) || unknown.contains(line.name) ? nil : line
                }
                return directive.with(block: inner)
            case "server":
                let inner = rewritten(directive.block ?? [], scope.inner(directive.block ?? []), ports, unknown)
                // Without listen nginx would take port 80.
                return inner.contains { $0.name == "listen" } ? directive.with(block: inner) : nil
            default:
                guard let inner = directive.block, !["map", "geo", "types", "split_clients"].contains(directive.name) else {
                    return directive
                }
                return directive.with(block: rewritten(inner, scope.inner(inner), ports, unknown))
            }
        }
    }

    private func listen(_ directive: NginxDirective, _ scope: NginxScope, _ ports: Ports) -> NginxDirective? {
        guard let listen = Importer.Listen(directive, scope), let port = ports.nginx[listen.address] else { return nil }
        return directive.with(
            arguments: ["127.0.0.1:\(port)"] + directive.arguments.dropFirst().filter { ["ssl", "http2", "default_server"].contains($0) })
    }

    /// The same target at its address of the trial, over HTTP in clear. One with variables keeps a variable: nginx treats its path in another way.
    private func pass(_ directive: NginxDirective, _ scope: NginxScope, _ ports: Ports) -> NginxDirective {
        // Where a target depends on the request nothing is asked: it could be a real service.
        guard let target = try? ProxyTarget(directive, NginxVariables(scope)) else {
            return directive.with(arguments: ["http://127.0.0.1:9"])
        }
        let scheme = target.isGRPC ? "grpc://" : "http://"
        if let port = ports.services[target.address],
            !(scope.levels.first ?? []).contains(where: { $0.name == "upstream" && $0.value == target.authority })
        {
            let rest = target.uri?.written ?? ""
            let own = target.uri == nil ? String(directive.value.contains("$request_uri") ? "$request_uri" : "") : rest
            return directive.with(arguments: ["\(scheme)127.0.0.1:\(port)" + (target.replacesPath ? "$cookie_none_of_these" : "") + own])
        }
        return directive.with(arguments: [directive.value.replacing("https://", with: "http://")])
    }

    /// What has no part in a trial, or names what only the real machine has.
    private static let left: Set<String> = [
        "access_log", "error_log", "resolver", "ssl_dhparam", "ssl_stapling", "ssl_stapling_verify", "ssl_trusted_certificate", "ssl_crl",
        "ssl_password_file", "ssl_session_ticket_key", "limit_req", "limit_req_zone", "limit_conn", "limit_conn_zone", "limit_req_status",
        "limit_conn_status", "limit_req_log_level", "limit_conn_log_level", "stream", "mail", "server_names_hash_bucket_size", "http2",
        "http3", "load_module",
        "dav_methods", "dav_access", "create_full_put_path", "proxy_store", "fastcgi_store", "mirror", "proxy_ssl_certificate",
        "perl_modules",
        "client_body_temp_path", "proxy_bind", "ssl_ciphers", "ssl_ecdh_curve",
    ]

    // MARK: The gateway

    package func gateway(_ ports: Ports) -> String {
        "workers 1;\nsecurity_log off;\n" + imported.gateway.compactMap { rewritten($0, ports) }.map { $0.text() }.joined()
    }

    private func rewritten(_ line: GatewayLine, _ ports: Ports) -> GatewayLine? {
        var line = line
        line.comments = []
        switch line.name {
        case "listen":
            guard let port = ports.gateway[line.words[1]] else { return nil }
            line.words[1] = "127.0.0.1:\(port)"
            line.block = line.block?.compactMap { inner in
                if inner.name == "proxy_protocol" { return nil }
                guard inner.name == "tls" else { return inner }
                let minimum = (inner.block ?? []).filter { $0.name == "minimum" }
                return GatewayLine("tls", block: [GatewayLine("certificate", ports.certificate, ports.key)] + minimum)
            }
            return line
        case "limit", "test", "access_log", "security_log", "user", "workers": return nil
        case "htpasswd":
            if !line.words[2].hasPrefix("/") { line.words[2] = ports.folder + "/" + line.words[2] }
            return line
        case "server":
            if let port = ports.services[line.words[1]] { line.words[1] = "127.0.0.1:\(port)" }
            return line
        case "tls": return nil
        case "forward_host":
            // nginx tells a service the address at which it asks.
            if let port = ports.services[line.words[1]] { line.words[1] = "127.0.0.1:\(port)" }
            return line
        default:
            line.block = line.block?.compactMap { rewritten($0, ports) }
            return line
        }
    }
}
