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
                if goesOn, path.count > 1, !location.isInternal { notePrefix(path, location, server) }
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
        // An expression comes before every prefix, whatever its length.
        let expressionRoutes = routes.filter { $0.rank == .expression && $0.path.hasTail && !$0.path.goesOnWithinSegment }
        record.converted(server.directive)
        for route in routes where route.rank == .exact && !route.segments.isEmpty { noteFinalSlash(route, among: routes, server) }
        return routes.filter { route in
            route.rank != .prefix || !expressionRoutes.contains { Self.covers($0, route) && $0.pattern != route.pattern }
        }
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

    /// A slash at the end makes no other route, but may make another location.
    private func noteFinalSlash(_ route: ImportedRoute, among routes: [ImportedRoute], _ server: NginxServer) {
        let around = routes.filter { $0.path.hasTail && Self.covers($0, route) }.max { $0.segments.count < $1.segments.count }
        guard let around, around.access != route.access,
            let location = server.locations.first(where: { $0.matching == .exact(route.path.text) })
        else { return }
        record.note("\(route.pattern)/ has the same route; in nginx it is \(around.pattern)'s, where others may come", location.directive)
    }

    private func notePrefix(_ path: String, _ location: NginxLocation, _ server: NginxServer) {
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
            behaviour = closed(access: try? access(location.scope, in: server))
        }
        for path in paths {
            var route = ImportedRoute(
                hosts: hosts, path: path, foldsCase: foldsCase, access: behaviour.access, target: behaviour.target, lines: behaviour.lines,
                comments: comments, differences: behaviour.differences, claimFields: behaviour.claimFields, methods: behaviour.methods,
                rank: rank)
            route.source = location.directive.id
            if path.goesOnWithinSegment { route.differences.insert(.prefixWithinSegment) }
            route.differences.insert(path.hasTail ? .slashRedirect : .finalSlash)
            let word = Word(text: route.pattern, position: Position(file: 0, offset: 0, length: 0), isQuoted: true)
            guard PathPattern(word, Diagnostics()) != nil else {
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
        if other.rank.rawValue > route.rank.rawValue {
            return record.note("another location comes first for \(route.pattern)", location.directive)
        }
        if other.access == route.access || route.target == .closed || other.rank.rawValue < route.rank.rawValue {
            routes[index] = route
            record.note("it has one route with another location of the same path", location.directive)
        } else {
            record.refuse("two locations of the path \(route.pattern) differ in who may come: the route is closed", location.directive)
            var closed = route
            (closed.target, closed.access, closed.lines) = (.closed, Access(), self.closed(access: nil).lines)
            routes[index] = closed
        }
    }

    /// A route that lets nobody through until somebody has decided.
    private func closed(access: Access?) -> Behaviour {
        Behaviour(
            target: .closed, lines: [.closed], differences: [.closed])
    }

    /// Routes for a regular expression; where there are none, whatever it guards is not left to a route that asks less.
    private func addExpression(_ location: NginxLocation, _ server: NginxServer, _ hosts: [String], _ routes: inout [ImportedRoute]) {
        guard case .expression(let text, let foldsCase) = location.matching else { return }
        let returned = location.scope.own("return")
        let access = location.isInternal ? nil : returned != nil ? Access() : try? self.access(location.scope, in: server)
        let rules = location.scope.nearest("allow", "deny")
        let denies =
            returned.map { ["403", "404", "444"].contains($0.value) }
            ?? (rules.count == 1 && rules[0].name == "deny" && rules[0].value == "all")
        var reason: String
        var begins = "/"
        do {
            let expression = try ExpressionPaths(text)
            let isSafe =
                !expression.isWider
                || expression.paths.allSatisfy { path in
                    routes.filter { Self.mayMatch($0, below: path.text) }.allSatisfy {
                        $0.access == access || $0.access.isOpen && access?.isOpen == false
                    }
                }
            if isSafe {
                if expression.isWider { record.note("a segment may hold anything in a route", location.directive) }
                return add(location, expression.paths, .expression, server, hosts, foldsCase: foldsCase, &routes)
            }
            reason = "a segment of the route would match more than the expression, and others guard that"
        } catch {
            (reason, begins) = (error.reason, error.begins)
        }
        if text.contains("/\\."), denies {
            return denyHiddenFiles(location, hosts, &routes)
        }
        record.refuse("\(reason)", location.directive)
        let area = routes.indices.filter {
            Self.mayMatch(routes[$0], below: Self.trimmed(begins)) && routes[$0].rank != .exact && routes[$0].rank != .preferredPrefix
        }
        let asksLess = area.filter { routes[$0].target != .closed && !(access?.isOpen ?? false) && routes[$0].access != access }
        let comment = "REFUSED \(location.directive.line) \(location.directive.summary): \(reason)"
        if asksLess.isEmpty, let widest = area.filter({ routes[$0].rank == .prefix }).min(by: { routes[$0].segments.count < routes[$1].segments.count }) {
            routes[widest].comments.append(comment + "; its requests come here")
        }
        guard !asksLess.isEmpty else { return }
        if begins != "/" {
            add(location, [ExpressionPaths.Path(text: Self.trimmed(begins), hasTail: true)], .expression, server, hosts, &routes)
            if let index = routes.lastIndex(where: { $0.pattern == Self.trimmed(begins) + "/**" }) {
                (routes[index].target, routes[index].access, routes[index].lines) = (.closed, Access(), closed(access: nil).lines)
                routes[index].comments.append(comment)
            }
        } else {
            for index in asksLess {
                (routes[index].target, routes[index].access, routes[index].lines) = (.closed, Access(), closed(access: nil).lines)
                routes[index].differences.insert(.closed)
                routes[index].comments.append(comment + ". It guards paths that would come here, so this is closed")
            }
        }
    }

    /// Whether a route may match a path that begins with these segments, or one above it.
    private static func mayMatch(_ route: ImportedRoute, below path: String) -> Bool {
        let (own, other) = (route.segments, path.split(separator: "/"))
        guard zip(own, other).allSatisfy({ $0 == "*" || $1 == "*" || $0 == $1 }) else { return false }
        return own.count >= other.count || route.path.hasTail
    }

    /// Names of hidden files that servers have by accident; the others an expression would be needed for.
    private func denyHiddenFiles(_ location: NginxLocation, _ hosts: [String], _ routes: inout [ImportedRoute]) {
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
