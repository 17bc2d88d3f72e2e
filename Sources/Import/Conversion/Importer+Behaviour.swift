/// What one location does.
extension Importer {
    /// - Throws: ``Refused`` with what has no counterpart.
    func behaviour(_ location: NginxLocation, in server: NginxServer) throws(Refused) -> Behaviour {
        if location.isInternal { return notFound(location) }
        if let closing = closings(location.scope).first { throw closing }
        if let verify = location.scope.one("ssl_verify_client"), verify.value == "on" {
            throw Refused(reason: "certificates of clients are not asked for yet", directive: verify)
        }
        let conditions = try conditions(location.scope, in: server)
        var result = try behaviour(location, in: server, conditions)
        // nginx looks at the method before it looks for a location.
        guard let methods = conditions.methods else { return result }
        guard result.methods == nil else {
            throw Refused(
                reason: "both an if and limit_except say which methods may be used",
                directive: location.scope.own("limit_except") ?? location.directive)
        }
        result.methods = methods
        result.lines.append(GatewayLine(words: ["method"] + methods, block: []))
        result.differences.insert(.methodStatus)
        return result
    }

    /// No client reaches an internal location.
    private func notFound(_ location: NginxLocation) -> Behaviour {
        if let own = location.scope.own("internal") { record.converted(own) }
        return Behaviour(target: .answer(status: "404"), lines: [GatewayLine("answer", "404")], differences: [.ownStatus])
    }

    private func behaviour(_ location: NginxLocation, in server: NginxServer, _ conditions: Conditions) throws(Refused) -> Behaviour {
        let scope = location.scope
        if case .exact = location.matching, askedLocations.contains(location.directive.id),
            scope.own("proxy_pass_request_body")?.value == "off"
        {
            record.note("the gateway asks it, and nobody else: 404", location.directive)
            return Behaviour(target: .answer(status: "404"), lines: [GatewayLine("answer", "404")], differences: [.ownStatus])
        }
        // nginx answers by return before it asks who is there.
        if let answer = server.scope.own("return") ?? scope.own("return") {
            let (line, status, differences) = try self.answer(answer, scope)
            var lines = [line]
            lines += cors(scope, preflight: conditions.preflight).map { [$0] } ?? []
            lines += responseFields(scope, nil, isAnswer: true)
            return Behaviour(target: .answer(status: status), lines: lines, differences: differences)
        }
        var rewriting: Rewriting?
        for rewrite in server.scope.here where rewrite.name == "rewrite" && !Self.isRedirect(rewrite) {
            throw Refused(reason: "a server's rewrite comes before a location is chosen, and has no counterpart", directive: rewrite)
        }
        for rewrite in server.scope.here.filter({ $0.name == "rewrite" }) + scope.here.filter({ $0.name == "rewrite" }) {
            guard rewriting == nil else { throw Refused(reason: "a second rewrite has no counterpart", directive: rewrite) }
            rewriting = try rewritten(rewrite, scope)
        }
        if case .answer(let line, let status)? = rewriting {
            return Behaviour(target: .answer(status: status), lines: [line] + responseFields(scope, nil, isAnswer: true))
        }
        let rules = scope.nearest("allow", "deny")
        if let rule = rules.first, rules.count == 1, rule.name == "deny", rule.value == "all", scope.one("satisfy")?.value != "any" {
            record.converted(rule)
            return Behaviour(target: .answer(status: "403"), lines: [GatewayLine("answer", "403")])
        }
        let access = try access(scope, in: server)
        let authorizer = authorizers.first { access.credentials.contains($0.name) }
        var result = Behaviour(access: access, target: .closed)
        if authorizer != nil { result.differences.formUnion([.authorizerStatus, .crossSite]) }
        if access.credentials.contains(where: { passwordFiles.values.contains($0) }) {
            result.differences.formUnion([.passwordKept, .crossSite])
        }

        let (source, pass) = try content(location, in: server)
        if let pass {
            try forward(pass, source, location, rewriting, authorizer, &result)
        } else {
            guard let fileServer = options.fileServer else {
                let root = scope.one("root") ?? scope.one("alias")
                throw Refused(
                    reason:
                        "files of \(root?.value ?? "a folder"): the gateway serves none; put a file server behind, and name it by --files HOST:PORT",
                    directive: scope.own("try_files") ?? scope.own("root") ?? scope.own("alias") ?? root ?? location.directive)
            }
            if let root = scope.one("root") ?? scope.one("alias") {
                record.note("\(fileServer) has to serve \(root.value) as nginx did", root)
            }
            let lines = [GatewayLine("server", fileServer)]
            if !upstreams.contains(where: { $0.source == "files" }) {
                upstreams.append(UpstreamDraft(name: uniqueName("files"), source: "files", lines: lines, comments: []))
            }
            result.target = .upstream(upstreams.first { $0.source == "files" }?.name ?? "files")
            result.lines.append(GatewayLine("forward_token", "as_received"))
        }
        let signIn = signIn(location, authorizer, in: server)
        if !access.credentials.isEmpty {
            result.lines += signIn.lines
            result.differences.formUnion(signIn.differences)
        }
        result.lines += errorPages(location, in: server)
        if let cors = cors(scope, preflight: conditions.preflight) {
            result.lines.append(cors)
            result.differences.insert(.cors)
        }
        result.lines += responseFields(scope, authorizer, isAnswer: false)
        if let size = scope.one("client_max_body_size") {
            if let text = NginxUnits.size(size.value) {
                if text != usualBodySize { result.lines.append(GatewayLine("max_body_size", text)) }
                record.converted(size)
            } else {
                throw Refused(reason: "'\(size.value)' is no size", directive: size)
            }
        }
        try limits(scope, &result)
        try methods(scope, &result)
        return result
    }

