import Authentication
import Authorization
import Bytes
import ConfigFile
import Forwarding
import HTTPMessage
import RateLimiting
import Routing

/// Reads routes; knows what they may refer to.
struct RouteReader {
    let issuers: [Issuer]
    let issuerIndex: [String: Int]
    let authorizers: [Authorizer]
    let authorizerIndex: [String: Int]
    let networks: [NetworkSet]
    let passwords: [PasswordFile]
    /// Names of credentials that the file defines wrongly: what is said of them is enough.
    let wrongNames: Set<String>
    /// Those of the file; behind them those with the cost of a route.
    var limits: [Limit]
    let limitIndex: [String: Int]
    let upstreamIndex: [String: Int]
    let requirements: RequirementTable
    let bodyBytesMax: UInt64?
    /// Of routes that do not say otherwise.
    let challenge: Challenge
    let tokenSources: TokenSources
    let files: any FileSource
    let diagnostics: Diagnostics
    var usedIssuers: Set<Int> = []
    var usedAuthorizers: Set<Int> = []
    var usedNetworks: Set<Int> = []
    var usedPasswords: Set<Int> = []
    var usedLimits: Set<Int> = []
    var usedUpstreams: Set<Int> = []
    /// The one that is being read.
    var route = RouteID(0)
    /// Each distinct set of headers that the token alone decides has an index.
    private var headerSets: [[ForwardingRule.Header]: Int] = [:]

    init(
        issuers: [Issuer], issuerIndex: [String: Int], authorizers: [Authorizer], authorizerIndex: [String: Int], networks: [NetworkSet],
        passwords: [PasswordFile], wrongNames: Set<String>,
        limits: [Limit],
        limitIndex: [String: Int], upstreamIndex: [String: Int],
        requirements: RequirementTable, bodyBytesMax: UInt64?, challenge: Challenge, tokenSources: TokenSources, files: any FileSource,
        diagnostics: Diagnostics
    ) {
        self.issuers = issuers
        self.issuerIndex = issuerIndex
        self.authorizers = authorizers
        self.authorizerIndex = authorizerIndex
        self.networks = networks
        self.passwords = passwords
        self.wrongNames = wrongNames
        self.limits = limits
        self.limitIndex = limitIndex
        self.upstreamIndex = upstreamIndex
        self.requirements = requirements
        self.bodyBytesMax = bodyBytesMax
        self.challenge = challenge
        self.tokenSources = tokenSources
        self.files = files
        self.diagnostics = diagnostics
    }

