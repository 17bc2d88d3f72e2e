import ConfigFile

/// What an `auth_request` asks.
extension Importer {
    /// The authorizer for a directive `auth_request URI;`.
    func authorizer(_ request: NginxDirective, in server: NginxServer) throws(Refused) -> AuthorizerDraft {
        let found = chooser(server).candidates(request.value)
        guard let location = found.first, found.count == 1 else {
            throw Refused(reason: "no location answers \(request.value)", directive: request)
        }
        let scope = location.scope
        if let closing = closings(scope).first { throw closing }
        for condition in scope.here where condition.name == "if" { try passOver(condition) }
        for other in scope.here + server.scope.here where ["return", "rewrite", "limit_except"].contains(other.name) {
            throw Refused(reason: "the location that is asked answers, or changes what is asked, by itself", directive: other)
        }
        guard let pass = scope.own("proxy_pass") else {
            let other = scope.here.first { ["return", "root", "alias", "try_files", "grpc_pass"].contains($0.name) }
            throw Refused(reason: "the location that is asked has no proxy_pass", directive: other ?? location.directive)
        }
        let target = try ProxyTarget(pass, NginxVariables(scope))
        guard !target.isGRPC else { throw Refused(reason: "an authorizer is asked over HTTP", directive: pass) }
        let uri = try authorizerPath(request.value, target, location, pass)
        var lines = try servers(target, scope).lines.filter { $0.name == "server" }
        if target.isTLS { lines.append(try tls(target, scope)) }
        lines.append(GatewayLine("path", uri))
        if let method = scope.own("proxy_method") {
            let name = NginxVariables(scope).expanded(method.value)
            if let text = name.literal, ["GET", "HEAD", "POST"].contains(text) {
                if text != "GET" { lines.append(GatewayLine("method", text)) }
                record.converted(method)
            } else {
                record.note("it is asked with GET; the request's own method goes in X-Original-Method", method)
            }
        }
        lines += try sentFields(scope, target)
        lines += times(of: scope)
        lines += try cache(of: scope)
        record.converted(location.directive)
        askedLocations.insert(location.directive.id)
        record.note(
            "the gateway sends the URL and the method by itself, X-Forwarded-*, Cookie, Authorization, Accept and User-Agent; nginx sends all fields: add send NAME $header.NAME; for others that it looks at",
            pass)
        for directive in scope.here where ["internal", "proxy_pass_request_body"].contains(directive.name) { record.converted(directive) }
        let source = lines.map { $0.text() }.joined()
        if let known = authorizers.first(where: { $0.source.map { $0.text() }.joined() == source }) { return known }
        let draft = AuthorizerDraft(
            name: uniqueName(Self.product(uri) ?? Self.name(of: request.value)), source: lines, comments: location.directive.comments)
        authorizers.append(draft)
        return draft
    }

    /// An `if` of the location that is asked, where the service decides no less without it: one that refuses odd URLs, which the gateway does by
    /// itself, and one that lets in without asking.
    private func passOver(_ condition: NginxDirective) throws(Refused) {
        let block = condition.block ?? []
        // The one that many have from a collection of such files.
        let isAboutURL =
            condition.value == "($request_uri" && condition.argument(1) == "~" && condition.argument(2).hasPrefix("[^a-zA-Z0-9")
        let letsIn = ["200", "201", "202", "204"]
        guard block.count == 1, block[0].name == "return",
            letsIn.contains(block[0].value) || isAboutURL && ["401", "403", "400"].contains(block[0].value)
        else {
            throw Refused(reason: "the location that is asked decides by an if", directive: condition)
        }
        record.note(
            letsIn.contains(block[0].value)
                ? "nobody comes in without being asked for" : "paths that can be read in several ways are refused by the gateway itself",
            condition)
        record.converted(block[0])
    }

    /// The product that is asked at a path; nil for one that is not known.
    private static func product(_ path: String) -> String? {
        let path = path.prefix { $0 != "?" }
        if path == "/api/authz/auth-request" || path == "/api/verify" { return "authelia" }
        if path.hasPrefix("/oauth2/auth") { return "oauth2-proxy" }
        if path.hasPrefix("/outpost.goauthentik.io/") { return "authentik" }
        return path == "/validate" ? "vouch" : nil
    }

    private static func name(of uri: String) -> String {
        let name = uri.split(separator: "/").last.map(String.init) ?? "auth"
        return name.filter { $0.isLetter || $0.isNumber }.isEmpty ? "auth" : name
    }

    /// The path that the service is asked for.
    private func authorizerPath(
        _ uri: String, _ target: ProxyTarget, _ location: NginxLocation, _ pass: NginxDirective
    ) throws(Refused) -> String {
        guard let text = target.uri else { return uri }
        let path = try translated(text.written, in: location.scope, for: pass)
        guard path.hasPrefix("/") else { throw Refused(reason: "'\(pass.value)' names no path", directive: pass) }
        guard case .prefix(let prefix, _) = location.matching, !target.replacesPath else { return path }
        return path + uri.dropFirst(prefix.count)
    }

