import Authentication
import Authorization
import Bytes
import ConfigFile
import HTTPMessage
import RateLimiting
import Routing

/// What a route, or one of its methods, demands.
extension RouteReader {
    struct Demands {
        var authorization: AuthorizationRule
        var limits: [LimitID] = []
        /// From where clients may come; each holds.
        var from: [NetworkSet] = []
    }

    mutating func access(_ block: Block, _ directive: Directive) -> Route.Access? {
        let auth = block.one("auth")
        let publicWord = block.one("public")
        switch (auth, publicWord) {
        case (.some(let auth), nil):
            return .authenticated(authentication(auth))
        case (nil, .some(let word)): return PublicRule(word, of: route, diagnostics).map { .public($0) }
        case (.some, .some(let word)):
            diagnostics.error("a route is public or asks for a credential, not both", at: word.name)
            return nil
        case (nil, nil):
            diagnostics.error(
                "this route says neither auth nor public", at: directive.position,
                hint: "add: auth ISSUER; or, if everybody may come: public;")
            return nil
        }
    }

    /// Reads `auth [any] NAME …;`.
    private mutating func authentication(_ directive: Directive) -> AuthenticationRule {
        var words = directive.words("[any] NAME …", diagnostics)
        let takesAny = words.first?.text == "any" && issuerIndex["any"] == nil
        if takesAny { words.removeFirst() }
        if takesAny, words.count < 2 {
            diagnostics.error("'auth any' names fewer than two credentials", at: directive.position, hint: "write auth NAME;")
        }
        var credentials: [CredentialID] = []
        var last: Word?
        for word in words {
            let credential: CredentialID
            if let index = issuerIndex[word.text] {
                credential = .issuer(IssuerID(index))
                usedIssuers.insert(index)
            } else if let index = authorizerIndex[word.text] {
                credential = .authorizer(AuthorizerID(index))
                usedAuthorizers.insert(index)
            } else if let index = passwords.firstIndex(where: { $0.name == word.text }) {
                credential = .password(PasswordFileID(index))
                usedPasswords.insert(index)
            } else if let index = networks.firstIndex(where: { $0.name == word.text }) {
                credential = .network(NetworkID(index))
                usedNetworks.insert(index)
            } else if wrongNames.contains(word.text) {
                continue
            } else {
                undefined(
                    "issuer", or: "authorizer", word,
                    Array(issuerIndex.keys) + authorizerIndex.keys + networks.map(\.name) + passwords.map(\.name))
                continue
            }
            if credentials.contains(credential) { diagnostics.error("'\(word.text)' stands twice", at: word) }
            if !takesAny, let last {
                diagnostics.error(
                    "\(word.text) is never asked: the authorizer \(last.text) decides of every request", at: word,
                    hint: "put \(last.text) last, or write: auth any …; which takes the first that lets in")
            }
            if case .authorizer = credential { last = word }
            credentials.append(credential)
        }
        if !credentials.isEmpty, credentials.allSatisfy({ if case .network = $0 { true } else { false } }) {
            diagnostics.error(
                "nobody is asked for a credential here", at: directive.position,
                hint: "write: public; from \(words.map(\.text).joined(separator: " "));")
        }
        return AuthenticationRule(credentials, takesAny: takesAny, line: diagnostics.line(of: directive.position))
    }

    /// How the scopes of the credentials that a route accepts are compared; each with its name.
    func readings(of access: Route.Access?) -> [ScopeRequirement.Holder] {
        guard case .authenticated(let rule) = access else { return [] }
        return rule.credentials.compactMap { credential in
            switch credential {
            case .issuer(let id): ScopeRequirement.Holder(name: "issuer \(issuers[id.index].name)", match: issuers[id.index].scopeMatch)
            case .authorizer(let id):
                authorizers.indices.contains(id.index)
                    ? ScopeRequirement.Holder(
                        name: "authorizer \(authorizers[id.index].name)", match: authorizers[id.index].scopeReading.match)
                    : nil
            // Who comes from a network, or with a password, has no scopes.
            case .network, .password: nil
            }
        }
    }