    /// - Parameter id: its place among the routes that are right.
    mutating func read(_ directive: Directive, as id: RouteID) -> Route? {
        route = id
        guard directive.hasArguments(1...1, "/PATH { … }", diagnostics) else { return nil }
        let errors = diagnostics.count
        let word = directive.arguments[0]
        let block = Block(of: directive, title: "a route", diagnostics)
        let pattern = PathPattern(word, diagnostics)
        let hosts = block.one("host").map { $0.words("NAME …", diagnostics).compactMap { HostPattern($0, diagnostics) } } ?? []
        let leading = (pattern?.segments ?? []).prefix { if case .literal = $0 { true } else { false } }.map { segment in
            if case .literal(let text) = segment { text } else { "" }
        }
        let forwarding = ForwardingRule.Directives(block, leadingLiterals: leading)
        let upstream = reference(block.one("upstream"), "upstream", upstreamIndex)
        if let upstream { usedUpstreams.insert(upstream) }
        let answer = block.one("answer")
        if answer != nil { checkAnswer(block) }
        let access = access(block, directive)
        let accepted = readings(of: access)
        if forwarding.forwardsToken { checkForwardedToken(block, access) }
        for word in block.all("keep_cookie").flatMap(\.arguments) where !tokenSources.places.cookies.contains([UInt8](word.text.utf8)) {
            diagnostics.error(
                "every service gets the cookie \(word.text) anyway: it holds no token", at: word, hint: "remove it from this line")
        }
        let reply = answer.flatMap {
            RouteReply($0, isPublic: access?.isPublic ?? false, places: tokenSources.places, diagnostics)
        }
        let shared = demands(block, accepted, access)
        var methods: [Route.MethodRule] = []
        var named: Set<String> = []
        for method in block.all("method") {
            methods.append(methodRule(method, accepted, access, shared, &named))
        }
        let body = block.one("max_body_size").map { bodySize($0, diagnostics) } ?? bodyBytesMax
        let formDemands = MessageDemands(block, diagnostics)
        let upgrades = upgrades(block.one("upgrade"))
        if let upgrade = block.one("upgrade"), !methods.isEmpty, !methods.contains(where: { $0.known.contains(.get) }) {
            diagnostics.error("an upgrade comes with GET, which no method block of this route names", at: upgrade.name)
        }
        let tunnelRule = tunnelRule(block.one("upgrade"), accepted, access, shared, methods)
        let ownChallenge = readChallenge(block, access)
        let signIn = block.one("sign_in").flatMap { readSignIn($0, access) }
        let cors = block.one("cors").flatMap { readCORS($0, access) }
        let used = (shared.limits + methods.flatMap(\.allLimits) + (tunnelRule?.allLimits ?? [])).filter {
            limits.indices.contains($0.index)
        }
        let responseFields = ResponseFields(block, ownsCORS: cors != nil).hiding(Set(used.compactMap { limits[$0.index].cost?.field }))
        let compression = block.one("compress").flatMap { CompressionRule($0, responseFields, diagnostics) }
        let maintenance = block.one("maintenance").flatMap { readMaintenance($0) } ?? .usual
        let errorPages = ErrorPages(block.all("error_page"), files: files, diagnostics)
        let onExpiry = block.one("on_expiry")
        let endsStreams = onExpiry?.choice(["close": true, "keep": false], diagnostics) ?? true
        if let onExpiry, access?.isPublic ?? false {
            diagnostics.error("a public route has no credential that could expire", at: onExpiry.name, hint: "remove this line")
        }
        let foldsCase = block.one("case_insensitive").map { $0.hasArguments(0...0, ";", diagnostics) } ?? false
        block.finish(later: ["cache", "retry", "mirror"])
        if block.all("upstream").isEmpty, answer == nil {
            diagnostics.error("a route names no upstream", at: directive.name, hint: "add: upstream NAME; or answer STATUS TEXT;")
        }
        let rules = ([shared.authorization] + (methods + (tunnelRule.map { [$0] } ?? [])).map(\.authorization)).flatMap(\.rules)
        let limitKeys = Set(used).flatMap { limits[$0.index].key }
        let variables = Set(
            forwarding.headers.flatMap(\.value.variables) + (reply?.variables ?? []) + rules.flatMap(\.variables)
                + limitKeys.flatMap(\.variables) + (signIn?.variables ?? []) + (responseFields?.variables ?? []))
        for variable in variables { check(variable, pattern, access, at: directive) }
        for variable in responseFields?.variables ?? [] where variable.isCredential(tokenSources.places) {
            diagnostics.error("\(variable.name) may hold a credential, which no response may show", at: directive.position)
        }
        for variable in forwarding.headers.flatMap(\.value.variables) where variable.mayHoldQueryToken(tokenSources.places) {
            diagnostics.error(
                "\(variable.name) may hold a token, which no service is to get in a field of its own", at: directive.position,
                hint: "the service gets the query without it: write $request.path")
        }
        checkTokenPayload(
            (reply?.variables ?? []) + rules.flatMap(\.variables) + limitKeys.flatMap(\.variables) + (responseFields?.variables ?? []),
            access, at: directive)
        guard let pattern, let access, diagnostics.count == errors else { return nil }
        let action: Route.Action
        if let reply {
            action = .reply(reply)
        } else if let upstream {
            action = .forward(forwardingRule(forwarding, to: UpstreamID(upstream)))
        } else {
            return nil
        }
        return Route(
            id: id, line: diagnostics.line(of: directive.position),
            name: (hosts.isEmpty ? "" : (hosts[0].isWildcard ? "*" : "") + hosts[0].name) + word.text, pattern: pattern, hosts: hosts,
            pathDemand: PathDemand(foldsCase: foldsCase, captures: segments(variables, pattern)), access: access,
            action: action,
            challenge: ownChallenge, signIn: signIn, cors: cors, responseFields: responseFields, errorPages: errorPages, bodyBytesMax: body,
            demands: formDemands, compression: compression, maintenance: maintenance,
            upgrades: upgrades,
            tunnelRule: tunnelRule,
            endsStreamsOnExpiry: endsStreams,
            anyMethod: methods.isEmpty
                ? Route.MethodRule(
                    names: [], line: diagnostics.line(of: directive.position), known: [], authorization: shared.authorization,
                    limits: shared.limits, of: limits, from: shared.from, isPublic: access.isPublic)
                : nil,
            methods: methods)
    }

    private mutating func forwardingRule(_ forwarding: ForwardingRule.Directives, to upstream: UpstreamID) -> ForwardingRule {
        let identityHeaders = forwarding.headers.filter { $0.value.dependsOnIdentityAlone }
        let headerIndex = headerSets[identityHeaders] ?? headerSets.count
        headerSets[identityHeaders] = headerIndex
        return ForwardingRule(
            route: route, upstream: upstream, headers: forwarding.headers, identityHeadersIndex: headerIndex, host: forwarding.host,
            forwardsToken: forwarding.forwardsToken, passesAuthorization: forwarding.passesAuthorization,
            removedHeaders: forwarding.removedHeaders, keptCookies: forwarding.keptCookies, strippedSegments: forwarding.strippedSegments,
            addedPrefix: forwarding.addedPrefix,
            strippedPrefix: forwarding.strippedPrefix, rewritesRedirects: forwarding.rewritesRedirects, timeouts: forwarding.timeouts)
    }

