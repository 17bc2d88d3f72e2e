import ConfigFile
import HTTPMessage
import Routing

/// Compares what is written with what nginx would choose: a route that serves a path, for which nginx demands more, is closed.
extension Importer {
    func audit(_ server: NginxServer, _ routes: inout [ImportedRoute]) {
        closeForUnconverted(server, &routes)
        let paths = samples(server, routes)
        guard paths.count <= 12_000 else { return closeWithoutComparison(server, &routes) }
        let chooser = chooser(server)
        closeTwins(&routes)
        var table = RouteTable()
        for route in routes {
            let word = Word(text: route.pattern, position: Position(file: 0, offset: 0, length: 0), isQuoted: true)
            // Every route has a pattern that is read: the indexes of the table are those of the routes.
            guard let pattern = PathPattern(word, Diagnostics()) else { return closeWithoutComparison(server, &routes) }
            _ = table.insert(pattern, hosts: [], PathDemand(foldsCase: route.foldsCase))
        }
        for path in paths {
            let bytes = Self.encoded(path)
            var target = RequestTarget()
            guard (try? target.normalize(0..<bytes.count, of: bytes.span)) != nil, let found = try? table.find(host: [], target),
                found < routes.count
            else { continue }
            for location in chooser.candidates(path) {
                let needed = protection(location, in: server)
                if routes[found].protection.isAtLeast(needed) { continue }
                if isWithinSegment(path, location) { continue }
                if isSlashBehind(path, routes[found]) {
                    noteFinalSlash(routes[found], location, server)
                    continue
                }
                record.refuse(
                    "nginx demands more at \(location.directive.line), to which \(path) belongs: \(routes[found].pattern) is closed",
                    routes[found].source)
                routes[found].close(
                    "REFUSED \(location.directive.line) \(location.directive.summary) demands more, and \(path) is its own in nginx")
            }
        }
    }

    /// Of two routes that are one where letters of both cases are the same, the one that folds them stays, and is closed.
    private func closeTwins(_ routes: inout [ImportedRoute]) {
        let folding = routes.filter(\.foldsCase).map { $0.pattern.lowercased() }
        guard !folding.isEmpty else { return }
        var kept: Set<String> = []
        for index in routes.indices where folding.contains(routes[index].pattern.lowercased()) {
            let key = routes[index].pattern.lowercased()
            let twins = routes.filter { $0.pattern.lowercased() == key }
            if twins.count > 1, !twins.allSatisfy({ $0.protection == twins[0].protection && $0.target == twins[0].target }) {
                routes[index].close(
                    "REFUSED routes for \(twins.map(\.pattern).joined(separator: " and ")) are one where letters of both cases are the same"
                )
                record.refuse("routes that differ by the case of letters alone are closed", routes[index].source)
            }
        }
        for index in routes.indices.reversed() where folding.contains(routes[index].pattern.lowercased()) {
            let key = routes[index].pattern.lowercased()
            if routes[index].foldsCase && kept.insert(key).inserted { continue }
            routes.remove(at: index)
        }
    }

    /// As a client writes a path: what no target may have is percent-encoded.
    private static func encoded(_ path: String) -> [UInt8] {
        path.utf8.flatMap { byte -> [UInt8] in
            let isPlain = byte > 0x20 && byte < 0x7F && !"\"<>#?%\\^`{}|".utf8.contains(byte)
            return isPlain ? [byte] : Array("%\(byte < 16 ? "0" : "")\(String(byte, radix: 16, uppercase: true))".utf8)
        }
    }

    /// A server with more locations than can be compared in time: its routes stay open only where all its locations are.
    private func closeWithoutComparison(_ server: NginxServer, _ routes: inout [ImportedRoute]) {
        let needed = server.locations.map { protection($0, in: server) }
        for index in routes.indices where !needed.allSatisfy({ routes[index].protection.isAtLeast($0) }) {
            routes[index].close("REFUSED its server has too many locations to be compared: split it")
            record.refuse("it has too many locations to be compared: split the server", routes[index].source)
        }
    }

    /// Whether a path belongs to a location only because it goes on within the last segment, which is noted.
    private func isWithinSegment(_ path: String, _ location: NginxLocation) -> Bool {
        switch location.matching {
        case .prefix(let text, _): goesOn(path, text)
        case .expression(let text, _):
            (try? ExpressionPaths(text))?.paths.contains { $0.goesOnWithinSegment && goesOn(path, $0.text) } ?? false
        default: false
        }
    }

    private func goesOn(_ path: String, _ text: String) -> Bool {
        guard !text.hasSuffix("/"), path.hasPrefix(text), let next = path.dropFirst(text.count).first else { return false }
        return next != "/"
    }

    /// Whether a path differs from the location's own by a slash at its end alone.
    private func isSlashBehind(_ path: String, _ route: ImportedRoute) -> Bool {
        if route.rank == .exact { return !route.path.text.isEmpty && path == route.path.text + "/" && !route.endsWithSlash }
        // An expression that ends with a slash, such as ^/help/, does not match /help.
        return route.rank == .expression && route.path.hasTail && !route.path.goesOnWithinSegment && !path.hasSuffix("/")
            && path.split(separator: "/").count == route.segments.count
    }

