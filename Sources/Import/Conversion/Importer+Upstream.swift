/// Which service a request goes to.
extension Importer {
    /// The name of the `upstream` for a target.
    func upstream(_ target: ProxyTarget, _ scope: NginxScope, isTunnel: Bool) throws(Refused) -> String {
        var (lines, base, comments) = try servers(target, scope)
        if target.isTLS { lines.append(try tls(target, scope)) }
        if target.isGRPC { lines.append(GatewayLine("protocol", "h2")) }
        lines += try times(scope, isTunnel: isTunnel)
        let source = base + lines.map { $0.text() }.joined()
        if let known = upstreams.first(where: { $0.source == source }) { return known.name }
        comments = comments.filter { text in !upstreams.contains { $0.comments.contains(text) } }
        let draft = UpstreamDraft(name: uniqueName(base), source: source, lines: lines, comments: comments)
        upstreams.append(draft)
        return draft.name
    }

    /// The `server` lines of a target, a name for it, and the comments of its block.
    func servers(_ target: ProxyTarget, _ scope: NginxScope) throws(Refused) -> (lines: [GatewayLine], name: String, comments: [String]) {
        let block = scope.levels.first?.first { $0.name == "upstream" && $0.value == target.authority }
        guard let block else {
            let host =
                target.authority.hasPrefix("unix:")
                ? target.authority.split(separator: "/").last.map(String.init) ?? "socket" : target.authority
            let name =
                host.first?.isNumber == true || host.hasPrefix("[")
                ? "service-" + (target.address.split(separator: ":").last.map(String.init) ?? "80")
                : String(host.prefix { $0 != "." && $0 != ":" })
            return ([GatewayLine("server", target.address)], name, [])
        }
        record.converted(block)
        var lines: [GatewayLine] = []
        for directive in block.block ?? [] {
            switch directive.name {
            case "server":
                let options = directive.arguments.dropFirst()
                if options.contains("down") || options.contains("backup") {
                    record.note(
                        options.contains("down")
                            ? "a server that is down is left out" : "a backup server is left out: all servers of an upstream take turns",
                        directive)
                    continue
                }
                if options.contains(where: { $0.hasPrefix("weight=") }) { record.note("servers take turns without weights", directive) }
                let address =
                    directive.value.hasPrefix("unix:") || directive.value.contains(":") && !directive.value.hasSuffix("]")
                    ? directive.value : directive.value + ":80"
                lines.append(GatewayLine("server", address))
                record.converted(directive)
            case "least_conn":
                lines.append(GatewayLine("balance", "least_connections"))
                record.converted(directive)
            case "keepalive":
                if let count = Int(directive.value), 1...4_096 ~= count { lines.append(GatewayLine("keepalive", "\(count)")) }
                record.converted(directive)
            default:
                if case .refused(let reason) = DirectiveMeaning(directive.name) { throw Refused(reason: reason, directive: directive) }
            }
        }
        guard lines.contains(where: { $0.name == "server" }) else {
            throw Refused(reason: "the upstream '\(block.value)' has no server", directive: block)
        }
        let balance = lines.filter { $0.name != "server" }
        return (lines.filter { $0.name == "server" } + balance, block.value, block.comments)
    }

    func tls(_ target: ProxyTarget, _ scope: NginxScope) throws(Refused) -> GatewayLine {
        var lines: [GatewayLine] = []
        if let file = scope.one("proxy_ssl_trusted_certificate") {
            lines.append(GatewayLine("trusted_certificate", path(file.value)))
            record.converted(file)
        }
        if let chain = scope.one("proxy_ssl_certificate"), let key = scope.one("proxy_ssl_certificate_key") {
            lines.append(GatewayLine("certificate", path(chain.value), path(key.value)))
            record.converted(chain)
            record.converted(key)
        }
        if let name = scope.one("proxy_ssl_name"), !name.value.contains("$") {
            lines.append(GatewayLine("server_name", name.value))
            record.converted(name)
        }
        let verify = scope.one("proxy_ssl_verify")
        let text =
            "the certificate of \(target.authority) is verified, which nginx leaves out unless proxy_ssl_verify is on: name one of its own by tls { trusted_certificate FILE; }"
        if let verify, verify.value == "on" {
            record.converted(verify)
        } else if let pass = verify ?? scope.own("proxy_pass") {
            record.note(text, pass)
        }
        return lines.isEmpty ? GatewayLine("tls") : GatewayLine("tls", block: lines)
    }

    /// Times that the scope says; nginx's own are those of the gateway, but for connecting.
    private func times(_ scope: NginxScope, isTunnel: Bool) throws(Refused) -> [GatewayLine] {
        var lines: [GatewayLine] = []
        if let connect = scope.one("proxy_connect_timeout") ?? scope.one("grpc_connect_timeout") {
            if let time = NginxUnits.time(connect.value) {
                lines.append(GatewayLine("connect_timeout", time))
                record.converted(connect)
            } else {
                record.note("'\(connect.value)' is not a time: 3s holds", connect)
            }
        }
        if let read = scope.one("proxy_read_timeout") ?? scope.one("grpc_read_timeout") {
            if let time = NginxUnits.time(read.value) {
                if time != "60s" && time != "1m" { lines.append(GatewayLine("answer_timeout", time)) }
                lines.append(GatewayLine("stream_timeout", time))
                record.converted(read)
            } else {
                record.note("'\(read.value)' is not a time up to a year: 60s holds, and 1h for streams and tunnels", read)
            }
        }
        if let send = scope.one("proxy_send_timeout") { record.note("answer_timeout of the upstream holds for sending too", send) }
        return lines
    }
}
