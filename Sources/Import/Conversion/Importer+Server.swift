import ConfigFile
import Routing

/// The routes of a server.
extension Importer {
    /// - Parameter hosts: names of the server; none for every host.
    /// - Returns: its routes.
    func routes(of server: NginxServer, hosts: [String]) -> [ImportedRoute] {
        var routes: [ImportedRoute] = []
        var expressions: [NginxLocation] = []
        // Which locations are asked has to be known before they are read.
        for location in server.locations { _ = try? access(location.scope, in: server) }
        for location in server.locations {
            switch location.matching {
            case .named: break
            case .expression: expressions.append(location)
            case .exact(let path):
                add(location, [ExpressionPaths.Path(text: Self.trimmed(path), hasTail: false)], .exact, server, hosts, &routes)
            case .prefix(let path, let isPreferred):
                let goesOn = !path.hasSuffix("/")
                add(
                    location, [ExpressionPaths.Path(text: Self.trimmed(path), hasTail: true, goesOnWithinSegment: goesOn)],
                    isPreferred ? .preferredPrefix : .prefix, server, hosts, &routes)
                if goesOn, path.count > 1 { notePrefix(path, location) }
            }
        }
        // A server without a location for everything says by itself what happens to the rest.
        if !routes.contains(where: { $0.pattern == "/**" }) {
            let whole = NginxDirective(
                id: server.directive.id, name: "location", arguments: ["/"], block: [], line: server.directive.line, comments: [])
            if let location = NginxLocation(whole, in: server.scope), saysSomething(server) {
                add(location, [ExpressionPaths.Path(text: "", hasTail: true)], .prefix, server, hosts, &routes)
            }
        }
        // nginx takes the first expression that matches; routes of later ones stand behind.
        for location in expressions { addExpression(location, server, hosts, &routes) }
        // An expression comes before every prefix, whatever its length: a longer one that it takes in is never chosen.
        let expressionRoutes = routes.filter { $0.rank == .expression && $0.path.hasTail && !$0.foldsCase }
        routes.removeAll { route in
            route.rank == .prefix
                && expressionRoutes.contains { Self.covers($0, route) && $0.pattern != route.pattern && $0.protection != .closed }
        }
        record.converted(server.directive)
        audit(server, &routes)
        return routes
    }

    /// Whether the server answers by more than its locations.
    private func saysSomething(_ server: NginxServer) -> Bool {
        server.scope.own("return") != nil || server.scope.own("root") != nil || server.scope.own("try_files") != nil
            || server.scope.here.contains { $0.name == "rewrite" }
    }

    private static func trimmed(_ path: String) -> String { path.hasSuffix("/") ? String(path.dropLast()) : path }

    /// Whether all that `route` matches begins with what `wide` matches.
    private static func covers(_ wide: ImportedRoute, _ route: ImportedRoute) -> Bool {
        let (outer, inner) = (wide.segments, route.segments)
        return outer.count <= inner.count && zip(outer, inner).allSatisfy { $0 == "*" || $0 == $1 }
    }

    private func notePrefix(_ path: String, _ location: NginxLocation) {
        record.note(
            "in nginx \(path) is also the beginning of \(path)x; the route is \(path) and what is below it, and \(path)x is left to the other routes",
            location.directive)
    }

    /// Adds the routes of a location, closed ones where it is refused.
    private func add(
        _ location: NginxLocation, _ paths: [ExpressionPaths.Path], _ rank: ImportedRoute.Rank, _ server: NginxServer, _ hosts: [String],
        foldsCase: Bool = false, _ routes: inout [ImportedRoute]
    ) {
        let place = "\(location.directive.line)  \(location.directive.summary)"
        var behaviour: Behaviour
        var comments = [place] + location.directive.comments
        do {
            behaviour = try self.behaviour(location, in: server)
            record.converted(location.directive)
        } catch {
            record.refuse(error.reason, error.directive)
            if error.directive.id != location.directive.id {
                record.refuse("its route is closed for \(error.directive.line): \(error.directive.name)", location.directive)
            }
            comments.append("REFUSED \(error.directive.line) \(error.directive.summary): \(error.reason)")
            behaviour = Behaviour(target: .closed, lines: [.closed], differences: [.closed])
        }
        for path in paths {
            var route = ImportedRoute(
                hosts: hosts, path: path, foldsCase: foldsCase, access: behaviour.access, target: behaviour.target, lines: behaviour.lines,
                comments: comments, differences: behaviour.differences, claimFields: behaviour.claimFields, methods: behaviour.methods,
                rank: rank)
            route.source = location.directive.id
            if case .exact(let text) = location.matching { route.endsWithSlash = text.hasSuffix("/") }
            if path.goesOnWithinSegment, rank == .expression { notePrefix(path.text, location) }
            if path.goesOnWithinSegment { route.differences.insert(.prefixWithinSegment) }
            route.differences.insert(path.hasTail ? .slashRedirect : .finalSlash)
            let word = Word(text: route.pattern, position: Position(file: 0, offset: 0, length: 0), isQuoted: true)
            let isPlain = rank == .expression || !path.text.contains { "*{}".contains($0) }
            guard isPlain, PathPattern(word, Diagnostics()) != nil else {
                record.refuse("no route has the path \(route.pattern): it can be spelled in several ways", location.directive)
                continue
            }
            insert(route, location, &routes)
        }
    }

