import Authentication
import Authorization
import Bytes
package import ConfigFile
package import Configuration
import Forwarding

/// The outcome of a file's own tests.
package struct PolicyTestRun {
    package struct Result {
        package let test: String
        package let tested: PolicyTest.Case
        /// What happened in place of what was expected; nil where it holds.
        package let failure: String?
    }

    package let results: [Result]
    package let coverage: PolicyCoverage

    package var failures: [Result] { results.filter { $0.failure != nil } }

    /// Runs the cases of a file.
    ///
    /// - Parameters:
    ///   - name: of the test to run; nil for all.
    ///   - now: seconds since 1970.
    package init(_ settings: Settings, named name: String? = nil, at now: UInt64) {
        let policy = OfflinePolicy(settings) { _ in nil }
        var coverage = PolicyCoverage(settings)
        var results: [Result] = []
        for test in settings.tests where name == nil || test.name == name {
            // What a persona's token would say is looked at once, and not for each request.
            var bearers: [String: OfflineRequest.Bearer] = [:]
            for tested in test.cases {
                var request = OfflineRequest(tested.method, url: tested.url, time: now)
                request.fields = tested.fields
                request.clientIP = tested.clientIP
                request.authorizersRefuse = true
                let bearer = bearers[tested.persona.name] ?? Self.bearer(tested.persona, policy, at: now)
                bearers[tested.persona.name] = bearer
                request.bearer = bearer
                let outcome = policy.decide(request)
                coverage.count(outcome)
                let failure = Self.failure(tested.expectation, outcome, settings).map { settings.redaction($0) }
                results.append(Result(test: test.name, tested: tested, failure: failure))
            }
        }
        self.results = results
        self.coverage = coverage
    }

    private static func bearer(_ persona: PolicyTest.Persona, _ policy: OfflinePolicy, at now: UInt64) -> OfflineRequest.Bearer {
        guard var claims = persona.claims else { return .fields }
        let issuers = policy.settings.issuers
        if claims.credential == nil, let issuer = try? claims.issuer(among: issuers) {
            claims.complete(for: issuers[issuer.index], at: now)
        }
        return .checked(policy.check(claims, at: now))
    }

    private static func failure(
        _ expectation: PolicyTest.Expectation, _ outcome: OfflinePolicy.Outcome, _ settings: Settings
    ) -> String? {
        let got = description(outcome, settings)
        switch (expectation, outcome.decision) {
        case (.allow(let upstream, let fields), .forwarded(let match, _)):
            if let upstream, match.route.forwarding.map({ settings.upstream($0.upstream).name }) != upstream { return got }
            let lines = String(decoding: outcome.upstreamHead, as: UTF8.self).split(separator: "\r\n")
            for field in fields where !lines.contains(where: { same($0, field) }) {
                let name = field.prefix { $0 != ":" }.lowercased()
                let present = lines.filter { $0.prefix { $0 != ":" }.lowercased() == name }
                return got + (present.isEmpty ? ", without the field \(name)" : ", with \(present.joined(separator: " and "))")
            }
            return nil
        case (.refuse(let status, let reason), .refused(let refusal)):
            if let status, outcome.status != status { return got }
            if let reason, refusal.reason != reason { return got }
            if status == nil, reason == nil, refusal.isOfMalformedRequest {
                return got + "; a test that means that says so: \(refusal.status)"
            }
            return nil
        case (.answer(let status, let reason), .replied(let reply)):
            if let status, reply.status != status { return got }
            if let reason, reply.reason != reason { return got }
            return nil
        default: return got
        }
    }

    /// Whether two field lines are one: names are compared without case.
    private static func same(_ line: Substring, _ field: String) -> Bool {
        let (name, other) = (line.prefix { $0 != ":" }, field.prefix { $0 != ":" })
        return name.lowercased() == other.lowercased() && String(line.dropFirst(name.count)).isExactly(String(field.dropFirst(other.count)))
    }

    private static func description(_ outcome: OfflinePolicy.Outcome, _ settings: Settings) -> String {
        var place: [String] = []
        if let route = outcome.route { place.append("route \(route.name), \(outcome.match?.rule.line ?? route.line)") }
        if let rule = outcome.match?.rule.authorization {
            place += rule.requirements.map { "scope \(settings.requirements.requirements[$0].summary)" }
        }
        let suffix = place.isEmpty ? "" : " (\(place.joined(separator: ", ")))"
        switch outcome.decision {
        case .forwarded(let match, _):
            return "forwarded to \(match.route.forwarding.map { settings.upstream($0.upstream).name } ?? "")\(suffix)"
        case .replied(let reply): return "answered \(reply.status) \(reply.reason)\(suffix)"
        case .refused(let refusal): return "refused \(outcome.status ?? refusal.status) \(refusal.reason)\(suffix)"
        case .undecided(let credential): return "undecided: \(settings.unknown(of: credential))"
        }
    }
}

extension PolicyTestRun {
    /// Runs the tests of a file that has no other error, and reports those that do not hold as its errors.
    package static func check(_ settings: Settings, at now: UInt64, _ diagnostics: Diagnostics) {
        guard diagnostics.isEmpty, !settings.tests.isEmpty else { return }
        for result in PolicyTestRun(settings, at: now).results {
            guard let failure = result.failure else { continue }
            diagnostics.error(
                "the test '\(result.test)' does not hold", at: result.tested.position,
                hint: "got: \(failure); correct the routes, or the test")
        }
    }
}
