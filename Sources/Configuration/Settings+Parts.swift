import Redis
import Authentication
import ConfigFile
import Forwarding
import TLS

/// Parts of the reading of a file that need nothing but what was read before.
extension Settings {
    /// A key set file is read now, so that a wrong one is found by `check` and not by the first request.
    func checkKeyFiles(_ files: any FileSource, _ diagnostics: Diagnostics) {
        for directive in issuerDirectives {
            // Read now, so that it is in the bundle of those who fetch, and a wrong one is an error.
            if let trusted = directive.block?.first(where: { $0.name.text == "trusted_certificate" }) {
                _ = ClientContext(trusted, at: trusted.name, files: files, diagnostics)
            }
            for secret in directive.block?.filter({ $0.name.text == "secret" }) ?? [] {
                // What is wrong with the line itself has been said.
                guard let word = secret.arguments.first else { continue }
                let file = Issuer.SecretFile(path: diagnostics.path(of: word), isBase64: secret.arguments.count > 1)
                _ = SharedSecret(file, at: word, files: files, diagnostics)
            }
            guard let word = directive.block?.first(where: { $0.name.text == "keys" })?.arguments.first, !word.text.contains("://") else {
                continue
            }
            do {
                let keys = try KeySet(try files.read(diagnostics.path(of: word)))
                if keys.keys.isEmpty {
                    diagnostics.error(
                        "\(word.text) has no key that can be used", at: word, hint: keys.unusable.map(\.text).joined(separator: "; "))
                } else {
                    for key in keys.unusable { diagnostics.warning("a key of \(word.text) cannot be used: \(key.text)", at: word) }
                }
            } catch let error as FileError {
                diagnostics.error("cannot read \(error.path): \(error.reason)", at: word)
            } catch let error as KeySetError {
                diagnostics.error("\(word.text) is not a key set: \(error.explanation)", at: word)
            } catch {
                diagnostics.error("\(word.text) cannot be used", at: word)
            }
        }
    }

    /// A cookie that two parts of the gateway take for theirs says nothing to either.
    func checkStickyCookies(_ directives: [Directive], _ diagnostics: Diagnostics) {
        for (index, upstream) in upstreams.enumerated() {
            guard let sticky = upstream.sticky,
                let directive = directives.first(where: { $0.arguments.first?.text == upstream.name }),
                let word = directive.block?.first(where: { $0.name.text == "sticky" })?.arguments.last
            else { continue }
            if tokenSources.places.cookies.contains([UInt8](sticky.name.utf8)) {
                diagnostics.error("tokens are taken from the cookie \(sticky.name)", at: word, hint: "give this one another name")
            }
            let others = upstreams[..<index].filter { $0.sticky?.name == sticky.name }
            if let other = others.first {
                diagnostics.error(
                    "upstream \(other.name) has the cookie \(sticky.name) too, and a browser that has both would be bound to neither",
                    at: word,
                    hint: "give this one another name")
            }
        }
    }

    package var redisNames: [String] { redis.map(\.name) }

    /// The files with passwords of Redis servers.
    package var passwordFiles: [(store: Int, isOfSentinels: Bool, path: String)] {
        redis.enumerated().flatMap { index, redis in redis.passwordFiles.map { (index, $0.isOfSentinels, $0.path) } }
    }

    /// The routes of the file and of its groups, with what they inherit.
    func completedRoutes(_ file: Block, _ diagnostics: Diagnostics) -> [Directive] {
        let (authorizers, files) = (authorizers, Set(passwords.map(\.name)))
        let names = files.union(authorizers.map(\.name)).union(networks.map(\.name))
        let inherited = InheritedDirectives(file.all(InheritedDirectives.names)) { auth in
            let words = auth.arguments.map(\.text).filter { $0 != "any" }
            guard words.allSatisfy({ names.contains($0) }) else { return nil }
            return Set(authorizers.filter { words.contains($0.name) }.flatMap(\.claims).map(\.claim)).union(
                files.isDisjoint(with: words) ? [] : ["user"])
        }
        var routes = file.all("route").map { inherited.completed($0) }
        for group in file.all("host") {
            let block = Block(of: group, title: "a group of a host", diagnostics)
            let nearer = inherited.and(block.all(InheritedDirectives.names))
            let host = Directive(name: group.name, arguments: group.arguments, block: nil)
            for route in block.all("route") {
                if let own = route.block?.first(where: { $0.name.text == "host" }) {
                    diagnostics.error(
                        "the group says the host already", at: own.name, hint: "remove this line, or take the route out of the group")
                }
                routes.append(nearer.completed(route, [host]))
            }
            if block.all("route").isEmpty { diagnostics.error("this group has no route", at: group.position, hint: "add: route /** { … }") }
            block.finish()
            checkInherited(block.all("set_header"), routes, diagnostics)
        }
        checkInherited(file.all("set_header"), routes, diagnostics)
        return routes
    }

    /// A field with claims that no route can have is a mistake, and not one to be passed over: the client's own would not be taken away.
    private func checkInherited(_ headers: [Directive], _ routes: [Directive], _ diagnostics: Diagnostics) {
        for header in headers {
            let isInherited = routes.contains { route in
                route.block?.contains { $0.name.text == header.name.text && $0.position == header.position } ?? false
            }
            let hasClaims = header.arguments.contains { Template($0, Diagnostics())?.variables.contains(where: \.isClaim) ?? false }
            if hasClaims, !isInherited {
                diagnostics.error(
                    "no route inherits this: none takes a credential that has these claims, or each sets the field itself",
                    at: header.position,
                    hint: "correct the claim's name, or remove this line")
            }
        }
    }

    /// The names of fields that the file, or the group of a host, sets for routes, whether each of them has a use for it or not: no client
    /// may send one on any route.
    func inheritedHeaderNames(_ file: Block) -> [String] {
        let groups = file.all("host").flatMap { $0.block ?? [] }.filter { $0.name.text == "set_header" }
        return (file.all("set_header") + groups).compactMap(\.arguments.first?.text)
    }
}
