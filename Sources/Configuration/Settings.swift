package import Time
package import Connection
package import Authentication
package import Authorization
import Bytes
package import ConfigFile
package import Forwarding
import HTTPMessage
package import Observability
package import RateLimiting
package import Redis
package import Routing
package import System
import TLS

/// Everything that `gateway.conf` says, checked and linked.
package struct Settings {
    /// The directives of the language, in the order in which a file usually has them. Each is read by the stage it belongs to.
    package static let directives = [
        "include", "workers", "user", "drain_timeout", "stream_drain_timeout", "shutdown_delay", "admin", "health", "realm", "timeouts",
        "client_limits", "max_body_size", "token_cache", "limit_table",
        "ticket_rotation", "access_log",
        "security_log", "tracing", "listen", "trusted_proxies", "trusted_fields", "redis", "token", "issuer", "authorizer", "htpasswd",
        "network",
        "limit",
        "upstream",
        "set_header", "remove_header", "sign_in", "cors", "add_response_header", "set_response_header", "remove_response_header", "hsts",
        "security_headers",
        "error_page", "host", "route", "test", "tests",
    ]
    static let laterDirectives: Set<String> = [
        "metrics", "revocation", "session", "login", "acme", "resolver",
    ]

    package private(set) var workers = 1
    /// The user that workers become when the supervisor is root.
    package private(set) var user: String?
    package private(set) var drainTimeout = Nanoseconds.seconds(30)
    /// How long streams and tunnels may go on that a reload or an upgrade finds open.
    package private(set) var streamDrainTimeout = Nanoseconds.seconds(3_600)
    /// How long /readyz says no before the gateway takes no more connections.
    package private(set) var shutdownDelay = Nanoseconds.zero
    /// Nil where there is none.
    package private(set) var admin: AdminSettings? = .standard
    package private(set) var health: [HealthSettings] = []
    package private(set) var realm = "portcullis"
    package private(set) var timeouts = Timeouts(nil, Diagnostics())
    package private(set) var clientLimits = ClientLimits(nil, Diagnostics())
    package private(set) var tokenCacheCapacity = 16_384
    package private(set) var limitTableKeys = 65_536
    /// How often TLS tickets get a new key; two earlier ones can still be read.
    package private(set) var ticketRotation = Nanoseconds.seconds(4 * 3_600)
    package private(set) var accessLog = LogTarget.off
    package private(set) var securityLog = LogTarget.stdout
    /// Nil where no spans are made.
    package private(set) var tracing: TracingSettings?
    package private(set) var listeners: [ListenerSettings] = []
    package private(set) var trustedProxies: [IPNetwork] = []
    package private(set) var trustedFields = TrustedFields.any
    package private(set) var redis: [RedisSettings] = []
    package private(set) var tokenSources = TokenSources(sources: [.bearer])
    package private(set) var issuers: [Issuer] = []
    /// The directives of the issuers, in the same order.
    private(set) var issuerDirectives: [Directive] = []
    package private(set) var authorizers: [Authorizer] = []
    /// The upstream of each of them.
    package private(set) var authorizerUpstreams: [UpstreamID] = []
    package private(set) var passwords: [PasswordFile] = []
    /// Those that have names.
    package private(set) var networks: [NetworkSet] = []
    package private(set) var limits: [Limit] = []
    package private(set) var upstreams: [UpstreamSettings] = []
    package private(set) var routes: [Route] = []
    /// The routes as they are understood: with what they inherit.
    package private(set) var routeDirectives: [Directive] = []
    package private(set) var routeTable = RouteTable()
    /// What the file says in responses to requests that no route is found for.
    package private(set) var responseFields: ResponseFields?
    /// The pages for them.
    package private(set) var errorPages: ErrorPages?
    /// What the policy has to decide, by the file's own word; it is for others to hold it to that.
    package private(set) var tests: [PolicyTest] = []
    /// For whatever prints a part of the settings.
    package private(set) var redaction = Redaction()
    package private(set) var requirements = RequirementTable([:])
    package private(set) var fieldFilter = FieldFilter(headers: [], hiding: CredentialPlaces())

    /// Reads the file at `path` and all that it names. Unless `diagnostics` stays empty the settings are not to be used.
    ///
    /// - Parameter keepsTests: false for processes that were started with a file whose tests hold.
    package init(
        _ path: String, files: any FileSource, environment: [String: String], processors: Int, keepsTests: Bool = true,
        _ diagnostics: Diagnostics
    ) {
        let directives = Parser(files: files, environment: environment, diagnostics: diagnostics).parse(path)
        let file = Block(directives, title: "the file", diagnostics: diagnostics)
        general(file, processors, diagnostics)
        listeners = file.all("listen").compactMap { ListenerSettings($0, files: files, diagnostics) }
        for (index, listener) in listeners.enumerated() where listeners[..<index].contains(where: { $0.address == listener.address }) {
            diagnostics.error(
                "\(listener.address.text) is listened on twice",
                at: file.all("listen").first { $0.arguments.first?.text == listener.address.text }?.position)
        }
        for (directive, one) in zip(file.all("health"), health) where listeners.contains(where: { $0.address == one.address }) {
            diagnostics.error(
                "\(one.address.text) is listened on for clients", at: directive.position, hint: "health has a port of its own")
        }
        networks(file.all("trusted_proxies"), diagnostics)
        let fields: [String: TrustedFields] = ["any": .any, "x_forwarded": .xForwarded, "forwarded": .forwarded]
        trustedFields = file.one("trusted_fields")?.choice(fields, diagnostics) ?? .any
        var used = References(diagnostics)
        let redisIndex = used.define("redis", file.all("redis"))
        redis = file.all("redis").compactMap { RedisSettings($0, files: files, diagnostics) }
        tokenSources = TokenSources(file.one("token"), diagnostics)
        let issuerIndex = used.define("issuer", file.all("issuer"))
        issuerDirectives = file.all("issuer")
        let readIssuers = issuerDirectives.map { Issuer($0, diagnostics) }
        issuers = readIssuers.compactMap { $0 }
        for (index, issuer) in issuers.enumerated() where issuers[..<index].contains(where: { $0.url.isExactly(issuer.url) }) {
            diagnostics.error(
                "two issuers have the url \(issuer.url)", at: issuerDirectives.last { $0.arguments.first?.text == issuer.name }?.position,
                hint: "a token's issuer is found by its url")
        }
        checkKeyFiles(files, diagnostics)
        let limitDirectives = file.all("limit")
        let limitIndex = used.define("limit", limitDirectives)
        limits = limitDirectives.compactMap { Limit($0, stores: Set(redisIndex.keys), diagnostics) }
        let upstreamIndex = used.define("upstream", file.all("upstream"))
        upstreams = file.all("upstream").compactMap { UpstreamSettings($0, files: files, diagnostics) }
        let authorizerDirectives = file.all("authorizer")
        let authorizerIndex = used.define("authorizer", authorizerDirectives)
        for word in authorizerDirectives.compactMap(\.arguments.first) where issuerIndex[word.text] != nil {
            diagnostics.error("'\(word.text)' is an issuer too, and a route could mean either", at: word)
        }
        let passwordDirectives = file.all("htpasswd")
        _ = used.define("htpasswd", passwordDirectives)
        passwords = passwordDirectives.compactMap { PasswordFile($0, files: files, diagnostics) }
        let networkDirectives = file.all("network")
        _ = used.define("network", networkDirectives)
        for word in (networkDirectives + passwordDirectives).compactMap(\.arguments.first)
        where issuerIndex[word.text] != nil || authorizerIndex[word.text] != nil {
            diagnostics.error("'\(word.text)' is another credential too, and a route could mean either", at: word)
        }
        networks = networkDirectives.compactMap { NetworkSet($0, diagnostics) }
        authorizers = authorizerDirectives.compactMap { Authorizer($0, diagnostics) }
        let upstreamsOfRoutes = upstreams.count
        var readUpstreams = Set<Int>()
        authorizerUpstreams = authorizerDirectives.compactMap { directive in
            readUpstream(of: directive, upstreamIndex, &readUpstreams, files, diagnostics)
        }
        requirements = RequirementTable(
            Dictionary(
                uniqueKeysWithValues: issuers.enumerated().map { (CredentialID.issuer(IssuerID($0)), $1.scopeReading) }
                    + authorizers.enumerated().map { (CredentialID.authorizer(AuthorizerID($0)), $1.scopeReading) }
                    + passwords.indices.map { (CredentialID.password(PasswordFileID($0)), ScopeReading(claims: [], match: .exact)) }
                    + networks.indices.map { (CredentialID.network(NetworkID($0)), ScopeReading(claims: [], match: .exact)) }))
        let defaultBody = file.one("max_body_size").map { bodySize($0, diagnostics) } ?? Limits.requestBodyBytesDefault
        // An issuer that is wrong itself is not compared with; its indices would not fit.
        let comparable = issuers.count == readIssuers.count ? issuers : []
        var reader = RouteReader(
            issuers: comparable.isEmpty ? placeholders(issuerDirectives.count) : comparable, issuerIndex: issuerIndex,
            authorizers: authorizers.count == authorizerDirectives.count ? authorizers : [], authorizerIndex: authorizerIndex,
            networks: networks, passwords: passwords,
            wrongNames: Set((networkDirectives + passwordDirectives).compactMap(\.arguments.first?.text))
                .subtracting(networks.map(\.name) + passwords.map(\.name)),
            limits: limits.count == limitDirectives.count ? limits : [], limitIndex: limitIndex,
            upstreamIndex: upstreamIndex, requirements: requirements, bodyBytesMax: defaultBody, challenge: challenge,
            tokenSources: tokenSources, files: files, diagnostics: diagnostics)
        routeDirectives = completedRoutes(file, diagnostics)
        responseFields = ResponseFields(file, ownsCORS: false)
        errorPages = ErrorPages(file.all("error_page"), files: files, diagnostics)
        readRoutes(routeDirectives, &reader, upstreamsAreRight: upstreamsOfRoutes == file.all("upstream").count, diagnostics)
        let limitsOfFile = limits.count
        for directive in limitDirectives {
            guard let name = directive.arguments.first?.text, let limit = limits.first(where: { $0.name == name }),
                limit.delay * 2 > drainTimeout
            else { continue }
            diagnostics.warning(
                "requests that \(name) has wait may be cut by a reload: they wait for up to \(limit.delay.milliseconds) ms, and the drain takes \(drainTimeout.milliseconds)",
                at: directive.name, hint: "take a delay of half of drain_timeout or less")
        }
        limits = reader.limits.isEmpty ? limits : reader.limits
        redaction = diagnostics.redaction
        let testDirectives = file.all("test")
        if keepsTests {
            tests = PolicyTestReader(
                issuers: issuers, authorizers: authorizers, passwords: passwords, upstreams: upstreams.map(\.name), diagnostics: diagnostics
            ).read(testDirectives)
        }
        used.reportUnused("issuer", reader.usedIssuers)
        used.reportUnused("authorizer", reader.usedAuthorizers)
        used.reportUnused("network", reader.usedNetworks)
        used.reportUnused("htpasswd", reader.usedPasswords)
        used.reportUnused("limit", reader.usedLimits)
        used.reportUnused("upstream", reader.usedUpstreams.union(readUpstreams))
        let usedStores = limits.flatMap(\.storesUsed).compactMap { redisIndex[$0] }
        if limitsOfFile == limitDirectives.count { used.reportUnused("redis", Set(usedStores)) }
        tellsUpstreams = upstreams.contains { $0.proxyProtocol != nil }
        offersTunnels = routes.contains { !$0.upgrades.isEmpty }
        checkStickyCookies(file.all("upstream"), diagnostics)
        fieldFilter = FieldFilter(
            headers: routes.compactMap(\.forwarding).flatMap(\.headerNames) + inheritedHeaderNames(file),
            followsTraces: tracing != nil, hiding: tokenSources.places,
            binding: stickyCookies.map { [UInt8]($0.utf8) })
        file.finish(later: Self.laterDirectives)
        if let own = directives.first(where: { NginxWords.isConfiguration([$0]) }) {
            diagnostics.error(
                "this is a configuration of nginx", at: own.name, hint: "docs/moving-from-nginx.md says what each of its words is here")
            return
        }
        if listeners.isEmpty, file.all("listen").isEmpty {
            diagnostics.error("nothing is listened on", at: nil, hint: "add: listen 0.0.0.0:443 { tls { certificate CHAIN.pem KEY.pem; } }")
        }
        if trustedProxies.isEmpty, let first = listeners.first(where: { $0.decisions != nil }) {
            diagnostics.error(
                "nobody may ask for decisions at \(first.address.text)", at: file.all("listen").first?.position,
                hint: "name the proxies that may, which tell who their clients are: trusted_proxies 127.0.0.1;")
        }
        if routeDirectives.isEmpty {
            diagnostics.error("there is no route", at: nil, hint: "add: route /** { upstream NAME; auth ISSUER; }")
        }
    }

    /// By which clients are bound to servers; no service behind is told of them.
    package var stickyCookies: [String] { upstreams.compactMap { $0.sticky?.name } }

    /// What a client is asked for where no route says otherwise.
    package var challenge: Challenge { Challenge(realm: realm, schemes: tokenSources.places.schemes) }

    package func issuer(_ id: IssuerID) -> Issuer { issuers[id.index] }

    package func authorizer(_ id: AuthorizerID) -> Authorizer { authorizers[id.index] }

    package func upstream(_ id: UpstreamID) -> UpstreamSettings { upstreams[id.index] }

    /// The name that the file gives a credential.
    package func name(of credential: CredentialID) -> String {
        switch credential {
        case .issuer(let id): issuer(id).name
        case .authorizer(let id): authorizer(id).name
        case .network(let id): networks[id.index].name
        case .password(let id): passwords[id.index].name
        }
    }

    /// The names of hosts that have to be resolved.
    package var hostNames: Set<String> {
        var names: Set<String> = []
        for case .host(let host, _) in upstreams.flatMap(\.servers) { names.insert(host) }
        for case .host(let host, _) in redis.flatMap(\.topology.addresses) { names.insert(host) }
        return names
    }

    /// Whether a peer may speak for the client.
    package func trusts(_ peer: IPAddress) -> Bool { trustedProxies.contains { $0.contains(peer) } }

    /// Whether a client speaks TLS with the gateway, as far as the file tells.
    package var isServedOverTLS: Bool { listeners.contains { if case .tls = $0.role { true } else { false } } }

    /// What sends a request in clear to https; nil where such requests are served.
    ///
    /// - Parameter port: that the client asks at.
    package func redirect(at port: UInt16) -> HTTPSRedirect? {
        let inClear = listeners.filter { if case .tls = $0.role { false } else { true } }
        let named = inClear.filter { if case .ip(_, port) = $0.address { true } else { false } }
        let candidates = named.isEmpty ? inClear : named
        guard let first = candidates.first, case .redirect(let target) = first.role else { return nil }
        let servesOthers = candidates.contains { if case .plaintext = $0.role { true } else { false } }
        return servesOthers ? nil : target
    }

    /// The port of https: that of the listeners with TLS, if they all have the same one, else 443.
    package var securePort: UInt16 {
        var ports: Set<UInt16> = []
        for listener in listeners {
            if case .tls = listener.role, case .ip(_, let port) = listener.address { ports.insert(port) }
        }
        return ports.count == 1 ? ports.first ?? 443 : 443
    }

    /// What is asked of a client that has to take what it is sent.
    package var sendPace: SendProgress.Pace { SendProgress.Pace(rate: clientLimits.downloadRate, silence: timeouts.write) }

    /// Whether an upstream is told both ends of a client's connection.
    package private(set) var tellsUpstreams = false
    /// Whether a route names a protocol that a request may change to.
    package private(set) var offersTunnels = false

    private mutating func general(_ file: Block, _ processors: Int, _ diagnostics: Diagnostics) {
        workers = processors
        if let directive = file.one("workers"), directive.arguments.map(\.text) != ["auto"] {
            workers = directive.integer(1...64, diagnostics) ?? 1
        }
        user = file.one("user")?.word("NAME", diagnostics)?.text
        if let given = file.one("drain_timeout")?.duration(diagnostics, in: .zero...(.seconds(3_600))) {
            drainTimeout = Nanoseconds(given)
        }
        if let given = file.one("stream_drain_timeout")?.duration(diagnostics, in: .zero...(.seconds(7 * 86_400))) {
            streamDrainTimeout = Nanoseconds(given)
        }
        if let given = file.one("shutdown_delay")?.duration(diagnostics, in: .zero...(.seconds(3_600))) {
            shutdownDelay = Nanoseconds(given)
        }
        if let directive = file.one("admin") { admin = AdminSettings(directive, diagnostics) }
        health = file.all("health").compactMap { HealthSettings($0, diagnostics) }
        for (index, one) in health.enumerated() where health[..<index].contains(where: { $0.address == one.address }) {
            diagnostics.error("health stands twice for \(one.address.text)", at: file.all("health")[index].position)
        }
        if let given = file.one("realm").flatMap({ readRealm($0, diagnostics) }) { realm = given }
        timeouts = Timeouts(file.one("timeouts"), diagnostics)
        clientLimits = ClientLimits(file.one("client_limits"), diagnostics)
        tokenCacheCapacity = file.one("token_cache")?.integer(64...4_194_304, diagnostics) ?? tokenCacheCapacity
        limitTableKeys = file.one("limit_table")?.integer(64...67_108_864, diagnostics) ?? limitTableKeys
        if let given = file.one("ticket_rotation")?.duration(diagnostics, in: .seconds(1)...(.seconds(24 * 3_600))) {
            ticketRotation = Nanoseconds(given)
        }
        accessLog = file.one("access_log").flatMap { LogTarget($0, diagnostics) } ?? .off
        tracing = file.one("tracing").flatMap { TracingSettings($0, diagnostics) }
        securityLog = file.one("security_log").flatMap { LogTarget($0, diagnostics) } ?? .stdout
    }

    private mutating func networks(_ directives: [Directive], _ diagnostics: Diagnostics) {
        for word in directives.flatMap({ $0.words("NETWORK …", diagnostics) }) {
            if let network = IPNetwork(reading: word, diagnostics) { trustedProxies.append(network) }
        }
    }

    /// The upstream of an authorizer: one of the file, or one of its own, which is put behind those of the file.
    private mutating func readUpstream(
        of directive: Directive, _ index: [String: Int], _ used: inout Set<Int>, _ files: any FileSource, _ diagnostics: Diagnostics
    ) -> UpstreamID? {
        let block = directive.block ?? []
        if let named = block.first(where: { $0.name.text == "upstream" }) {
            guard let word = named.word("NAME", diagnostics) else { return nil }
            guard let found = index[word.text] else {
                let meant = nearest(to: word.text, among: index.keys)
                diagnostics.error("there is no upstream '\(word.text)'", at: word, hint: meant.map { "did you mean '\($0)'?" })
                return nil
            }
            used.insert(found)
            return UpstreamID(found)
        }
        let own = block.filter { Authorizer.serverDirectives.contains($0.name.text) }
        guard !own.isEmpty, let name = directive.arguments.first else { return nil }
        let described = Directive(name: directive.name, arguments: [name], block: own)
        guard let settings = UpstreamSettings(described, files: files, diagnostics) else { return nil }
        upstreams.append(settings)
        return UpstreamID(upstreams.count - 1)
    }

    /// - Parameter upstreamsAreRight: without all of them their indices say nothing.
    private mutating func readRoutes(
        _ directives: [Directive], _ reader: inout RouteReader, upstreamsAreRight: Bool, _ diagnostics: Diagnostics
    ) {
        for directive in directives {
            guard let route = reader.read(directive, as: RouteID(routes.count)) else { continue }
            if let other = routeTable.insert(route.pattern, hosts: route.hosts, route.pathDemand) {
                diagnostics.error(
                    "this route matches the same requests as \(routes[other].name)", at: directive.position,
                    hint: "a request must lead to one route; put the methods into one route's method blocks")
            }
            if !route.upgrades.isEmpty, upstreamsAreRight, let rule = route.forwarding, upstream(rule.upstream).speaksHTTP2 {
                diagnostics.error(
                    "an upgrade needs an upstream of HTTP/1.1, and \(upstream(rule.upstream).name) speaks h2",
                    at: directive.position,
                    hint: "give the route an upstream of its own, without protocol h2")
            }
            routes.append(route)
        }
    }

    private func placeholders(_ count: Int) -> [Issuer] {
        (0..<count).map { Issuer(name: "\($0)", url: "", keys: .file(""), audiences: [], algorithms: []) }
    }
}