    /// The directive that says where the request goes, and the scope in which it holds; nil for files.
    private func content(_ location: NginxLocation, in server: NginxServer) throws(Refused) -> (NginxScope, NginxDirective?) {
        let scope = location.scope
        let pass = scope.own("proxy_pass") ?? scope.own("grpc_pass")
        if let pass {
            if let files = scope.own("try_files") {
                throw Refused(reason: "files are looked for before the service is asked", directive: files)
            }
            return (scope, pass)
        }
        if options.fileServer != nil, let files = scope.own("try_files"), let last = files.arguments.last, last.hasPrefix("/") {
            guard let next = server.location(for: last), protection(next, in: server) == Guard(try access(scope, in: server), methods: nil)
            else {
                throw Refused(reason: "this location and that of \(last) differ in who may come", directive: files)
            }
        }
        guard let files = scope.own("try_files"),
            let last = files.arguments.last, last.hasPrefix("@")
        else { return (scope, nil) }
        guard let named = server.named(last), let pass = named.scope.own("proxy_pass") ?? named.scope.own("grpc_pass") else {
            return (scope, nil)
        }
        if let closing = closings(named.scope).first { throw closing }
        for condition in named.scope.here where ["if", "rewrite", "return", "limit_except"].contains(condition.name) {
            throw Refused(reason: "the named location decides by logic", directive: condition)
        }
        // nginx asks at both who may come: what the named one demands, this one has to demand too.
        let own = try access(named.scope, in: server)
        let outer = try access(scope, in: server)
        guard own.isOpen || own == outer else {
            throw Refused(reason: "the named location demands what this one does not", directive: named.directive)
        }
        if options.fileServer != nil { return (scope, nil) }
        record.note("files of \(scope.one("root")?.value ?? "a folder") are not looked for first: all requests go to the service", files)
        record.converted(named.directive)
        // Variables that were set on the way are still there.
        let variables = scope.here.filter { $0.name == "set" || $0.name == "auth_request_set" }
        let levels = Array(named.scope.levels.dropLast()) + [variables, named.scope.here]
        return (NginxScope(levels: levels, declared: scope.declared), pass)
    }

