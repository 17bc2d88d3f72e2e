import Time
import Redis
import Authentication
import Authorization
import ConfigFile
package import Configuration
import Forwarding
import HTTPMessage
import RateLimiting
import Routing
import System
import TLS

extension Settings {
    /// What names the policy of this file in logs and explanations: 12 hexadecimal digits of the SHA-256 of all settings that decide about a
    /// request. Comments, the order of directives and the names of issuers, limits, upstreams and captures change nothing.
    package var policyID: String {
        Digest.sha256([UInt8](PolicyText(self).text.utf8)).prefix(6).map { byte in
            let digits = String(byte, radix: 16)
            return digits.count == 1 ? "0\(digits)" : digits
        }.joined()
    }
}

/// The settings that decide, in one form.
private struct PolicyText {
    private let settings: Settings

    init(_ settings: Settings) { self.settings = settings }

    var text: String {
        let limits = settings.clientLimits
        let sources = settings.tokenSources
        var lines = [
            "realm \(quoted(settings.realm))",
            "head \(limits.head.segments) \(limits.head.bytes) \(limits.head.fields) \(limits.head.targetBytes)",
            "client \(limits.requests) \(limits.requestsPerSubject) \(limits.failedTokens.count)/\(limits.failedTokens.window.count)",
            "tokens \(sources.sources) hidden \(Set(sources.places.cookies.map { String(decoding: $0, as: UTF8.self) } + settings.stickyCookies).sorted()) user \(quoted(sources.userClaim ?? ""))",
            "csrf \(sources.crossOrigin.mode) \(sources.crossOrigin.allowed.text)",
            "proxies \(settings.trustedProxies.map(\.text).sorted()) \(settings.trustedFields)",
            "redirects \(settings.listeners.compactMap { if case .redirect(let rule) = $0.role { "\(rule.port(settings.securePort)) \(rule.exceptionNames.sorted())" } else { nil } }.sorted())",
        ]
        lines += settings.routes.map(route).sorted()
        // Two limits that are alike count apart, and one that several routes name counts together.
        lines += settings.limits.indices.map { shared(LimitID($0)) }.filter { !$0.isEmpty }.sorted()
        return lines.joined(separator: "\n")
    }

    /// Text that can be told from whatever stands around it.
    private func quoted(_ text: String) -> String { "\(text.utf8.count):\(text)" }

    /// Which rules count in a limit together.
    private func shared(_ id: LimitID) -> String {
        var users: [String] = []
        for route in settings.routes {
            for rule in (route.anyMethod.map { [$0] } ?? route.methods) + (route.tunnelRule.map { [$0] } ?? [])
            where rule.allLimits.contains(id) {
                users.append("\(hosts(of: route)) \(route.pattern.shape) \(rule.names.sorted()) \(limit(settings.limits[id.index], route))")
            }
        }
        return users.isEmpty ? "" : "shared \(users.sorted())"
    }

    private func hosts(of route: Route) -> [String] { route.hosts.map { ($0.isWildcard ? "*" : "") + $0.name }.sorted() }

    private func route(_ route: Route) -> String {
        let rules = (route.anyMethod.map { [$0] } ?? route.methods).map { rule($0, route) }.sorted()
        let tunnel = route.tunnelRule.map { rule($0, route) } ?? ""
        let access =
            switch route.access {
            case .public: "public"
            case .authenticated(let rule):
                // In whose order authorizers are asked decides; among tokens there is none.
                "any \(rule.takesAny) \(rule.issuers.map { issuer(settings.issuer($0)) }.sorted()) \(rule.steps.map(step))"
            }
        return [
            "route \(hosts(of: route)) \(route.pattern.shape) folds \(route.pathDemand.foldsCase)", access, "\(rules)",
            "upgrade \(route.upgrades.sorted()) \(tunnel)", forwarding(route), "says \(said(route.responseFields, route))",
            "cors \(route.cors?.text ?? "")",
            "body \(route.bodyBytesMax.map(String.init) ?? "") expiry \(route.endsStreamsOnExpiry) form \(route.demands?.text ?? "")",
            "challenge \(route.challenge.fields().map(quoted)) sign_in \(route.signIn.map { text($0.parts, route) } ?? "")",
        ].joined(separator: " | ")
    }

    private func said(_ fields: ResponseFields?, _ route: Route) -> [String] {
        guard let fields else { return [] }
        return fields.fields.map { "\($0.name.lowercased()) \(text($0.value.parts, route)) \($0.action) \($0.isAlways) \($0.needsTLS)" }
            + fields.removed.sorted()
    }

    private func rule(_ rule: Route.MethodRule, _ route: Route) -> String {
        let scopes = rule.authorization.requirements.map { index in
            let requirement = settings.requirements.requirements[index]
            return (requirement.isAny ? "any " : "all ") + requirement.names.sorted().joined(separator: " ")
        }
        let rules = rule.authorization.rules.map { rule in
            let right = rule.right.map { operand($0, route) }.sorted()
            return "\(operand(rule.left, route)) \(rule.comparison.rawValue) \(right)"
        }
        let limits = rule.allLimits.map { limit(settings.limits[$0.index], route) }
        return
            "\(rule.names.sorted()) public \(rule.publicRule != nil) \(Set(scopes).sorted()) \(Set(rules).sorted()) \(limits.sorted()) from \(rule.from.map(\.summary))"
    }