    /// `scope`, `require` and `limit` of a route or of one of its methods.
    mutating func demands(_ block: Block, _ accepted: [ScopeRequirement.Holder], _ access: Route.Access?) -> Demands {
        var demands = Demands(authorization: AuthorizationRule(of: route))
        let isPublic = if case .public = access { true } else { false }
        for directive in block.all("scope") {
            if isPublic { diagnostics.error("a public route has no scope", at: directive.name, hint: "no token is looked at here") }
            guard let requirement = ScopeRequirement(directive, of: accepted, diagnostics) else { continue }
            demands.authorization.demand(requirements.index(of: requirement), at: diagnostics.line(of: directive.position))
        }
        for directive in block.all("require") {
            if isPublic { diagnostics.error("a public route has no require", at: directive.name, hint: "no token is looked at here") }
            guard let rule = VariableRule(directive, diagnostics) else { continue }
            demands.authorization.demand(rule)
        }
        let named = Dictionary(networks.map { ($0.name, $0) }) { first, _ in first }
        for directive in block.all("from") {
            guard let set = NetworkSet(demand: directive, named, diagnostics) else { continue }
            demands.from.append(set)
            for (index, network) in networks.enumerated() where directive.arguments.contains(where: { $0.text == network.name }) {
                usedNetworks.insert(index)
            }
        }
        for directive in block.all("limit") { readLimit(directive, &demands.limits) }
        return demands
    }

    /// Reads `limit NAME …;` and `limit NAME … { cost …; critical; }` of a route.
    private mutating func readLimit(_ directive: Directive, _ ids: inout [LimitID]) {
        var cost: (LimitCost, Directive)?
        var critical: Directive?
        if directive.block != nil {
            let block = Block(of: directive, title: "a route's limit", diagnostics)
            let one = block.one("cost")
            cost = one.flatMap { one in LimitCost(one, diagnostics).map { ($0, one) } }
            critical = block.one("critical").flatMap { $0.takes(0...0, "", diagnostics) ? $0 : nil }
            if one == nil, critical == nil {
                diagnostics.error("this block says nothing", at: directive.name, hint: "write: limit NAME { cost 5; }")
            }
            block.finish()
        }
        guard directive.hasArguments(1...100, "NAME …", diagnostics) else { return }
        for word in directive.arguments {
            guard let index = limitIndex[word.text] else {
                undefined("limit", word, limitIndex.keys)
                continue
            }
            if ids.contains(where: { isSame($0, LimitID(index)) }) { diagnostics.error("this limit stands twice", at: word) }
            usedLimits.insert(index)
            guard cost != nil || critical != nil, limits.indices.contains(index) else {
                ids.append(LimitID(index))
                continue
            }
            if let (cost, place) = cost { limits[index].check(cost, isCritical: critical != nil, at: place, diagnostics) }
            if let critical, limits[index].reserve == 0 {
                diagnostics.error(
                    "\(word.text) reserves nothing for critical routes", at: critical.name, hint: "add to the limit: reserve 20%;")
            }
            ids.append(LimitID(limits.count))
            limits.append(Limit(limits[index], costs: cost?.0, isCritical: critical != nil))
        }
    }

    /// Whether both are one limit, whatever a request costs.
    private func isSame(_ first: LimitID, _ second: LimitID) -> Bool {
        first == second
            || limits.indices.contains(first.index) && limits.indices.contains(second.index)
                && limits[first.index].name == limits[second.index].name
    }

    /// Those of a route, and those of one of its methods, which may give one of them another cost.
    private func together(_ shared: [LimitID], _ own: [LimitID]) -> [LimitID] {
        shared.map { one in own.first { isSame($0, one) } ?? one } + own.filter { one in !shared.contains { isSame($0, one) } }
    }

    mutating func readMaintenance(_ directive: Directive) -> MaintenanceRule? {
        for (index, network) in networks.enumerated()
        where directive.block?.contains(where: { $0.arguments.contains { $0.text == network.name } }) ?? false {
            usedNetworks.insert(index)
        }
        return MaintenanceRule(directive, Dictionary(networks.map { ($0.name, $0) }) { first, _ in first }, diagnostics)
    }