    private func forward(
        _ pass: NginxDirective, _ scope: NginxScope, _ location: NginxLocation, _ rewriting: Rewriting?, _ authorizer: AuthorizerDraft?,
        _ result: inout Behaviour
    ) throws(Refused) {
        let target = try ProxyTarget(pass, NginxVariables(scope))
        if let cache = scope.one("proxy_cache"), cache.value != "off" {
            throw Refused(reason: "responses are not cached: put a cache behind, or let the service say Cache-Control", directive: cache)
        }
        if let body = scope.one("proxy_pass_request_body"), body.value == "off" { record.note("the body goes along", body) }
        for name in ["proxy_method", "proxy_pass_request_headers"] {
            if let other = scope.one(name), other.value != "on" { throw Refused(reason: "requests go on as they came", directive: other) }
        }
        let fields = try requestFields(scope, target, result.access, authorizer)
        result.target = .upstream(try upstream(target, scope, isTunnel: fields.isTunnel))
        if fields.isTunnel { result.lines.append(GatewayLine("upgrade", "websocket")) }
        if case .prefix(let before, let after)? = rewriting {
            result.lines += try prefixes(before, after, location, pass, &result.differences)
        } else if let uri = target.uri {
            guard let text = uri.literal, !text.contains("?") else {
                throw Refused(reason: "a path made of '\(pass.value)' has no counterpart", directive: pass)
            }
            switch location.matching {
            case .exact(let path): result.lines += try prefixes(path, text, location, pass, &result.differences)
            case .prefix(let path, _):
                guard !target.replacesPath else {
                    throw Refused(
                        reason: "with a variable in it nginx asks for \(text) whatever the request was: name the service without a path",
                        directive: pass)
                }
                result.lines += try prefixes(path, text, location, pass, &result.differences)
            default: throw Refused(reason: "a path behind a regular expression has no counterpart", directive: pass)
            }
        }
        result.lines += fields.lines
        result.claimFields = fields.claimFields
        record.converted(pass)
        if let redirect = scope.one("proxy_redirect") {
            if redirect.value == "off" {
                result.lines.append(GatewayLine("rewrite_redirects", "off"))
                record.converted(redirect)
            } else if redirect.value != "default" {
                record.note(
                    "Location of the service's own address becomes the client's by itself; other rules have no counterpart", redirect)
            } else {
                record.converted(redirect)
            }
        }
    }

    /// `strip_prefix` and `add_prefix`.
    private func prefixes(
        _ before: String, _ after: String, _ location: NginxLocation, _ pass: NginxDirective, _ differences: inout Set<KnownDifference>
    ) throws(Refused) -> [GatewayLine] {
        if before == after { return [] }
        guard before.hasPrefix("/"), after.hasPrefix("/") else { throw Refused(reason: "'\(pass.value)' names no path", directive: pass) }
        func trimmed(_ path: String) -> String { path.hasSuffix("/") ? String(path.dropLast()) : path }
        if before.hasSuffix("/"), !after.hasSuffix("/"), location.matching != .exact(before) {
            throw Refused(
                reason: "nginx glues \(after) and the rest of the path together without a slash: end it with one", directive: pass)
        }
        if !before.hasSuffix("/"), after.hasSuffix("/"), location.matching != .exact(before) {
            differences.insert(.upstreamSlashes)
            record.note("nginx asks the service for \(after)/… with two slashes; here it is one", pass)
        }
        guard !after.contains("//"), !after.contains(where: { "*{};+%".contains($0) }), !before.contains(where: { "*{};+%".contains($0) })
        else {
            throw Refused(reason: "a prefix has whole segments of plain text", directive: pass)
        }
        var lines: [GatewayLine] = []
        if !trimmed(before).isEmpty { lines.append(GatewayLine("strip_prefix", trimmed(before))) }
        if !trimmed(after).isEmpty { lines.append(GatewayLine("add_prefix", trimmed(after))) }
        return lines
    }