    /// There is a token to forward only where one let the request in.
    private func checkForwardedToken(_ block: Block, _ access: Route.Access?) {
        guard let directive = block.one("forward_token") else { return }
        switch access {
        case .public:
            diagnostics.error(
                "a public route has no token to forward", at: directive.position,
                hint: "write forward_token as_received; to pass on what the client sends")
        case .authenticated(let rule) where rule.issuers.isEmpty:
            diagnostics.error(
                "an authorizer gives no token to forward", at: directive.position,
                hint: "write forward_token as_received; or set_header Authorization $claim.NAME; with a claim of its response")
        case .authenticated, nil: break
        }
    }

    /// A route that gives its responses itself forwards nothing.
    private func checkAnswer(_ block: Block) {
        if let upstream = block.one("upstream") {
            diagnostics.error("a route forwards or answers, not both", at: upstream.name, hint: "remove this line, or answer")
        }
        for name in [
            "set_header", "remove_header", "keep_cookie", "forward_host", "forward_token", "strip_prefix", "add_prefix",
            "rewrite_redirects", "upgrade", "on_expiry", "answer_timeout", "stream_timeout", "compress",
        ] {
            for directive in block.all(name) {
                diagnostics.error("a route that answers forwards nothing", at: directive.name, hint: "remove this line")
            }
        }
        for word in block.all("method").flatMap({ $0.block ?? [] }) where word.name.text == "public" {
            diagnostics.error(
                "public in a method block lets requests through to a service, and this route has none", at: word.name,
                hint: "make the whole route public, or remove this line")
        }
    }

    /// Reads `realm TEXT;` and `challenge TEXT;`.
    private func readChallenge(_ block: Block, _ access: Route.Access?) -> Challenge {
        let realm = block.one("realm").flatMap { readRealm($0, diagnostics) }
        let text = block.one("challenge").flatMap { $0.word("TEXT", diagnostics) }
        if let text, text.text.isEmpty || !text.text.utf8.allSatisfy({ (0x20..<0x7F).contains($0) }) {
            diagnostics.error("a challenge is ASCII text", at: text, hint: "such as 'Bearer realm=\"https://auth.example.com/token\"'")
        }
        guard case .authenticated(let rule) = access, !rule.passwords.isEmpty else {
            return Challenge(realm: realm ?? challenge.realm, text: text?.text, schemes: challenge.schemes)
        }
        return Challenge(
            realm: realm ?? challenge.realm, text: text?.text, schemes: challenge.schemes + [.basic], takesTokens: !rule.issuers.isEmpty)
    }

    /// Reads `sign_in URL;`.
    private func readSignIn(_ directive: Directive, _ access: Route.Access?) -> URLTemplate? {
        guard let word = directive.word("URL", diagnostics), let url = URLTemplate(location: word, diagnostics) else { return nil }
        if access?.isPublic ?? false {
            diagnostics.error("a public route asks nobody to sign in", at: directive.name, hint: "remove this line")
        }
        for variable in url.variables where variable.isClaim {
            diagnostics.error("who has to sign in has no \(variable.name)", at: word)
        }
        for variable in url.variables where variable.isCredential(tokenSources.places) {
            diagnostics.error("\(variable.name) may hold a credential, which no response may show", at: word)
        }
        return url
    }

    /// Reads `cors { … }`. Pages that may read with a credential that the browser sends by itself can still be kept from all else.
    private func readCORS(_ directive: Directive, _ access: Route.Access?) -> CORSRule? {
        let rule = CORSRule(directive, diagnostics)
        guard let rule, let origins = rule.origins, rule.allowsCredentials, access.map({ !$0.isPublic }) ?? false else { return rule }
        if tokenSources.takesAmbient, tokenSources.crossOrigin.mode != .off, !origins.areAll(in: tokenSources.crossOrigin.allowed) {
            diagnostics.warning(
                "pages of these origins may read with the user's credentials, and change nothing", at: directive.name,
                hint: "if they may do that too, name them in token: csrf_origins https://…;")
        }
        return rule
    }

