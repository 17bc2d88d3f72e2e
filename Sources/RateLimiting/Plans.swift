import Time
package import Authentication
import ConfigFile

/// What a limit lets through by what a claim says: `rate $claim.plan { free 60/minute; pro 6000/minute burst 500; default free; }`.
///
/// Whose claim has another value, or none, has the default; so no token has more than the file says.
package struct Plans: Sendable {
    package let claim: String
    /// In the order of the file; ``Quota/plan`` is the place here. A default that has no name of its own is the last one.
    package let all: [(name: String, quota: Quota)]
    /// Where more of them stand, that go before those of the file.
    package let source: PlanRates.Source?
    private let places: [String: Int]
    private let fallback: Int

    /// - Parameter window: of `window fixed|sliding`.
    init?(_ directive: Directive, _ window: Windows.Kind?, stores: Set<String>, _ diagnostics: Diagnostics) {
        let errors = diagnostics.count
        guard directive.hasArguments(1...1, "$claim.NAME { PLAN COUNT/TIME burst COUNT; … default PLAN; }", diagnostics) else { return nil }
        guard case .claim(let claim)? = Variable(String(directive.arguments[0].text.dropFirst())),
            directive.arguments[0].text.hasPrefix("$")
        else {
            diagnostics.error(
                "'\(directive.arguments[0].text)' is no claim", at: directive.arguments[0],
                hint: "write rate $claim.plan { … } or rate 100/minute;")
            return nil
        }
        var all: [(name: String, quota: Quota)] = []
        var places: [String: Int] = [:]
        var defaults: [Directive] = []
        var source: PlanRates.Source?
        for plan in directive.block ?? [] {
            if plan.name.text == "redis", plan.arguments.count == 2, plan.block == nil {
                if source != nil { diagnostics.error("plans stand in one redis", at: plan.name) }
                let name = plan.arguments[1].text
                if !name.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != 0x7B && $0 != 0x7D }) || name.utf8.count > 64 {
                    diagnostics.error("'\(name)' is no name of rates", at: plan.arguments[1], hint: "write redis NAME customers;")
                }
                if !stores.contains(plan.arguments[0].text) {
                    diagnostics.error(
                        "there is no redis '\(plan.arguments[0].text)'", at: plan.arguments[0],
                        hint: nearest(to: plan.arguments[0].text, among: stores).map { "did you mean '\($0)'?" }
                            ?? "define it with: redis \(plan.arguments[0].text) { … }")
                }
                source = PlanRates.Source(store: plan.arguments[0].text, name: name)
                continue
            }
            if plan.name.text == "default" {
                defaults.append(plan)
                continue
            }
            if places[plan.name.text] != nil { diagnostics.error("the plan '\(plan.name.text)' stands twice", at: plan.name) }
            guard let quota = Self.quota(plan, place: all.count, window, diagnostics) else { continue }
            places[plan.name.text] = all.count
            all.append((plan.name.text, quota))
        }
        var fallback: Int?
        if let first = defaults.first {
            if let second = defaults.dropFirst().first { diagnostics.error("a limit has one default", at: second.name) }
            if first.arguments.count == 1, first.block == nil, let named = places[first.arguments[0].text] {
                fallback = named
            } else if let word = first.arguments.first, !word.text.contains("/") {
                diagnostics.error(
                    "there is no plan '\(word.text)'", at: word,
                    hint: nearest(to: word.text, among: places.keys).map { "did you mean '\($0)'?" }
                        ?? "name one of the plans, or write a rate")
            } else if let quota = Self.quota(first, place: all.count, window, diagnostics) {
                fallback = all.count
                all.append(("default", quota))
            }
        } else {
            diagnostics.error(
                "what has a token whose \(claim) is none of these?", at: directive.name, hint: "add: default PLAN; or default 10/minute;")
        }
        if let window, let first = all.first?.quota, all.contains(where: { $0.quota.window != first.window }) {
            diagnostics.error(
                "plans that count in windows have windows of one length", at: directive.name,
                hint:
                    "who has two tokens would begin again with each change; \(window == .fixed ? "use the same TIME" : "or remove window")")
        }
        guard diagnostics.count == errors, let fallback else { return nil }
        (self.claim, self.all, self.places, self.fallback) = (claim, all, places, fallback)
        self.source = source
    }

    private static func quota(_ plan: Directive, place: Int, _ window: Windows.Kind?, _ diagnostics: Diagnostics) -> Quota? {
        guard plan.takes(1...3, "COUNT/TIME burst COUNT", diagnostics), let rate = Rate(plan.arguments[0], diagnostics) else { return nil }
        var burst: UInt64?
        if plan.arguments.count > 1 {
            let count = plan.arguments.count == 3 ? Int(plan.arguments[2].text) : nil
            guard plan.arguments[1].text == "burst", let count, 1...1_000_000_000 ~= count, rate.canHave(burst: count), window == nil else {
                diagnostics.error(
                    window == nil ? "what is behind the rate is no burst" : "a window has no burst", at: plan.arguments[1],
                    hint: "write \(plan.name.text) \(plan.arguments[0].text) burst 50;")
                return nil
            }
            burst = UInt64(count)
        }
        if let window {
            let windows = Windows(window, count: rate.count, length: rate.window.milliseconds)
            if rate.window < .seconds(1) || rate.count > windows.countMax {
                diagnostics.error(
                    rate.window < .seconds(1)
                        ? "a window of less than a second is none that can be told" : "a sliding window counts up to \(windows.countMax)",
                    at: plan.arguments[0], hint: "remove window")
                return nil
            }
        }
        var quota = Quota(
            count: rate.count, window: rate.window, burst: burst,
            windows: window.map { Windows($0, count: rate.count, length: rate.window.milliseconds) })
        quota.plan = place
        return quota
    }

    private init(_ plans: Plans, _ change: (Quota) -> Quota) {
        (claim, places, fallback, source) = (plans.claim, plans.places, plans.fallback, plans.source)
        all = plans.all.map { ($0.name, change($0.quota)) }
    }

    /// The same plans with other quotas.
    func changing(_ change: (Quota) -> Quota) -> Plans { Plans(self, change) }

    package var defaultQuota: Quota { all[fallback].quota }

    /// - Returns: nil where no plan is named that there is.
    package func quota(for identity: Identity?) -> Quota? {
        guard let texts = identity?.principal.claims.texts(claim) else { return nil }
        for text in texts { if let place = places[text] { return all[place].quota } }
        return nil
    }

    /// As the file says it.
    package var text: String {
        "$claim.\(claim) " + all.map { "\($0.name) \($0.quota.count)/\($0.quota.window.count) \($0.quota.burst)" }.joined(separator: ", ")
            + " default \(all[fallback].name)" + (source.map { " and \($0.name) of redis \($0.store)" } ?? "")
    }
}