    private func limits(_ scope: NginxScope, _ result: inout Behaviour) throws(Refused) {
        for rule in scope.nearest("limit_req") {
            let options = Dictionary(
                rule.arguments.map { word in
                    let parts = word.split(separator: "=", maxSplits: 1)
                    return (String(parts.first ?? ""), parts.count > 1 ? String(parts[1]) : "")
                }, uniquingKeysWith: { first, _ in first })
            let zone = options["zone"] ?? ""
            let definition = scope.levels.first?.first {
                $0.name == "limit_req_zone" && $0.arguments.contains { $0.hasPrefix("zone=\(zone):") || $0 == "zone=\(zone)" }
            }
            guard let definition,
                let rate = definition.arguments.first(where: { $0.hasPrefix("rate=") }).flatMap({ NginxUnits.rate(String($0.dropFirst(5))) }
                )
            else {
                throw Refused(reason: "no limit_req_zone of this name has a rate", directive: rule)
            }
            let key = try translated(definition.value, in: scope, for: definition)
            guard key.hasPrefix("$"), !key.dropFirst().contains(where: { "$ ".contains($0) }) else {
                throw Refused(reason: "a limit counts by one variable", directive: definition)
            }
            let most = min(1_000_000, max(0, Int(options["burst"] ?? "0") ?? 0))
            // Those beyond `delay` wait for their turn, and all do without a word of that.
            let atOnce = options["nodelay"] != nil ? most : min(most, max(0, Int(options["delay"] ?? "0") ?? 0))
            var block = [GatewayLine("rate", rate), GatewayLine("burst", "\(atOnce + 1)")]
            let wait = NginxUnits.milliseconds(of: most - atOnce, at: rate)
            if wait > 0 { block.append(GatewayLine("delay", "\(min(wait, 60_000))ms")) }
            block.append(GatewayLine("key", key))
            let known = self.limits.first { $0.block == block && $0.words[1].hasPrefix(zone) }
            let name = known?.words[1] ?? uniqueName(zone)
            if known == nil { self.limits.append(GatewayLine("limit", name, block: block)) }
            if !result.lines.contains(GatewayLine("limit", name)) { result.lines.append(GatewayLine("limit", name)) }
            record.converted(definition)
            if wait > 60_000 {
                record.note("who would wait for more than a minute is refused with 429", rule)
            } else {
                record.note("what is beyond the limit gets 429", rule)
            }
        }
    }

    func methods(_ scope: NginxScope, _ result: inout Behaviour) throws(Refused) {
        if let except = scope.own("limit_except") {
            var free = except.arguments.map { $0.uppercased() }
            if free.contains("GET"), !free.contains("HEAD") { free.append("HEAD") }
            let inner = except.block ?? []
            guard inner.allSatisfy({ $0.name == "deny" || $0.name == "allow" }) else {
                throw Refused(reason: "what holds for other methods alone is said by method blocks: write them by hand", directive: except)
            }
            var lines = [GatewayLine(words: ["method"] + free, block: [])]
            let allowed = inner.prefix { $0.name == "allow" }.map(\.value)
            guard inner.last.map({ $0.name == "deny" && $0.value == "all" }) ?? false, inner.count == allowed.count + 1,
                !allowed.contains("all")
            else {
                throw Refused(reason: "who may use other methods is said by allow, with deny all behind it", directive: except)
            }
            let rest = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"].filter { !free.contains($0) }
            if !allowed.isEmpty, !rest.isEmpty {
                lines.append(GatewayLine(words: ["method"] + rest, block: [GatewayLine(words: ["from"] + allowed)]))
            }
            for line in inner { record.converted(line) }
            record.note(allowed.isEmpty ? "other methods get 405" : "other methods than \(rest.joined(separator: " ")) get 405", except)
            result.methods = free
            result.lines += lines
            result.differences.insert(.methodStatus)
        }
    }
}