    /// Reads the names of `upgrade NAME …;`.
    private func upgrades(_ directive: Directive?) -> [String] {
        var names: [String] = []
        if let directive, directive.arguments.isEmpty {
            diagnostics.error("'upgrade' names no protocol", at: directive.name, hint: "write: upgrade websocket;")
        }
        for word in directive?.arguments ?? [] {
            let name = word.text.lowercased()
            if name == "h2c" {
                diagnostics.error("an upgrade to h2c is never passed on: nobody could check what comes through it", at: word)
            } else if name.isEmpty || !name.utf8.allSatisfy({ ASCII.isToken($0) || $0 == 0x2F }) {
                diagnostics.error("'\(word.text)' is not the name of a protocol", at: word, hint: "write: upgrade websocket;")
            } else if names.contains(name) {
                diagnostics.error("'\(word.text)' stands twice", at: word)
            }
            names.append(name)
        }
        return names
    }

    private func segments(_ variables: Set<Variable>, _ pattern: PathPattern) -> [Int] {
        variables.compactMap { variable in
            if case .path(let name) = variable { pattern.captures[name] } else { nil }
        }
    }

    private func check(_ variable: Variable, _ pattern: PathPattern?, _ access: Route.Access?, at directive: Directive) {
        switch variable {
        case .path(let name):
            guard let pattern, pattern.captures[name] == nil else { return }
            let meant = nearest(to: name, among: pattern.captures.keys)
            diagnostics.error(
                "this route's path has no {\(name)}", at: directive.position, hint: meant.map { "did you mean $path.\($0)?" })
        case .tokenPayload:
            switch access {
            case .authenticated(let rule) where !rule.issuers.isEmpty: break
            case .public, .authenticated:
                diagnostics.error(
                    "no token lets a request in here whose payload could be sent", at: directive.position, hint: "remove $token.payload")
            case nil: break
            }
        case .claim(let name):
            if name.contains("."), !name.contains("/"), !name.contains(":") {
                diagnostics.warning(
                    "the claim '\(name)' has dots in its name", at: directive.position,
                    hint: "if it is nested, write $claim./\(name.replacing(".", with: "/"))")
            }
            switch access {
            case .public:
                diagnostics.error("a public route has no $claim.\(name)", at: directive.position, hint: "no credential is looked at here")
            case .authenticated(let rule): check(claim: name, of: rule, at: directive)
            case nil: break
            }
        default: break
        }
    }

    /// A service gets the payload in a field, and nothing else has a use for it.
    private func checkTokenPayload(_ others: [Variable], _ access: Route.Access?, at directive: Directive) {
        if others.contains(.tokenPayload) {
            diagnostics.error("$token.payload stands in set_header alone", at: directive.position, hint: "name the claim: $claim.sub")
        }
    }

    /// The claims of an authorizer are those that the file names.
    private func check(claim name: String, of rule: AuthenticationRule, at directive: Directive) {
        guard rule.issuers.isEmpty, wrongNames.isEmpty, authorizers.count == authorizerIndex.count else { return }
        let claims = rule.authorizers.flatMap { authorizers[$0.index].claims.map(\.claim) } + (rule.passwords.isEmpty ? [] : ["user"])
        guard !claims.contains(name) else { return }
        let names = (rule.authorizers.map { authorizers[$0.index].name } + rule.passwords.map { passwords[$0.index].name }).joined(
            separator: " nor ")
        diagnostics.error(
            "\(names) gives no claim '\(name)'", at: directive.position,
            hint: nearest(to: name, among: claims).map { "did you mean $claim.\($0)?" }
                ?? "add to the authorizer: claim \(name) FIELD-OF-ITS-RESPONSE;")
    }

    private func reference(_ directive: Directive?, _ what: String, _ index: [String: Int]) -> Int? {
        guard let word = directive?.word("NAME", diagnostics) else { return nil }
        if index[word.text] == nil { undefined(what, word, index.keys) }
        return index[word.text]
    }

    /// - Parameter other: another kind of thing that it could have been.
    func undefined(_ what: String, or other: String? = nil, _ word: Word, _ names: some Sequence<String>) {
        let meant = nearest(to: word.text, among: names)
        diagnostics.error(
            "there is no \(what)\(other.map { " or \($0)" } ?? "") '\(word.text)'", at: word,
            hint: meant.map { "did you mean '\($0)'?" } ?? "define it with: \(what) \(word.text) { … }")
    }
}

/// `realm TEXT;`.
func readRealm(_ directive: Directive, _ diagnostics: Diagnostics) -> String? {
    guard let word = directive.word("TEXT", diagnostics) else { return nil }
    if word.text.contains(where: { $0 == "\"" || $0 == "\\" || !$0.isASCII || $0.isNewline }) {
        diagnostics.error("a realm is ASCII text without quotes", at: word)
    }
    return word.text
}

/// `max_body_size SIZE;` or `max_body_size unlimited;`.
func bodySize(_ directive: Directive, _ diagnostics: Diagnostics) -> UInt64? {
    if directive.arguments.first?.text == "unlimited", directive.arguments.count == 1, directive.block == nil { return nil }
    return directive.size(diagnostics) ?? 0
}