    private func operand(_ operand: VariableRule.Operand, _ route: Route) -> String {
        switch operand {
        case .variable(let variable): name(variable, route)
        case .constant(let text): quoted(text)
        }
    }

    /// A capture by its place in the path: its name is the file's own affair.
    private func name(_ variable: Variable, _ route: Route) -> String {
        if case .path(let capture) = variable { return "$path[\(route.pattern.captures[capture] ?? -1)]" }
        return "(\(quoted(variable.name)))"
    }

    private func text(_ parts: [Template.Part], _ route: Route) -> String {
        parts.map { part in
            switch part {
            case .text(let text): quoted(text)
            case .variable(let variable): name(variable, route)
            }
        }.joined()
    }

    private func issuer(_ issuer: Issuer) -> String {
        let rules = issuer.rules.map { "\($0.claim) \($0.comparison) \($0.values.sorted())" }.sorted()
        return
            "\(issuer.url) \(issuer.keys) \(issuer.audiences.sorted()) \(issuer.algorithms.map(\.name).sorted()) \(rules) \(issuer.leeway) \(issuer.scopeClaims) \(issuer.scopeMatch) \(issuer.subjectClaims) \(issuer.tokenTypes.sorted()) \(issuer.staleMax.count)"
    }

    private func step(_ step: AuthenticationRule.Step) -> String {
        let id: AuthorizerID
        switch step {
        case .token: return "token"
        case .network(let network): return "network \(settings.networks[network.index].summary)"
        case .password(let file): return "htpasswd \(settings.passwords[file.index].users)"
        case .authorizer(let found): id = found
        }
        let authorizer = settings.authorizer(id)
        let upstream = settings.upstream(settings.authorizerUpstreams[id.index])
        let sent = authorizer.sent.map { "\($0.name.lowercased()) \($0.value.parts)" }.sorted()
        let claims = authorizer.claims.map { "\($0.claim) \($0.field.lowercased()) \($0.separator ?? "")" }.sorted()
        let cache = authorizer.cache.map { "\($0.time.count) \($0.isExact) \($0.variables.map(\.name).sorted())" } ?? ""
        return
            "\(authorizer.method) \(authorizer.path.parts) host \(authorizer.host?.parts ?? []) at \(upstream.places.sorted()) \(sent) \(claims) passes \(authorizer.passedFields.map { $0.lowercased() }.sorted()) follows \(authorizer.followsRedirects) cache \(cache) recheck \(authorizer.recheck?.count ?? 0) \(authorizer.scopeReading) \(authorizer.subjectClaims)"
    }

    private func limit(_ limit: Limit, _ route: Route) -> String {
        let store: String
        switch limit.store {
        case .memory: store = "memory"
        case .redis(let name): store = settings.redis.first { $0.name == name }.map { "\($0.topology.text) \($0.database)" } ?? name
        }
        let key = limit.key.map { text($0.parts, route) }
        return
            "\(limit.quota.count)/\(limit.quota.window.count) \(limit.quota.burst)\(limit.windowText) \(key) in \(store) \(limit.whenStoreFails) \(limit.lease) \(limit.countedStatuses.sorted())\(limit.isShadow ? " shadow" : "")\(limit.allowance.map { " allow \($0.text)" } ?? "")\(limit.cost.map { " cost \($0.text)" } ?? "")\(limit.bounds.text)\(limit.quota.lockout.map { " lockout \($0.text)" } ?? "")\(limit.plans.map { " plans \($0.text)" } ?? "")\(limit.delay > .zero ? " delay \(limit.delay.count)" : "")\(limit.reserve > 0 ? " reserve \(limit.reserve)\(limit.isCritical ? " critical" : "")" : "")\(limit.together.map { " together \(text($0.parts, route))" } ?? "")\(limit.sharedBy.map { " fair \(text($0.parts, route))" } ?? "")"
    }

    private func forwarding(_ route: Route) -> String {
        let rule: ForwardingRule
        switch route.action {
        case .forward(let forwarding): rule = forwarding
        case .reply(let reply):
            switch reply.content {
            case .none: return "answer \(reply.status)"
            case .location(let template): return "answer \(reply.status) location \(text(template.parts, route))"
            case .text(let template, let type, _): return "answer \(reply.status) \(quoted(type)) \(text(template.parts, route))"
            }
        }
        let upstream = settings.upstream(rule.upstream)
        let headers = (rule.identityHeaders + rule.requestHeaders).map {
            "\($0.name.lowercased()) \(text($0.value.parts, route)) \($0.form)"
        }
        return
            "to \(upstream.places.sorted()) tls \(upstream.tls.map { $0.serverName ?? "" } ?? "no") h2 \(upstream.speaksHTTP2) host \(rule.host) token \(rule.forwardsToken) \(rule.passesAuthorization) without \(rule.removedHeaders.map { String(decoding: $0, as: UTF8.self) }.sorted()) with \(rule.keptCookies.map { String(decoding: $0, as: UTF8.self) }.sorted()) cut \(rule.strippedSegments) add \(rule.addedPrefix) redirects \(rule.rewritesRedirects) \(headers.sorted())"
    }
}
