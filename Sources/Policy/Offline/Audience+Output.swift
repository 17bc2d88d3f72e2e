import Authentication
import ConfigFile

extension Audience {
    /// For a terminal.
    package var text: String {
        var lines: [String] = []
        if let route { lines.append("route      \(route.name)   \(route.line)") }
        switch kind {
        case .everybody(let networks):
            lines.append(
                networks.isEmpty
                    ? "Everybody passes: it is public."
                    : "Everybody passes who comes from \(networks.joined(separator: ", and from ")): it is public.")
        case .nobody(let reason): lines.append("Nobody passes: \(reason)")
        case .bearers(let issuers, let authorizers, let networks, let passwords, let scopes, let rules):
            for issuer in issuers {
                let audience = issuer.audiences.isEmpty ? "any audience" : "for \(issuer.audiences.joined(separator: " or "))"
                let rules = issuer.rules.map {
                    "\($0.claim) \($0.comparison == .isOneOf ? "is" : "is not") \($0.values.joined(separator: " or "))"
                }
                lines.append("token of   \(issuer.name)   \(issuer.url)   \(([audience] + rules).joined(separator: ", "))")
            }
            for name in authorizers { lines.append("let in by  \(name)") }
            for name in passwords { lines.append("password   \(name)") }
            for text in networks { lines.append("from       \(text)   without a credential") }
            for scope in scopes { lines.append("scope      \(scope.text)   \(scope.line)") }
            for rule in rules { lines.append("rule       \(rule.text)   \(rule.line)") }
            if scopes.isEmpty, rules.isEmpty, !issuers.isEmpty {
                lines.append("Every token of \(issuers.count == 1 ? "this issuer" : "these issuers") passes.")
            }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// For a program.
    package var json: String {
        var output = JSONText()
        output.object { output in
            output.member("version", 1)
            output.member("policy", policyID)
            output.member("target", target)
            output.route(route)
            switch kind {
            case .everybody(let networks):
                output.member("passes", "everybody")
                if !networks.isEmpty { output.member("from", networks) }
            case .nobody(let reason):
                output.member("passes", "nobody")
                output.member("reason", reason)
            case .bearers(let issuers, let authorizers, let networks, let passwords, let scopes, let rules):
                output.member("passes", "bearers")
                output.member("issuers", issuers.map(\.name))
                if !authorizers.isEmpty { output.member("authorizers", authorizers) }
                if !passwords.isEmpty { output.member("htpasswd", passwords) }
                if !networks.isEmpty { output.member("networks", networks) }
                for (name, demands) in [("scopes", scopes), ("rules", rules)] {
                    output.objects(name, of: demands) { output, demand in
                        output.member("demand", demand.text)
                        output.place(demand.line)
                    }
                }
            }
        }
        return output.text + "\n"
    }
}
