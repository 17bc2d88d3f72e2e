/// `if`, `return` and `rewrite`.
extension Importer {
    struct Conditions {
        /// The block that answers OPTIONS.
        var preflight: NginxDirective?
        /// The methods that may be used.
        var methods: [String]?
    }

    /// What the `if`s of a server and of a location come to.
    ///
    /// - Throws: ``Refused`` where one is logic.
    func conditions(_ scope: NginxScope, in server: NginxServer) throws(Refused) -> Conditions {
        var result = Conditions()
        let levels = scope.levels.dropFirst()
        // Of locations further out nginx looks at no if.
        let looked = levels.isEmpty ? [] : (levels.first ?? []) + (levels.count > 1 ? scope.here : [])
        for directive in looked where directive.name == "if" {
            let words = directive.arguments
            let inner = directive.block ?? []
            let text = words.joined(separator: " ")
            let condition = text.hasPrefix("(") && text.hasSuffix(")") ? String(text.dropFirst().dropLast()) : text
            let parts = condition.split(separator: " ").map(String.init)
            let returned = inner.first { $0.name == "return" }
            if inner.allSatisfy({ $0.name == "set" || $0.name == "add_header" && $0.value.lowercased() == "set-cookie" }) {
                record.note("its variables count for nothing; where one is used, the line is refused", directive)
                for line in inner { record.note("a variable that an if sets is not used", line) }
            } else if let returned, Self.isToHTTPS(returned), parts.count == 3, Self.isAboutScheme(parts) {
                // The listener in clear sends everything to https; only it can, and only where one with TLS is there.
                guard server.scope.here.contains(where: { $0.id == directive.id }), parts[0] != "$http_x_forwarded_proto",
                    listens(server).contains(where: \.isTLS)
                else {
                    throw Refused(
                        reason: "what comes in clear is sent to https by a listener, beside one with TLS, and by nothing else",
                        directive: directive)
                }
                record.converted(directive)
                record.converted(returned)
            } else if parts.count == 3, parts[0] == "$request_method", parts[1] == "=", Self.unquoted(parts[2]) == "OPTIONS",
                inner.allSatisfy({ ["add_header", "return", "more_set_headers", "default_type"].contains($0.name) })
            {
                if let returned, !(Int(returned.value).map { 200..<300 ~= $0 } ?? false) {
                    let others = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
                    result.methods = result.methods.map { $0.filter { others.contains($0) } } ?? others
                    record.note("OPTIONS gets 405", directive)
                    record.converted(returned)
                } else {
                    result.preflight = directive
                }
            } else if parts.count == 3, parts[0] == "$request_method", parts[1] == "!~" || parts[1] == "!~*",
                let methods = Self.methods(Self.unquoted(parts[2])), let returned, Int(returned.value) != nil, inner.count == 1
            {
                result.methods = result.methods.map { earlier in earlier.filter { methods.contains($0) } } ?? methods
                record.note("other methods get 405", directive)
                record.converted(returned)
            } else {
                throw Refused(reason: "this if is logic, of which the gateway has none", directive: directive)
            }
        }
        return result
    }

    private static func unquoted(_ text: String) -> String { text.filter { $0 != "'" && $0 != "\"" } }

    /// `$scheme = http`, `$https = ""`, `$http_x_forwarded_proto != https`.
    private static func isAboutScheme(_ parts: [String]) -> Bool {
        let value = unquoted(parts[2])
        return switch parts[0] {
        case "$scheme", "$http_x_forwarded_proto": parts[1] == "=" && value == "http" || parts[1] == "!=" && value == "https"
        case "$https": parts[1] == "=" && value.isEmpty || parts[1] == "!=" && value == "on"
        case "$ssl_protocol": parts[1] == "=" && value.isEmpty
        case "$server_port": parts[1] == "=" && value == "80" || parts[1] == "!=" && value == "443"
        default: false
        }
    }

    /// `^(GET|HEAD|POST)$` as a list.
    private static func methods(_ expression: String) -> [String]? {
        var text = Substring(expression)
        for start in ["^", "("] where text.hasPrefix(start) { text = text.dropFirst() }
        for end in ["$", ")"] where text.hasSuffix(end) { text = text.dropLast() }
        let methods = text.split(separator: "|").map(String.init)
        guard !methods.isEmpty, methods.allSatisfy({ $0.allSatisfy { $0.isUppercase && $0.isASCII } }) else { return nil }
        return methods
    }

    /// Whether a `return` sends to the same place over https.
    static func isToHTTPS(_ directive: NginxDirective) -> Bool {
        guard directive.name == "return",
            ["301", "302", "303", "307", "308"].contains(directive.value) || directive.value.hasPrefix("https://")
        else { return false }
        let url = NginxText(directive.arguments.last ?? "")
        let uris: [[NginxText.Part]] = [
            [.variable("request_uri")], [.variable("uri"), .variable("is_args"), .variable("args")], [.variable("uri")],
        ]
        let hosts: [NginxText.Part] = [.variable("host"), .variable("server_name"), .variable("http_host")]
        return url.parts.first == .text("https://") && url.parts.count > 2 && hosts.contains(url.parts[1])
            && uris.contains(Array(url.parts[2...]))
    }

