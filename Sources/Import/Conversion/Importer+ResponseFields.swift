/// Fields of responses: add_header, proxy_hide_header, expires; and CORS.
extension Importer {
    func responseFields(_ scope: NginxScope, _ authorizer: AuthorizerDraft?, isAnswer: Bool) -> [GatewayLine] {
        var lines: [GatewayLine] = []
        for field in scope.nearest("add_header") {
            let name = field.value.lowercased()
            guard !name.hasPrefix("access-control-"), name != "set-cookie" else { continue }
            let always = field.argument(2) == "always" ? ["always"] : []
            if name == "content-type", isAnswer || scope.own("return") != nil { continue }
            if name == "strict-transport-security", let words = Self.hsts(field.argument(1)) {
                lines.append(GatewayLine(words: ["hsts"] + words))
                record.note("every response over TLS says it", field)
                continue
            }
            if [
                "date", "content-length", "content-encoding", "content-range", "connection", "keep-alive", "transfer-encoding", "trailer",
                "upgrade", "x-request-id", "te", "proxy-connection",
            ].contains(name) {
                record.note("\(field.value) is said by the gateway or by the service", field)
                continue
            }
            do {
                let value = try translated(field.argument(1), in: scope, for: field, authorizer)
                if value.isEmpty {
                    record.dropped(field)
                } else {
                    lines.append(GatewayLine(words: ["add_response_header", field.value, value] + always))
                    record.converted(field)
                }
            } catch {
                record.note("\(error.reason): the field is left out", field)
            }
        }
        let cookies = scope.nearest("add_header").filter { $0.value.lowercased() == "set-cookie" }
        if let authorizer, !cookies.isEmpty {
            passFields(scope, authorizer)
        } else {
            for field in cookies where !field.argument(1).contains("$") {
                lines.append(GatewayLine("add_response_header", field.value, field.argument(1)))
                record.converted(field)
            }
        }
        for field in scope.nearest("proxy_hide_header") {
            lines.append(GatewayLine("remove_response_header", field.value))
            record.converted(field)
        }
        if let expires = scope.one("expires") {
            let value: String? =
                switch expires.arguments.last ?? "" {
                case "off": nil
                case "epoch", "-1": "no-cache"
                case "max": "max-age=315360000"
                case let time: NginxUnits.seconds(time).map { "max-age=\($0)" }
                }
            if let value { lines.append(GatewayLine("set_response_header", "Cache-Control", value)) }
            record.note("Cache-Control says it alone, without Expires", expires)
        }
        return lines
    }

    /// `max-age=31536000; includeSubDomains` as the words of `hsts`.
    private static func hsts(_ value: String) -> [String]? {
        var words: [String] = []
        var age: String?
        for part in value.lowercased().split(separator: ";") {
            let text = part.filter { $0 != " " && $0 != "\"" }
            if text.hasPrefix("max-age=") { age = NginxUnits.time(String(text.dropFirst(8))) }
            if text == "includesubdomains" { words.append("subdomains") }
            if text == "preload" { words.append("preload") }
        }
        return age.map { [$0] + words }
    }

    /// `cors` of a route.
    ///
    /// - Parameter preflight: the block that answers OPTIONS.
    func cors(_ scope: NginxScope, preflight: NginxDirective?) -> GatewayLine? {
        let fields = (scope.nearest("add_header") + (preflight?.block ?? []).filter { $0.name == "add_header" })
            .filter { $0.value.lowercased().hasPrefix("access-control-") }
        guard !fields.isEmpty else {
            if let preflight { record.note("OPTIONS goes the way of all methods: nothing here says which pages may ask", preflight) }
            return nil
        }
        let variables = NginxVariables(scope)
        var values: [String: NginxText] = [:]
        for field in fields {
            values[field.value.lowercased()] = variables.expanded(field.argument(1))
            record.note("the gateway answers preflights, and says what pages may read; refusals can be read too", field)
        }
        if let preflight {
            record.note("the gateway answers preflights by cors", preflight)
            for inner in preflight.block ?? [] where inner.name != "add_header" { record.converted(inner) }
        }
        let hasCredentials = values["access-control-allow-credentials"]?.literal?.lowercased() == "true"
        var origins = origins(values["access-control-allow-origin"], scope, hasCredentials: hasCredentials)
        if origins.isEmpty, let field = fields.first {
            record.note("which origins may ask is not said by name, so none may: add cors { origin …; }", field)
            return nil
        }
        if origins.contains("*") { origins = ["*"] }
        func list(_ name: String) -> [String] {
            (values[name]?.literal ?? "").split(separator: ",").map { $0.filter { $0 != " " } }.filter { !$0.isEmpty }
        }
        var block = [GatewayLine(words: ["origin"] + origins)]
        let methods = list("access-control-allow-methods").filter { $0 != "*" }
        if !methods.isEmpty { block.append(GatewayLine(words: ["methods"] + methods)) }
        let headers = list("access-control-allow-headers")
        if !headers.isEmpty || values["access-control-allow-headers"] != nil {
            block.append(GatewayLine(words: ["headers"] + (headers.isEmpty || headers.contains("*") ? ["*"] : headers)))
        }
        let exposed = list("access-control-expose-headers").filter { $0 != "*" }
        if !exposed.isEmpty { block.append(GatewayLine(words: ["expose"] + exposed)) }
        if hasCredentials, origins != ["*"] { block.append(GatewayLine("credentials")) }
        if let age = values["access-control-max-age"]?.literal.flatMap(NginxUnits.time) { block.append(GatewayLine("max_age", age)) }
        return GatewayLine("cors", block: block)
    }

    /// The origins that a value names, or that a map of `$http_origin` lets through.
    private func origins(_ value: NginxText?, _ scope: NginxScope, hasCredentials: Bool) -> [String] {
        guard let value else { return [] }
        if let text = value.literal {
            return text == "*" && hasCredentials ? [] : text.split(separator: " ").map(String.init).filter(Self.isOrigin)
        }
        // Any page may ask, as with *; but with a browser's cookies no page may that nobody has named.
        if value.isVariable("http_origin") { return hasCredentials ? [] : ["*"] }
        guard value.parts.count == 1, case .variable(let name) = value.parts[0],
            let map = scope.levels.first?.first(where: { $0.name == "map" && $0.argument(1) == "$\(name)" }), map.value == "$http_origin"
        else {
            return []
        }
        record.converted(map)
        return (map.block ?? []).compactMap { entry in
            guard entry.name != "default", !entry.name.isEmpty, !entry.value.isEmpty else { return nil }
            guard Self.isOrigin(entry.name) else {
                record.note("an origin is named as it is: https://app.example.com, or https://*.example.com", entry)
                return nil
            }
            record.converted(entry)
            return entry.name
        }
    }

    private static func isOrigin(_ text: String) -> Bool {
        text == "*"
            || (text.hasPrefix("https://") || text.hasPrefix("http://")) && text.split(separator: "/").count == 2 && !text.hasSuffix("/")
                && !text.contains { "~^$()[]\\|?".contains($0) }
    }
}