    private static func isSentAnyway(_ name: String) -> Bool {
        [
            "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "x-forwarded-uri", "x-forwarded-method",
            "x-original-url",
            "x-original-uri", "x-original-method", "x-request-id", "x-forwarded-prefix", "forwarded",
        ].contains(name)
    }

    /// `send` for each field that the location sets and the gateway does not send by itself.
    private func sentFields(_ scope: NginxScope, _ target: ProxyTarget) throws(Refused) -> [GatewayLine] {
        var lines: [GatewayLine] = []
        var names: Set<String> = []
        for field in scope.nearest("proxy_set_header") where field.arguments.count == 2 {
            let name = field.value.lowercased()
            let value = NginxVariables(scope).expanded(field.argument(1))
            // The request that asks has the variables of the one that it asks for.
            let own = NginxVariables.declared(in: scope.levels.flatMap { $0.filter { $0.name != "location" && $0.name != "server" } })
            for case .variable(let name) in NginxText(field.argument(1)).parts where scope.declared.contains(name) && !own.contains(name) {
                throw Refused(reason: "$\(name) is set where it is asked from, and each authorizer is asked in one way", directive: field)
            }
            record.converted(field)
            guard names.insert(name).inserted else { continue }
            switch name {
            case "host":
                if value.isVariable("host", "http_host", "server_name") {
                    lines.append(GatewayLine("send", "Host", "$request.host"))
                } else if let text = value.literal {
                    lines.append(GatewayLine("send", "Host", text))
                } else if !value.isVariable("proxy_host") {
                    lines.append(GatewayLine("send", "Host", try translated(field.argument(1), in: scope, for: field)))
                }
            case "cookie", "authorization", "accept", "user-agent":
                // What the client sent goes along by itself.
                if value.isVariable("http_" + name.replacing("-", with: "_")) { break }
                lines.append(GatewayLine("send", field.value, try translated(field.argument(1), in: scope, for: field)))
            case "connection", "upgrade", "content-length", "content-type", "transfer-encoding", "te", "proxy", "expect", "trailer",
                "keep-alive",
                "proxy-connection":
                break
            case _ where Self.isSentAnyway(name) && (value.literal == nil || value.literal == ""):
                // The gateway's own word for it, which is nginx's usual one.
                break
            default:
                guard value.literal != "" else { break }
                do {
                    lines.append(GatewayLine("send", field.value, try translated(field.argument(1), in: scope, for: field)))
                } catch {
                    guard error.reason.hasSuffix("has no counterpart") else { throw error }
                    record.note("\(error.reason): the field is not sent", field)
                }
            }
        }
        if scope.one("proxy_pass_request_headers")?.value == "off" {
            for name in ["Cookie", "Authorization", "Accept", "User-Agent"] where !names.contains(name.lowercased()) {
                lines.append(GatewayLine("send", name, ""))
            }
            if let off = scope.one("proxy_pass_request_headers") { record.converted(off) }
        }
        return lines
    }

    private func times(of scope: NginxScope) -> [GatewayLine] {
        guard let read = scope.own("proxy_read_timeout"), let seconds = NginxUnits.seconds(read.value) else { return [] }
        let time = seconds > 60 ? "1m" : seconds == 0 ? "1s" : "\(seconds)s"
        record.note("\(time) holds for the whole exchange with the authorizer; a minute is the most", read)
        for other in [scope.own("proxy_connect_timeout"), scope.own("proxy_send_timeout")].compactMap({ $0 }) {
            record.note("timeout of the authorizer holds for all of it", other)
        }
        return [GatewayLine("timeout", time)]
    }

    /// `cache` for a location whose responses nginx keeps.
    private func cache(of scope: NginxScope) throws(Refused) -> [GatewayLine] {
        guard let cache = scope.one("proxy_cache"), cache.value != "off" else { return [] }
        let valid = scope.nearest("proxy_cache_valid")
        let holding = valid.first { rule in
            rule.arguments.count == 1 || rule.arguments.dropLast().contains { ["200", "any", "202"].contains($0) }
        }
        guard let holding, let time = NginxUnits.time(holding.arguments.last ?? "") else {
            record.note("nothing says for how long: no response is kept", cache)
            return []
        }
        for rule in valid { record.note("refusals are kept for a second at most", rule) }
        record.converted(cache)
        var variables: [String] = []
        if let key = scope.one("proxy_cache_key") {
            record.note("method, URL, address, Authorization, Accept and User-Agent are a part of the key besides", key)
            for part in NginxVariables(scope).expanded(key.value).parts {
                guard case .variable(let name) = part else { continue }
                let text = try translated("$\(name)", in: scope, for: key)
                // What is in each key is not named, and a field that holds all cookies is what stands where none is named.
                if text == "$header.cookie" { return [GatewayLine("cache", time)] }
                let usual = [
                    "$request.method", "$request.uri", "$request.path", "$request.host", "$request.scheme", "$request.query", "$client.ip",
                    "$header.authorization", "$header.accept", "$header.user-agent", "$request.url",
                ]
                if !usual.contains(text), !variables.contains(text) { variables.append(text) }
            }
        }
        return [GatewayLine(words: ["cache", time] + variables)]
    }
}