    private func noteFinalSlash(_ route: ImportedRoute, _ location: NginxLocation, _ server: NginxServer) {
        guard let own = server.locations.first(where: { $0.directive.id == route.source }) else { return }
        let path = route.path.hasTail ? route.path.text : route.path.text + "/"
        record.note("\(path) has the same route; in nginx it belongs to \(location.directive.summary), which demands more", own.directive)
    }

    /// Paths at which locations and routes begin and end, and some within and behind.
    private func samples(_ server: NginxServer, _ routes: [ImportedRoute]) -> [String] {
        var texts: [String] = ["/"]
        for location in server.locations {
            switch location.matching {
            case .exact(let text), .prefix(let text, _): texts.append(text)
            case .expression(let text, _): texts += ((try? ExpressionPaths(text))?.paths ?? []).map(\.text)
            case .named: break
            }
        }
        texts += routes.map(\.path.text)
        var folds = routes.contains(where: \.foldsCase)
        for location in server.locations { if case .expression(_, true) = location.matching { folds = true } }
        var result: [String] = []
        var known: Set<String> = []
        // What stands in one text where another has any segment, and in the spelling of the other where letters of both cases are the same.
        for text in Set(texts) where folds || text.contains("*") {
            let own = text.split(separator: "/", omittingEmptySubsequences: false)
            for other in Set(texts) where other != text && texts.count < 20_000 {
                let others = other.split(separator: "/", omittingEmptySubsequences: false)
                let merged = own.enumerated().map { index, segment in
                    guard index < others.count, others[index] != "*" else { return segment }
                    return segment == "*" || folds && segment.lowercased() == others[index].lowercased() ? others[index] : segment
                }.joined(separator: "/")
                if merged != text { texts.append(merged) }
            }
            guard texts.count < 20_000 else { break }
        }
        for text in texts {
            for word in ["sample", "7", "a-b._~A"] where word == "sample" || text.contains("*") {
                let base = text.replacing("*", with: word)
                let trimmed = base.hasSuffix("/") ? String(base.dropLast()) : base
                for path in [
                    trimmed, trimmed + "/", trimmed + "/sample", trimmed + "/7", trimmed + "/sample/x", trimmed + "x", trimmed + "/a.php",
                ] {
                    let path = path.hasPrefix("/") ? path : "/" + path
                    for spelled in folds ? [path, path.lowercased(), path.uppercased()] : [path] where known.insert(spelled).inserted {
                        result.append(spelled)
                    }
                }
            }
        }
        return result
    }

    /// Whatever an expression guards that has no routes is not left to routes that demand less.
    private func closeForUnconverted(_ server: NginxServer, _ routes: inout [ImportedRoute]) {
        for one in unconverted where one.server == server.directive.id {
            let needed = protection(one.location, in: server)
            let comment = "REFUSED \(one.location.directive.line) \(one.location.directive.summary): \(one.reason)"
            let area = routes.indices.filter {
                routes[$0].rank != .exact && (routes[$0].rank != .preferredPrefix || one.location.outerPrefix != nil)
                    && mayMatch(routes[$0], below: one.begins)
            }
            // An expression that stands before it is looked at before it.
            func isEarlier(_ route: ImportedRoute) -> Bool {
                route.rank == .expression && !route.isWider && route.source < one.location.directive.id && one.location.outerPrefix == nil
                    && server.scope.here.contains { $0.id == route.source }
            }
            let weaker = area.filter { !routes[$0].protection.isAtLeast(needed) && !isEarlier(routes[$0]) }
            guard !weaker.isEmpty else {
                let prefixes = area.filter { routes[$0].rank == .prefix }
                if let widest = prefixes.min(by: { routes[$0].segments.count < routes[$1].segments.count }) {
                    routes[widest].comments.append(comment + "; its requests come here")
                }
                continue
            }
            let depth = one.begins.split(separator: "/").count
            // A closed route for all that begins so keeps the wider ones open.
            if depth > 0, !routes.contains(where: { $0.pattern == one.begins + "/**" }) {
                var route = ImportedRoute(
                    hosts: routes[weaker[0]].hosts, path: ExpressionPaths.Path(text: one.begins, hasTail: true),
                    source: one.location.directive.id,
                    foldsCase: one.foldsCase, access: Access(), target: .answer(status: "501"), lines: [], comments: [], rank: .expression)
                route.close(comment)
                routes.append(route)
            }
            for index in weaker where depth == 0 || routes[index].segments.count >= depth {
                routes[index].close(comment + ". It guards paths that would come here")
                record.refuse(
                    "\(one.location.directive.line) guards paths that would come here: \(routes[index].pattern) is closed",
                    routes[index].source)
            }
        }
    }

    /// Whether a route may match a path that begins with these segments.
    private func mayMatch(_ route: ImportedRoute, below path: String) -> Bool {
        let (own, other) = (route.segments, path.split(separator: "/"))
        guard zip(own, other).allSatisfy({ $0 == "*" || $0.lowercased() == $1.lowercased() }) else { return false }
        return own.count >= other.count || route.path.hasTail
    }
}