    mutating func methodRule(
        _ directive: Directive, _ accepted: [ScopeRequirement.Holder], _ access: Route.Access?, _ shared: Demands,
        _ named: inout Set<String>
    ) -> Route.MethodRule {
        let block = Block(of: directive, title: "a method", diagnostics)
        if directive.arguments.isEmpty {
            diagnostics.error("'method' names no method", at: directive.name, hint: "write: method GET HEAD { … }")
        }
        var known: Set<Method> = []
        for word in directive.arguments {
            let bytes = [UInt8](word.text.utf8)
            let method = Method(bytes.span)
            if !named.insert(word.text).inserted { diagnostics.error("\(word.text) stands twice in this route", at: word) }
            if method == .trace || method == .connect {
                diagnostics.error("\(word.text) is never forwarded", at: word)
            } else if bytes.isEmpty || !bytes.allSatisfy(ASCII.isToken) {
                diagnostics.error("'\(word.text)' is not a method", at: word, hint: "a method is a word such as GET")
            } else if word.text != word.text.uppercased() {
                diagnostics.error("methods are case-sensitive", at: word, hint: "did you mean \(word.text.uppercased())?")
            }
            if method != .other { known.insert(method) }
        }
        let publicWord = block.one("public")
        let publicRule = publicWord.flatMap { PublicRule($0, of: route, diagnostics) }
        let isPublic = access?.isPublic ?? false
        if let publicWord, isPublic {
            diagnostics.error("the whole route is public already", at: publicWord.name, hint: "remove this line")
        }
        var demands = demands(block, accepted, publicRule.map { .public($0) } ?? access)
        block.finish()
        if let publicRule {
            // Of the route's limits those that a claim decides have nothing to count here.
            let counted = together(shared.limits, demands.limits).filter {
                limits.indices.contains($0.index) && !limits[$0.index].countsByClaims
            }
            return Route.MethodRule(
                names: directive.arguments.map(\.text), line: diagnostics.line(of: directive.position), known: known,
                authorization: AuthorizationRule(of: route), limits: counted, of: limits, from: shared.from + demands.from,
                isPublic: true, publicRule: publicRule)
        }
        demands.authorization = shared.authorization.and(demands.authorization)
        demands.limits = together(shared.limits, demands.limits)
        return Route.MethodRule(
            names: directive.arguments.map(\.text), line: diagnostics.line(of: directive.position), known: known,
            authorization: demands.authorization, limits: demands.limits, of: limits, from: shared.from + demands.from,
            isPublic: isPublic)
    }

    /// Reads the block of `upgrade NAME … { … }`: what is demanded besides what GET is. Without one, a tunnel through which a
    /// client may write needs no more than reading does, which is told where the route makes a difference between the two.
    mutating func tunnelRule(
        _ directive: Directive?, _ accepted: [ScopeRequirement.Holder], _ access: Route.Access?, _ shared: Demands,
        _ methods: [Route.MethodRule]
    ) -> Route.MethodRule? {
        guard let directive else { return nil }
        let get = methods.first { $0.known.contains(.get) }
        let own = get?.authorization ?? shared.authorization
        guard directive.block != nil else {
            if let stricter = methods.first(where: { !Set($0.authorization.requirements).isSubset(of: own.requirements) }) {
                diagnostics.warning(
                    "a tunnel needs no more here than GET does, and \(stricter.names.joined(separator: " ")) needs more",
                    at: directive.name, hint: "if clients write through it, say what that needs: upgrade websocket { scope …; }")
            }
            return nil
        }
        let block = Block(of: directive, title: "an upgrade", diagnostics)
        let demands = demands(block, accepted, access)
        block.finish()
        let limits = get?.allLimits ?? shared.limits
        return Route.MethodRule(
            names: ["GET"], line: diagnostics.line(of: directive.position), known: [.get],
            authorization: own.and(demands.authorization), limits: together(limits, demands.limits),
            of: self.limits, from: (get?.from ?? shared.from) + demands.from, isPublic: access?.isPublic ?? false)
    }
}
