/// The variables that a scope sets itself: by `set`, `auth_request_set`, and by a `map` that only renames.
struct NginxVariables {
    /// Why a text has no counterpart.
    struct Untranslatable: Error {
        let variable: String
        /// Whether the file itself decides the value, by logic; otherwise it is one of nginx's own.
        let isLogic: Bool
    }

    private enum Value {
        case text(NginxText)
        /// Depends on logic that the gateway does not have.
        case logic
    }

    private var values: [String: Value] = [:]

    /// The variables that directives set, at whatever depth.
    static func declared(in directives: [NginxDirective]) -> Set<String> {
        directives.reduce(into: []) { names, directive in
            if directive.name == "set" || directive.name == "auth_request_set" { names.insert(name(directive.value)) }
            names.formUnion(declared(in: directive.block ?? []))
        }
    }

    init(_ scope: NginxScope) {
        for name in scope.declared { values[name] = .text(NginxText(parts: [])) }
        for level in scope.levels {
            for directive in level {
                switch directive.name {
                case "map": values[Self.name(directive.argument(1))] = Self.renamed(directive)
                case "geo": values[Self.name(directive.arguments.last ?? "")] = .logic
                case "js_set", "perl_set", "split_clients":
                    values[Self.name(directive.argument(directive.name == "split_clients" ? 1 : 0))] = .logic
                case "set": values[Self.name(directive.value)] = .text(NginxText(directive.argument(1)))
                case "if":
                    for inner in directive.block ?? [] where inner.name == "set" { values[Self.name(inner.value)] = .logic }
                default:
                    if directive.name.hasPrefix("set_by_") { values[Self.name(directive.value)] = .logic }
                }
            }
        }
        for directive in scope.nearest("auth_request_set") {
            let text = NginxText(directive.argument(1))
            let parts = text.parts.map { part -> NginxText.Part in
                guard case .variable(let name) = part, name.hasPrefix("upstream_http_") else { return part }
                return .authorizerField(String(name.dropFirst("upstream_http_".count)))
            }
            values[Self.name(directive.value)] = .text(NginxText(parts: parts))
        }
    }

    private static func name(_ word: String) -> String { word.hasPrefix("$") ? String(word.dropFirst()) : word }

    /// A map with nothing but a default, and perhaps a value for the empty text, is another name for its default.
    private static func renamed(_ map: NginxDirective) -> Value {
        let entries = (map.block ?? []).filter { !["hostnames", "volatile"].contains($0.name) }
        guard let value = entries.last(where: { $0.name == "default" }),
            entries.allSatisfy({ $0.name == "default" || $0.name.isEmpty && isSame($0.value, value.value) })
        else {
            return .logic
        }
        return .text(NginxText(value.value))
    }

    /// Whether two values are one for the gateway, such as the scheme that a proxy tells and the connection's own.
    private static func isSame(_ left: String, _ right: String) -> Bool {
        if left == right { return true }
        guard left.hasPrefix("$"), right.hasPrefix("$"), let one = own(String(left.dropFirst())) else { return false }
        return one == own(String(right.dropFirst()))
    }

    /// Whether the file itself decides its value by logic.
    func isLogic(_ name: String) -> Bool { if case .logic? = values[name] { true } else { false } }

    /// With the variables of the file replaced by what they stand for.
    func expanded(_ text: NginxText) -> NginxText {
        var budget = 256
        return NginxText(parts: expand(text, depth: 0, &budget)).joined
    }

    func expanded(_ text: String) -> NginxText { expanded(NginxText(text)) }

    private func expand(_ text: NginxText, depth: Int, _ budget: inout Int) -> [NginxText.Part] {
        var result: [NginxText.Part] = []
        for part in text.parts {
            budget -= 1
            guard budget > 0, depth < 8, case .variable(let name) = part, case .text(let value)? = values[name] else {
                result.append(part)
                continue
            }
            // `set $x $x;` stands for itself.
            if value.isVariable(name) { result.append(part) } else { result += expand(value, depth: depth + 1, &budget) }
        }
        return result
    }