    /// Of two locations with one pattern nginx tells the paths apart; a route cannot.
    private func insert(_ route: ImportedRoute, _ location: NginxLocation, _ routes: inout [ImportedRoute]) {
        guard let index = routes.firstIndex(where: { $0.pattern == route.pattern }) else { return routes.append(route) }
        let other = routes[index]
        if route.rank == .expression, other.rank == .expression {
            return record.note("an earlier expression comes first for \(route.pattern)", location.directive)
        }
        if other.rank == .expression || route.rank == .expression {
            // An expression comes before a prefix, and behind one with ^~.
            if other.rank == .preferredPrefix {
                return record.note("another location comes first for \(route.pattern)", location.directive)
            }
            routes[index] = route
            return record.note("it comes before the prefix of the same path", location.directive)
        }
        if other.protection == route.protection {
            routes[index] = route
            return record.note("it has one route with another location of the same path", location.directive)
        }
        record.refuse("two locations of the path \(route.pattern) differ in who may come: the route is closed", location.directive)
        routes[index].close(
            "REFUSED \(location.directive.line) \(location.directive.summary): two locations of this path differ in who may come")
    }

    /// Routes for a regular expression; where there are none, whatever it guards is not left to a route that asks less.
    private func addExpression(_ location: NginxLocation, _ server: NginxServer, _ hosts: [String], _ routes: inout [ImportedRoute]) {
        guard case .expression(let text, let foldsCase) = location.matching else { return }
        let needed = protection(location, in: server)
        if Self.isHiddenFiles(text), needed == .closed, location.scope.own("proxy_pass") == nil {
            return denyHiddenFiles(location, hosts, &routes)
        }
        do throws(ExpressionPaths.Unconvertible) {
            let expression = try ExpressionPaths(text)
            if expression.isNarrower, needed != .open {
                throw ExpressionPaths.Unconvertible(reason: "a . or a * of it stands for any character, which no route does", begins: "/")
            }
            if let parent = Self.parentPrefix(location), !expression.paths.allSatisfy({ $0.text.hasPrefix(parent) }) {
                throw ExpressionPaths.Unconvertible(reason: "it stands within a location and matches paths of others", begins: "/")
            }
            guard routes.filter({ $0.rank == .expression }).count + expression.paths.count <= 256 else {
                throw ExpressionPaths.Unconvertible(
                    reason: "the expressions of this server have more alternatives than a file should have routes", begins: "/")
            }
            if expression.isWider { record.note("a segment may hold anything in a route", location.directive) }
            add(location, expression.paths, .expression, server, hosts, foldsCase: foldsCase, &routes)
            for index in routes.indices where routes[index].source == location.directive.id { routes[index].isWider = expression.isWider }
        } catch {
            if denies(location, needed) {
                guard !options.dropsDenials else {
                    protections[location.directive.id] = .open
                    return record.note("it has no route, and is left to the services behind, as --drop-denials says", location.directive)
                }
                record.refuse("\(error.reason); --drop-denials leaves it to the services behind", location.directive)
            } else {
                record.refuse(error.reason, location.directive)
            }
            unconverted.append(
                UnconvertedExpression(
                    location: location, server: server.directive.id, reason: error.reason, begins: Self.trimmed(error.begins),
                    foldsCase: foldsCase))
        }
    }

    /// Whether a location does nothing but deny.
    private func denies(_ location: NginxLocation, _ needed: Guard) -> Bool {
        let rules = location.scope.here.filter { !["access_log", "log_not_found"].contains($0.name) }
        guard needed == .closed, rules.count == 1, location.scope.one("satisfy")?.value != "any" else { return false }
        return rules[0].name == "deny" && rules[0].value == "all"
            || rules[0].name == "return" && ["403", "404", "444"].contains(rules[0].value)
    }

    /// The prefix of the location within which another stands; nil for one of the server itself.
    private static func parentPrefix(_ location: NginxLocation) -> String? {
        guard location.scope.levels.count > 3 else { return nil }
        // Only the text is known of what stands around: whatever it is, the expression has to begin so.
        return location.outerPrefix
    }

    /// Whether an expression is one of those that sites have for hidden files, and for nothing else.
    private static func isHiddenFiles(_ text: String) -> Bool {
        let known = [
            "/\\.", "/\\.ht", "/\\.git", "/\\.svn", "/\\.env", "/\\.(?!well-known)", "/\\.(?!well-known/)", "/\\.(?!well-known\\/)",
            "/\\.(?!well-known).*", "/\\.(?!well-known/).*", "/\\.(?!well-known\\/).*", "/\\.(git|ht)", "/\\.(ht|git)", "/\\.(git|svn)",
            "/\\.(ht|svn|git)", "/\\.(svn|git)", "/\\.(env|git)",
        ]
        return known.contains(text.hasPrefix("^") ? String(text.dropFirst()) : text)
    }

    /// Names of hidden files that servers have by accident; the others an expression would be needed for.
    private func denyHiddenFiles(_ location: NginxLocation, _ hosts: [String], _ routes: inout [ImportedRoute]) {
        // What the routes below do not cover is noted, and closes nothing.
        protections[location.directive.id] = .open
        record.note(
            "hidden files are refused at the top of the site only: /.git, /.svn, /.hg, /.env, /.htaccess, /.htpasswd; the service must not serve others",
            location.directive)
        for rule in location.scope.nearest("allow", "deny") + location.scope.here.filter({ $0.name == "return" }) { record.converted(rule) }
        for name in [".git", ".svn", ".hg", ".env", ".htaccess", ".htpasswd"] {
            let path = ExpressionPaths.Path(text: "/" + name, hasTail: true)
            let route = ImportedRoute(
                hosts: hosts, path: path, foldsCase: false, access: Access(), target: .answer(status: "403"),
                lines: [GatewayLine("answer", "403")],
                comments: name == ".git" ? ["\(location.directive.line)  \(location.directive.summary)"] : [],
                differences: [.ownStatus, .slashRedirect], rank: .expression)
            if !routes.contains(where: { $0.pattern == route.pattern }) { routes.append(route) }
        }
    }
}
