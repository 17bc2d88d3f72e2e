import RateLimiting
import Time

/// What an operator has been told of a server: each change, and each other reason while it is away, but not each time where they come all the time.
struct ToldState {
    private var reason = ""
    private var toldAt = Instant.past
    private var budget = EventBudget(Quota(count: 1, window: .seconds(10), burst: 6))
    /// Changes that were not told of.
    private var untold = 0

    /// What is to be told now; nil for nothing.
    mutating func news(_ isAvailable: Bool, _ reason: String, isChange: Bool, at now: Instant) -> String? {
        // A connection that breaks and one that is refused are two reasons for the same.
        guard isChange || !isAvailable && reason != self.reason && now.since(toldAt) >= otherReasonAfter else { return nil }
        guard budget.spend(at: now) else {
            untold += 1
            return nil
        }
        self.reason = isAvailable ? "" : reason
        toldAt = now
        defer { untold = 0 }
        return untold == 0 ? reason : "\(reason) (it has changed \(untold) times since the last message)"
    }
}

private let otherReasonAfter = Nanoseconds.seconds(10)