    /// Whether a client may leave a value out.
    static func dependsOnClient(_ text: String) -> Bool {
        ["query.", "cookie.", "header."].contains { text.contains("$\($0)") || text.contains("$(\($0)") }
    }

    /// What a `return` answers.
    func answer(_ directive: NginxDirective, _ scope: NginxScope) throws(Refused) -> (
        line: GatewayLine, status: String, differences: Set<KnownDifference>
    ) {
        let hasStatus = Int(directive.value) != nil
        let status = hasStatus ? directive.value : "302"
        let text = hasStatus ? directive.argument(1) : directive.value
        let types = scope.nearest("add_header").filter { $0.value.lowercased() == "content-type" }
        switch status {
        case "301", "302", "303", "307", "308":
            let location = try translated(text, in: scope, for: directive)
            if Self.dependsOnClient(location) {
                record.note("a request without the values in it gets 403", directive)
            } else {
                record.converted(directive)
            }
            return (GatewayLine("answer", status, location), status, [.ownStatus])
        case "444":
            record.note("a connection is not cut without a word: 403", directive)
            return (GatewayLine("answer", "403"), "403", [.ownStatus])
        default:
            guard let number = Int(status), 200..<600 ~= number, ![206, 304].contains(number) else {
                throw Refused(reason: "\(status) is no status of an answer", directive: directive)
            }
            guard !text.isEmpty, ![204, 205].contains(number) else {
                record.converted(directive)
                return (GatewayLine("answer", status), status, [])
            }
            var body = try translated(text, in: scope, for: directive)
            let named = types.last?.argument(1) ?? scope.one("default_type")?.value ?? "text/plain"
            for type in types { record.converted(type) }
            if let type = scope.one("default_type") { record.converted(type) }
            if named.lowercased() == "application/json" { body = body.replacing("\\/", with: "/") }
            record.converted(directive)
            return (GatewayLine("answer", status, body, named), status, [])
        }
    }

    /// Whether a `rewrite` sends the client elsewhere.
    static func isRedirect(_ directive: NginxDirective) -> Bool {
        ["redirect", "permanent"].contains(directive.argument(2))
            || ["http://", "https://", "$scheme"].contains { directive.argument(1).hasPrefix($0) }
    }

    /// What a `rewrite` of a location comes to: prefixes, or an answer.
    func rewritten(_ directive: NginxDirective, _ scope: NginxScope) throws(Refused) -> Rewriting {
        let (expression, replacement, flag) = (directive.value, directive.argument(1), directive.argument(2))
        if Self.isRedirect(directive) {
            guard ["^", "^(.*)$", "^(.*)", "^/(.*)$", "^/(.*)", "^.*$", ".*", "^(/.*)$"].contains(expression) else {
                throw Refused(reason: "a redirect of some paths of a location is a route of its own: answer 301 URL;", directive: directive)
            }
            let path =
                expression.contains("^/(")
                ? replacement.replacing("/$1", with: "$request_uri") : replacement.replacing("$1", with: "$request_uri")
            let status = flag == "permanent" ? "301" : "302"
            let url = try translated(path.hasSuffix("?") ? String(path.dropLast()) : path, in: scope, for: directive)
            record.converted(directive)
            return .answer(GatewayLine("answer", status, url), status)
        }
        guard flag == "break" else {
            throw Refused(
                reason:
                    "a path that is looked for once more has no counterpart: strip_prefix and add_prefix change it on the way to the service",
                directive: directive)
        }
        guard expression.hasPrefix("^/"), let open = expression.firstIndex(of: "("), replacement.hasSuffix("$1"),
            replacement.hasPrefix("/") || replacement == "$1"
        else {
            throw Refused(reason: "only the beginning of a path can be changed: strip_prefix and add_prefix", directive: directive)
        }
        var before = String(expression[expression.index(after: expression.startIndex)..<open])
        let group = expression[open...]
        guard before.allSatisfy({ $0.isLetter || $0.isNumber || "/-_~".contains($0) }),
            ["(.*)", "(.*)$", "(.+)", "(.+)$", "(/.*)", "(/.*)$", "(/.*)?$", "(/.*)?"].contains(String(group))
        else {
            throw Refused(reason: "only the beginning of a path can be changed: strip_prefix and add_prefix", directive: directive)
        }
        var after = String(replacement.dropLast(2))
        if group.hasPrefix("(/") { (before, after) = (before + "/", after + "/") }
        record.converted(directive)
        return .prefix(before, after)
    }

    enum Rewriting {
        /// What the path begins with, and what it begins with for the service.
        case prefix(String, String)
        case answer(GatewayLine, String)
    }
}
