import Time

/// Bounds retries by the requests that there are: where all servers fail, as many more requests are the last thing that they need.
///
/// Each request adds a part of a retry to what there is, and so does time; what has gathered is bounded.
struct RetryBudget {
    private let ofRequest: Double
    private let ofSecond: Double
    private let most: Double
    private var left: Double
    private var filledAt: Instant

    init(_ rule: RetryRule, at now: Instant) {
        ofRequest = Double(rule.budgetPercent) / 100
        ofSecond = Double(rule.budgetMin)
        // What ten seconds bring where little is going on; where much is, a short burst.
        most = max(ofSecond * 10, rule.budgetPercent > 0 ? 50 : 0)
        left = ofSecond * 10
        filledAt = now
    }

    mutating func requestBegan() { left = min(most, left + ofRequest) }

    /// Whether there is one retry left.
    mutating func has(at now: Instant) -> Bool {
        left = min(most, left + ofSecond * Double(now.since(filledAt).count) / 1e9)
        filledAt = now
        return left >= 1
    }

    mutating func take() { left -= 1 }
}
