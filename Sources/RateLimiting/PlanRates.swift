import Authentication
import Time

/// What plans a Redis has beside those of the file: a hash whose fields are values of the claim, and whose values are rates, such as `6000/minute burst 500`. An
/// operator changes one customer's rate there, and all gateways go by it within seconds. Belongs to the worker's loop.
package final class PlanRates {
    /// Where they stand.
    package struct Source: Equatable, Sendable {
        package let store: String
        /// Of the hash; see ``RemoteStore/read(rates:_:)``.
        package let name: String
    }

    let source: Source
    private let limit: Limit
    /// Plans have numbers; those of the file come first.
    private let firstNumber: Int
    private var quotas: [Quota] = []
    private var numbers: [String: Int] = [:]
    private var numberOf: [String: Int] = [:]
    /// When they are read next.
    var dueAt = Instant.past
    /// Whether the store has said them, or that it does not.
    private(set) var isSettled = false
    /// What was said of the last reading, so that it is said once.
    var told = ""

    init?(_ limit: Limit) {
        guard let plans = limit.plans, let source = plans.source else { return nil }
        self.limit = limit
        self.source = source
        firstNumber = plans.all.count
    }

    /// Takes what stands there now.
    ///
    /// - Returns: values that are none, of which what they were before holds; empty for none.
    func take(_ fields: [(name: String, value: String)]?) -> [String] {
        isSettled = true
        guard let fields else { return [] }
        var wrong: [String] = []
        var next: [String: Int] = [:]
        for (name, value) in fields.prefix(fieldsMax) {
            if let number = number(of: value) {
                next[name] = number
            } else {
                wrong.append(
                    quotas.count < ratesMax
                        ? "\(name.prefix(40)): '\(value.prefix(40))'" : "one more than \(ratesMax) different ones since the last reload")
                next[name] = numberOf[name]
            }
        }
        if fields.count > fieldsMax { wrong.append("more than \(fieldsMax) fields") }
        numberOf = next
        return wrong
    }

    /// - Returns: nil where no value of the claim stands there.
    func quota(for identity: Identity?, claim: String) -> Quota? {
        guard !numberOf.isEmpty, let texts = identity?.principal.claims.texts(claim) else { return nil }
        for text in texts { if let number = numberOf[text] { return quota(number) } }
        return nil
    }

    /// All that were ever read.
    var all: [Quota] { quotas }

    func quota(named name: String) -> Quota? { numberOf[name].flatMap { quota($0) } }

    /// What a plan with this number lets through.
    func quota(_ number: Int) -> Quota? {
        quotas.indices.contains(number - firstNumber) ? quotas[number - firstNumber] : nil
    }

    /// One rate has one number, for all who have it: there are few of them.
    private func number(of text: String) -> Int? {
        if let present = numbers[text] { return present }
        guard quotas.count < ratesMax, var quota = Self.quota(text, limit.plans?.defaultQuota), limit.canHave(quota) else { return nil }
        quota.plan = firstNumber + quotas.count
        quotas.append(limit.adjusted(quota))
        numbers[text] = quotas.last?.plan
        return quotas.last?.plan
    }

    /// - Parameter usual: plans that count in windows have windows of one length.
    private static func quota(_ text: String, _ usual: Quota?) -> Quota? {
        let words = text.split(separator: " ").map(String.init)
        guard let first = words.first, let rate = Rate(first) else { return nil }
        if let windows = usual?.windows {
            guard words.count == 1, rate.window == usual?.window, rate.count <= windows.countMax else { return nil }
            return Quota(
                count: rate.count, window: rate.window, windows: Windows(windows.kind, count: rate.count, length: windows.length))
        }
        if words.count == 1 { return Quota(count: rate.count, window: rate.window) }
        guard words.count == 3, words[1] == "burst", let burst = Int(words[2]), 1...1_000_000_000 ~= burst, rate.canHave(burst: burst)
        else { return nil }
        return Quota(count: rate.count, window: rate.window, burst: UInt64(burst))
    }
}

/// What a reply can have, and different rates in the life of a worker.
private let fieldsMax = 4_096
private let ratesMax = 4_096
