import Authentication
import Authorization
import Bytes
import ConfigFile
package import Configuration
import Forwarding
import HTTPMessage
import RateLimiting
import Routing

/// Tells, of a request that nobody sent, what the gateway would do with it and why. The verdict is that of ``OfflinePolicy``; what stands
/// beside it is looked at for the telling alone.
package struct Explainer {
    private let offline: OfflinePolicy
    private var settings: Settings { offline.settings }
    private let policyID: String

    /// - Parameter content: of a key set file.
    package init(_ settings: Settings, keySet content: (_ path: String) -> [UInt8]?) {
        offline = OfflinePolicy(settings, keySet: content)
        policyID = settings.policyID
    }

    package func explain(_ given: OfflineRequest) -> Explanation {
        var request = given
        var filledIn: [String] = []
        if case .claims(var claims) = request.bearer {
            complete(&claims, for: request)
            filledIn = claims.added
            request.bearer = .claims(claims)
        }
        let outcome = offline.decide(request)
        let refusal: Refusal? = if case .refused(let refusal) = outcome.decision { refusal } else { nil }
        var steps = pathSteps(request, outcome, refusal)
        if let match = outcome.match {
            steps += limitSteps(match, outcome)
            steps += tokenSteps(request, match, outcome, refusal, filledIn)
            steps += demandSteps(match, outcome, refusal)
        }
        let form = ReplyForm(for: outcome.context.head, isHTTP2: false)
        let redact = settings.redaction
        let verdict: Explanation.Verdict
        var reply: Reply?
        switch outcome.decision {
        case .forwarded(let match, _): verdict = .forwarded(upstreamName(match))
        case .undecided(let credential):
            verdict = .undecided(kind: settings.kind(of: credential), settings.name(of: credential), settings.unknown(of: credential))
        case .replied(let own):
            verdict = .replied(own)
            reply = offline.policy.reply(own, outcome.route, outcome.identity, in: outcome.context, form: form)
        case .refused(let refusal):
            verdict = .refused(refusal)
            reply = offline.policy.reply(to: refusal, outcome.route, outcome.identity, in: outcome.context, form: form)
        }
        return Explanation(
            verdict: verdict, policyID: policyID, route: outcome.route.map { ($0.name, $0.line) },
            steps: steps.map { $0.redacted(by: redact) },
            advice: refusal.flatMap { advice($0, outcome) }.map { redact($0) },
            upstreamLines: upstreamLines(outcome).map { (redact($0.text), $0.source) }, stripped: stripped(outcome),
            reply: reply.map { shown($0, outcome) })
    }

    /// Which credentials would pass, by the file alone.
    package func passing(_ request: OfflineRequest) -> Audience {
        var anonymous = request
        anonymous.bearer = .fields
        anonymous.ignoresAddress = true
        let outcome = offline.decide(anonymous)
        guard let match = outcome.match else {
            let reason: String =
                switch outcome.decision {
                case .refused(let refusal): "\(refusal.status) \(refusal.reason): \(refusal.detail)"
                case .replied(let reply): "the gateway answers by itself: \(reply.reason)"
                case .forwarded, .undecided: ""
                }
            return Audience(
                policyID: policyID, target: request.target, route: outcome.route.map { ($0.name, $0.line) }, kind: .nobody(reason))
        }
        let kind: Audience.Kind
        if let credentials = match.credentials {
            let rule = match.rule.authorization
            kind = .bearers(
                issuers: credentials.issuers.map { settings.issuer($0) },
                authorizers: credentials.authorizers.map { settings.authorizer($0).name },
                networks: credentials.networks.map { settings.networks[$0.index].text },
                passwords: credentials.passwords.map { settings.passwords[$0.index].name },
                scopes: zip(rule.requirements, rule.requirementLines).map { (settings.requirements.requirements[$0].summary, $1) },
                rules: rule.rules.map { ($0.text, $0.line) } + match.rule.from.map { ("from \($0.text)", $0.line) })
        } else {
            kind = .everybody(from: match.rule.from.map(\.text))
        }
        return Audience(policyID: policyID, target: request.target, route: (match.route.name, match.rule.line), kind: kind)
    }

    // MARK: - The steps

    /// What the client gets: with the fields that say which pages may read it, and without a body where none is sent.
    private func shown(_ reply: Reply, _ outcome: OfflinePolicy.Outcome) -> Reply {
        var fields = ByteQueue()
        if let cors = outcome.route?.cors { cors.append(for: outcome.context.head, to: &fields) }
        let isHead = outcome.context.head.method == .head
        return Reply(status: reply.status, fields: reply.fields + fields.readable.copied(), body: isHead ? [] : reply.body)
    }

    /// Puts into claims what the one issuer that they can be of gives to all its tokens.
    private func complete(_ claims: inout UnsignedClaims, for request: OfflineRequest) {
        if claims.credential == nil, let named = try? claims.issuer(among: settings.issuers) {
            return claims.complete(for: settings.issuer(named), at: request.time)
        }
        guard claims["iss"] == nil, claims.credential == nil else { return }
        let accepted = offline.decide(request).match?.credentials?.issuers ?? settings.issuers.indices.map { IssuerID($0) }
        if let first = accepted.first { claims.complete(for: settings.issuer(first), at: request.time) }
    }

    private func pathSteps(_ request: OfflineRequest, _ outcome: OfflinePolicy.Outcome, _ refusal: Refusal?) -> [Explanation.Step] {
        let raw = String(request.target.prefix { $0 != "?" })
        switch refusal {
        case .malformed(let error): return [.init(.request, "\(request.method) \(raw)", isMet: false, note: error.explanation)]
        case .target(let error) where outcome.route == nil && error != .ambiguousPath:
            return [.init(.target, raw, isMet: false, note: error.explanation)]
        case .methodNotImplemented: return [.init(.method, request.method, isMet: false, note: "is never forwarded")]
        default: break
        }
        if case .replied(.aboutServer) = outcome.decision { return [.init(.target, raw, note: "asks about the gateway itself")] }
        let normal = String(decoding: outcome.context.target.path, as: UTF8.self)
        var steps = [Explanation.Step(.target, normal, note: normal == raw ? "in normal form" : "the normal form of \(raw)")]
        if case .replied(.redirect(let location)) = outcome.decision {
            return steps + [.init(.route, "none asked", isMet: nil, note: "the listener sends every request to \(location)")]
        }
        let neighbours = RouteNeighbours(settings.routes, outcome.context.host, outcome.context.target)
        guard let route = outcome.route else {
            if case .target(let error) = refusal {
                steps.append(.init(.route, "none", isMet: false, note: error.explanation))
            } else {
                steps.append(.init(.route, "none", isMet: false, note: neighbours.nearest.joined(separator: "; ")))
            }
            return steps
        }
        steps.append(.init(.route, route.name, line: route.line, note: neighbours.others(than: route)))
        if case .replied(.preflight) = outcome.decision {
            steps.append(.init(.origin, "preflight", note: "answered by the gateway, by the route's cors"))
            return steps
        }
        switch refusal {
        case .methodNotAllowed(let allowed): steps.append(.init(.method, request.method, isMet: false, note: "the route takes \(allowed)"))
        case .originNotAllowed(let origin):
            steps.append(.init(.origin, origin, isMet: false, note: "is not among the origins of the route's cors"))
        case .form:
            steps.append(.init(.body, "the request's form", isMet: false, note: "the route asks for \(route.demands?.text ?? "another")"))
        case .bodyTooLarge:
            steps.append(.init(.body, "\(route.bodyBytesMax ?? 0) bytes", isMet: false, note: "is the most that the route takes"))
        default: break
        }
        if let match = outcome.match {
            let isOwn = !match.rule.names.isEmpty
            steps.append(.init(.method, request.method, line: isOwn ? match.rule.line : nil, note: isOwn ? "" : "as every other"))
            for demand in match.rule.from {
                let isMet = demand.contains(outcome.context.clientIP)
                steps.append(
                    .init(
                        .from, demand.text, isMet: isMet, line: demand.line,
                        note: "the client is \(String(decoding: outcome.context.clientIP, as: UTF8.self))"))
            }
            if let upgrade = match.upgrade { steps.append(.init(.upgrade, String(decoding: upgrade.name, as: UTF8.self))) }
        }
        return steps
    }

    private func limitSteps(_ match: RouteMatch, _ outcome: OfflinePolicy.Outcome) -> [Explanation.Step] {
        match.rule.allLimits.map { id in
            let limit = settings.limits[id.index]
            // A field or a cookie may hold a secret, such as an API key; its name tells enough.
            let key =
                limit.hasSecretKey
                ? limit.key.flatMap(\.variables).map(\.name).joined(separator: " ")
                : limit.key.map { shown($0, outcome.identity, outcome.context) }.joined(separator: " ")
            return .init(.limit, limit.name, isMet: nil, line: limit.line, note: "would count \(key); not asked: explain counts nothing")
        }
    }

    private func tokenSteps(
        _ request: OfflineRequest, _ match: RouteMatch, _ outcome: OfflinePolicy.Outcome, _ refusal: Refusal?, _ filledIn: [String]
    ) -> [Explanation.Step] {
        guard let credentials = match.credentials else {
            let line = match.rule.publicRule?.line ?? { if case .public(let rule) = match.route.access { rule.line } else { nil } }()
            return [.init(.token, "none", isMet: nil, line: line, note: "nobody is asked for one: public")]
        }
        let accepted = credentials.credentials.map { settings.title(of: $0) }.joined(separator: " or ")
        if let identity = outcome.identity {
            let subject = identity.principal.subject.map { "subject \($0)" } ?? "no subject"
            var note =
                switch identity.principal.credential {
                case .issuer: "signature checked"
                case .password: "password checked"
                case .network: "the client is \(String(decoding: outcome.context.clientIP, as: UTF8.self))"
                case .authorizer: "not asked"
                }
            if case .claims = request.bearer {
                note =
                    if case .issuer = identity.principal.credential { "claims as given, signature not checked" } else { "claims as given" }
                if !filledIn.isEmpty { note += "; filled in: \(filledIn.joined(separator: " "))" }
            }
            var steps = [
                Explanation.Step(
                    .token, "\(settings.title(of: identity.principal.credential)), \(subject)", line: credentials.line, note: note)
            ]
            if identity.kind.isAmbient {
                let hasOrigin = outcome.context.head.fields.has(.origin) || outcome.context.head.fields.has(.secFetchSite)
                let isRefused = refusal.map { if case .crossOrigin = $0 { true } else { false } } ?? false
                steps.append(
                    .init(
                        .origin, "of this origin", isMet: !isRefused,
                        note: !isRefused
                            ? ""
                            : hasOrigin
                                ? "a page of another origin uses the browser's credential"
                                : "csrf is strict, and the request says of no page"))
            }
            return steps
        }
        if case .undecided(let credential) = outcome.decision {
            return [
                .init(.token, settings.title(of: credential), isMet: nil, line: credentials.line, note: settings.unknown(of: credential))
            ]
        }
        if case .passwordWrong = refusal {
            let names = credentials.passwords.map { settings.title(of: .password($0)) }
            return [.init(.token, names.joined(separator: " or "), isMet: false, line: credentials.line, note: refusal?.detail ?? "")]
        }
        if case .authorizer(let refused) = refusal {
            return [
                .init(
                    .token, settings.title(of: .authorizer(refused.authorizer)), isMet: false, line: credentials.line,
                    note: refusal?.detail ?? "")
            ]
        }
        guard case .token(let error) = refusal else { return [] }
        var note = error.explanation
        if case .claimUnmet(let claim) = error { note += " (claim \(claim))" }
        return [.init(.token, accepted, isMet: false, line: credentials.line, note: note)]
    }

    private func demandSteps(_ match: RouteMatch, _ outcome: OfflinePolicy.Outcome, _ refusal: Refusal?) -> [Explanation.Step] {
        guard match.credentials != nil else { return forwardSteps(match, refusal) }
        let rule = match.rule.authorization
        let isAsked = outcome.identity != nil && refusal.map { if case .crossOrigin = $0 { false } else { true } } ?? true
        var steps: [Explanation.Step] = []
        for (index, line) in zip(rule.requirements, rule.requirementLines) {
            let requirement = settings.requirements.requirements[index]
            var (note, held): (String, [String]?) = ("not asked", nil)
            var isMet: Bool?
            if isAsked, let principal = outcome.identity?.principal {
                let scopes = settings.requirements.scopes(of: principal)
                isMet = principal.answers[index]
                held = scopes
                note = "held: \(scopes.isEmpty ? "none" : scopes.joined(separator: " "))"
                if isMet == false, let levels = settings.requirements.levels(of: index, held: scopes, of: principal.credential) {
                    note += " (\(settings.name(of: principal.credential)): \(levels))"
                }
            }
            steps.append(
                .init(
                    .scope, requirement.summary, isMet: isMet, line: line, note: note,
                    demand: requirement.isAny ? .any(requirement.names) : .all(requirement.names), held: held))
        }
        for demand in rule.rules {
            guard isAsked else {
                steps.append(.init(.rule, demand.text, isMet: nil, line: demand.line, note: "not asked"))
                continue
            }
            let values = demand.variables.map { "\($0.name) is \(shown($0, outcome.identity, outcome.context))" }
            steps.append(
                .init(
                    .rule, demand.text, isMet: demand.isMet(by: outcome.identity, in: outcome.context), line: demand.line,
                    note: values.joined(separator: ", ")))
        }
        return steps + forwardSteps(match, refusal)
    }

    private func upstreamName(_ match: RouteMatch) -> String { match.route.forwarding.map { settings.upstream($0.upstream).name } ?? "" }

    private func forwardSteps(_ match: RouteMatch, _ refusal: Refusal?) -> [Explanation.Step] {
        if case .reply(let reply) = match.route.action {
            var (isMet, note): (Bool?, String) = (refusal == nil ? true : nil, "the route answers by itself")
            if case .answerUnusable(let variable) = refusal { (isMet, note) = (false, "$\(variable.name) has no value that fits in") }
            return [.init(.answer, "\(reply.status)", isMet: isMet, line: reply.line, note: note)]
        }
        guard case .forwarding(let error) = refusal else { return [] }
        return [
            .init(
                .forward, upstreamName(match), isMet: false, line: match.route.line, note: error.explanation
            )
        ]
    }

    private func shown(_ template: Template, _ identity: Identity?, _ context: RequestContext) -> String {
        template.parts.map { part in
            switch part {
            case .text(let text): text
            case .variable(let variable): "\(variable.name) = \(shown(variable, identity, context))"
            }
        }.joined()
    }

    private func shown(_ variable: Variable, _ identity: Identity?, _ context: RequestContext) -> String {
        switch variable {
        case .claim(let name):
            guard let identity else { return "(of the token)" }
            return identity.principal.claims.texts(name).map { $0.joined(separator: " ") } ?? "(absent)"
        default: return context.value(of: variable).map { String(decoding: $0, as: UTF8.self) } ?? "(absent)"
        }
    }

    /// What would let the request in.
    private func advice(_ refusal: Refusal, _ outcome: OfflinePolicy.Outcome) -> String? {
        switch refusal {
        case .authorization(.scopeMissing(let scopes)):
            guard let principal = outcome.identity?.principal else { return nil }
            let isLevel = settings.requirements.hasLevels(principal.credential)
            let isAny = outcome.match?.rule.authorization.requirements.contains {
                let requirement = settings.requirements.requirements[$0]
                return requirement.isAny && requirement.text == scopes
            }
            let names = isAny ?? false ? scopes.split(separator: " ").joined(separator: " or ") : scopes
            return "It passes with \(names)" + (isLevel ? ", or in \(settings.name(of: principal.credential)) a higher level of it." : ".")
        case .authorization(.ruleUnmet(let rule)): return "It passes where \(rule) holds."
        case .token(.missing):
            let names = outcome.match?.credentials?.credentials.map { settings.name(of: $0) } ?? []
            return "It passes with a credential of \(names.joined(separator: " or ")), which meets what else is demanded."
        case .token(.issuerNotAccepted):
            let names = outcome.match?.credentials?.credentials.map { settings.name(of: $0) } ?? []
            return "The route accepts tokens of \(names.joined(separator: " or "))."
        case .methodNotAllowed(let allowed): return "It passes with \(allowed)."
        case .addressNotAllowed(let networks): return "It passes from \(networks)."
        case .crossOrigin: return "A page of this origin may do it, and a client that sends the token in a field."
        default: return nil
        }
    }

    // MARK: - What the upstream gets

    private func upstreamLines(_ outcome: OfflinePolicy.Outcome) -> [(text: String, source: String)] {
        guard let rule = outcome.match?.route.forwarding, !outcome.upstreamHead.isEmpty else { return [] }
        let own = Set(rule.headerNames.map { $0.lowercased() })
        let sent = Set(fields(outcome.context.head).map { "\($0.name): \($0.value)" })
        let lines = String(decoding: outcome.upstreamHead, as: UTF8.self).split(separator: "\r\n").map(String.init)
        return lines.enumerated().map { index, line in
            if index == 0 { return (line, rule.changesPath ? "the path as the route has it sent" : "") }
            let name = line.prefix { $0 != ":" }.lowercased()
            if name == "host" { return (line, rule.host == .keep ? "" : "set by the route") }
            if name == "authorization", rule.forwardsToken { return ("Authorization: Bearer (the token)", "set by the route") }
            if own.contains(name) { return (line, "set by the route") }
            if name == "cookie", !sent.contains(line) { return (line, "without the token") }
            return (line, sent.contains(line) ? "" : "set by the gateway")
        }
    }

    private func stripped(_ outcome: OfflinePolicy.Outcome) -> [Explanation.StrippedField] {
        guard !outcome.upstreamHead.isEmpty, let rule = outcome.match?.route.forwarding else { return [] }
        let lines = String(decoding: outcome.upstreamHead, as: UTF8.self).split(separator: "\r\n")
        let names = Set(lines.map { $0.prefix { $0 != ":" }.lowercased() })
        return settings.fieldFilter.withheld(outcome.context.head, outcome.identity, by: rule).compactMap { withheld in
            // A cookie field that goes on without the token is shown there.
            if withheld.reason == .cookies, names.contains("cookie") { return nil }
            return Explanation.StrippedField(name: withheld.name, reason: withheld.reason.rawValue)
        }
    }

    private func fields(_ head: borrowing RequestHead) -> [(name: String, value: String)] {
        head.fields.lines.map { line in (head.text(line.name), head.text(line.value)) }
    }
}
