import Time
import Authentication
import Authorization
import ConfigFile
import Configuration
import Forwarding
import Policy
import Processes
import RateLimiting
import Routing
import System
import TLS

/// What a configuration means, on one screen.
struct Summary {
    private let settings: Settings

    init(_ settings: Settings) { self.settings = settings }

    var text: String {
        var text = "workers    \(settings.workers)" + (settings.user.map { ", as \($0)" } ?? "") + "\n"
        for listener in settings.listeners { text += "listen     \(listener.address.text)  \(role(listener))\n" }
        for issuer in settings.issuers {
            let keys =
                switch issuer.keys {
                case .file(let path): path
                case .url(let url): url
                case .secrets: "a shared secret"
                }
            let audience = issuer.audiences.isEmpty ? "any audience" : "for " + issuer.audiences.joined(separator: " ")
            text +=
                "issuer     \(issuer.name)  \(issuer.url)  \(audience)  \(issuer.algorithms.map(\.name).joined(separator: " "))  keys \(keys)\n"
        }
        for (authorizer, upstream) in zip(settings.authorizers, settings.authorizerUpstreams) {
            let claims = authorizer.claims.isEmpty ? "" : "  claims " + authorizer.claims.map(\.claim).joined(separator: " ")
            text +=
                "authorizer \(authorizer.name)  \(authorizer.method) \(settings.upstream(upstream).places.joined(separator: " "))\(claims)\(authorizer.cache == nil ? "" : "  cached")\n"
        }
        for limit in settings.limits where !limit.isOfRoute {
            text += "limit      \(limit.name)  \(limit.sentence)\n"
        }
        for upstream in settings.upstreams {
            text +=
                "upstream   \(upstream.name)  \(upstream.places.joined(separator: " "))\(upstream.tls == nil ? "" : "  over TLS")\n"
        }
        if !settings.tests.isEmpty {
            text += "tests      \(settings.tests.reduce(0) { $0 + $1.cases.count }) cases in \(settings.tests.count) tests hold\n"
        }
        text += "policy     \(settings.policyID)\n"
        text += "\n" + routes
        return text
    }

    private func limitText(_ limit: Limit) -> String {
        guard limit.isOfRoute else { return limit.name }
        let words = (limit.cost.map { [$0.words] } ?? []) + (limit.isCritical ? ["critical"] : [])
        return words.isEmpty ? limit.name : "\(limit.name)(\(words.joined(separator: ", ")))"
    }

    private var routes: String {
        var rows: [[String]] = [["ROUTE", "METHODS", "DEMANDS", "LIMITS", "TO", "SENDS"]]
        for route in settings.routes.sorted(by: { $0.name < $1.name }) {
            var rules = (route.anyMethod.map { [$0] } ?? route.methods).map { rule in
                (names: rule.names.isEmpty ? "all" : rule.names.joined(separator: " "), rule: rule)
            }
            if let rule = route.tunnelRule { rules.append(("GET to " + route.upgrades.joined(separator: " "), rule)) }
            for (names, rule) in rules {
                rows.append([
                    route.name, names, demands(route, rule),
                    rule.allLimits.map { limitText(settings.limits[$0.index]) }.joined(separator: " "),
                    destination(route), sent(route),
                ])
            }
        }
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            var line = ""
            for (column, cell) in row.enumerated() { line += cell + String(repeating: " ", count: widths[column] - cell.count + 2) }
            while line.last == " " { line.removeLast() }
            return line + "\n"
        }.joined()
    }

    private func destination(_ route: Route) -> String {
        switch route.action {
        case .forward(let rule): ([settings.upstream(rule.upstream).name] + changes(rule, route)).joined(separator: ", ")
        case .reply(let reply): "answer \(reply.status)"
        }
    }

    /// What else becomes of a request on its way.
    private func changes(_ rule: ForwardingRule, _ route: Route) -> [String] {
        var changes: [String] = []
        if !rule.strippedPrefix.isEmpty { changes.append("without " + String(decoding: rule.strippedPrefix, as: UTF8.self)) }
        if !rule.addedPrefix.isEmpty { changes.append("below " + String(decoding: rule.addedPrefix, as: UTF8.self)) }
        if case .set(let host) = rule.host { changes.append("as host " + host) }
        if !route.upgrades.isEmpty { changes.append("upgrade " + route.upgrades.joined(separator: " ")) }
        return changes
    }

    /// The fields that a service gets from the route, and those of the client's that it does not get.
    private func sent(_ route: Route) -> String {
        guard let rule = route.forwarding else { return "" }
        var names = (rule.identityHeaders + rule.requestHeaders).map(\.name)
        if rule.forwardsToken { names.append("Authorization (the token)") }
        if rule.passesAuthorization { names.append("Authorization (as received)") }
        names += rule.keptCookies.map { "cookie " + String(decoding: $0, as: UTF8.self) }
        names += rule.removedHeaders.map { "no " + String(decoding: $0, as: UTF8.self) }
        return names.joined(separator: " ")
    }

    private func demands(_ route: Route, _ rule: Route.MethodRule) -> String {
        guard case .authenticated(let accepted) = route.access, rule.publicRule == nil else {
            return (["PUBLIC"] + rule.from.map { "from " + $0.text }).joined(separator: ", ")
        }
        let tokens = accepted.issuers.map { settings.issuer($0).name }
        let networks = accepted.networks.map { "from " + settings.networks[$0.index].name }
        let passwords = accepted.passwords.map { "password of " + settings.passwords[$0.index].name }
        let others = networks + passwords + accepted.authorizers.map { "let in by " + settings.authorizer($0).name }
        var parts = [
            ((tokens.isEmpty ? [] : ["token of " + tokens.joined(separator: " or ")]) + others).joined(
                separator: accepted.takesAny ? " or " : ", else ")
        ]
        parts += rule.authorization.requirements.map { "scope " + settings.requirements.requirements[$0].summary }
        parts += rule.authorization.rules.map(\.text)
        parts += rule.from.map { "from " + $0.text }
        return parts.joined(separator: ", ")
    }

    private func role(_ listener: ListenerSettings) -> String {
        if let decisions = listener.decisions { return "decisions for \(decisions.rawValue)" }
        return switch listener.role {
        case .tls(let tls): "TLS \(tls.minimum.text) and later, \(tls.certificates.count) certificate(s)"
        case .plaintext: "PLAINTEXT: something in front must terminate TLS"
        case .redirect(let rule):
            "redirects to https" + (rule.exceptionNames.isEmpty ? "" : ", except \(rule.exceptionNames.joined(separator: " "))")
        }
    }
}