    /// The text as gateway.conf writes it.
    ///
    /// - Parameter claim: the claim that holds a field of the authorizer's response, by nginx's name of the field; nil where none is asked.
    func translated(_ text: NginxText, claim: (String) -> String?) throws(Untranslatable) -> String {
        var output = ""
        let parts = Self.withWholeURLs(expanded(text)).parts
        for (index, part) in parts.enumerated() {
            switch part {
            case .text(let text): output += text.replacing("$", with: "$$")
            case .authorizerField(let field):
                guard let name = claim(field) else { throw Untranslatable(variable: "upstream_http_\(field)", isLogic: true) }
                output += Self.reference("claim.\(name)", before: index + 1 < parts.count ? parts[index + 1] : nil)
            case .variable(let name):
                guard let own = Self.own(name) else {
                    throw Untranslatable(variable: name, isLogic: isLogic(name) || !Self.isBuiltIn(name))
                }
                output += Self.reference(own, before: index + 1 < parts.count ? parts[index + 1] : nil)
            }
        }
        return output
    }

    /// `$NAME`, or `$(NAME)` where the text behind would go on with it.
    private static func reference(_ name: String, before next: NginxText.Part?) -> String {
        guard case .text(let text)? = next, let first = text.first else { return "$\(name)" }
        let goesOn = first.isLetter || first.isNumber || "-_~.".contains(first) || name.hasPrefix("claim.") && ":/".contains(first)
        return goesOn ? "$(\(name))" : "$\(name)"
    }

    /// Sequences that together are the URL of the request.
    private static func withWholeURLs(_ text: NginxText) -> NginxText {
        var parts = text.parts
        for host in ["host", "http_host", "server_name"] {
            for uri in [[NginxText.Part.variable("request_uri")], [.variable("uri"), .variable("is_args"), .variable("args")]] {
                parts = replacing([.variable("scheme"), .text("://"), .variable(host)] + uri, in: parts, with: .variable("portcullis_url"))
            }
        }
        parts = replacing([.variable("uri"), .variable("is_args"), .variable("args")], in: parts, with: .variable("request_uri"))
        return NginxText(parts: parts)
    }

    private static func replacing(_ sequence: [NginxText.Part], in parts: [NginxText.Part], with one: NginxText.Part) -> [NginxText.Part] {
        var result: [NginxText.Part] = []
        var index = 0
        while index < parts.count {
            if parts[index...].starts(with: sequence) {
                result.append(one)
                index += sequence.count
            } else {
                result.append(parts[index])
                index += 1
            }
        }
        return result
    }

    /// The gateway's variable for one of nginx; nil where there is none.
    private static func own(_ name: String) -> String? {
        if let known = known[name] { return known }
        if name.hasPrefix("http_"), name.count > 5 { return "header." + name.dropFirst(5).replacing("_", with: "-") }
        if name.hasPrefix("cookie_"), name.count > 7 { return "cookie." + name.dropFirst(7) }
        if name.hasPrefix("arg_"), name.count > 4 { return "query." + name.dropFirst(4) }
        return nil
    }

    private static let known = [
        "remote_addr": "client.ip", "realip_remote_addr": "client.ip", "binary_remote_addr": "client.ip", "scheme": "request.scheme",
        "host": "request.host", "http_host": "request.host", "server_name": "request.host", "request_uri": "request.uri",
        "uri": "request.path", "document_uri": "request.path", "args": "request.query", "query_string": "request.query",
        "request_method": "request.method", "request_id": "request.id", "remote_user": "claim.user", "portcullis_url": "request.url",
        "http_x_forwarded_proto": "request.scheme", "http_x_forwarded_host": "request.host", "http_x_real_ip": "client.ip",
    ]

    /// Whether nginx, or a module of it, has a variable of this name by itself.
    private static func isBuiltIn(_ name: String) -> Bool {
        [
            "ssl_", "server_", "time_", "request_", "body_", "connection", "content_", "proxy_", "upstream_", "sent_http_", "tcpinfo_",
            "geoip_", "realip_",
        ]
        .contains { name.hasPrefix($0) }
            || [
                "hostname", "msec", "nginx_version", "pid", "pipe", "limit_rate", "status", "https", "is_args", "document_root",
                "realpath_root", "remote_port", "bytes_sent", "request", "http2", "http3",
            ]
            .contains(name)
    }
}
