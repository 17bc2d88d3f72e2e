import RateLimiting
import System

/// What one connection may still do of something that costs its sender nothing.
struct Budget {
    private let quota: Quota
    private var arrival: UInt64 = 0

    init(_ quota: Quota) { self.quota = quota }

    /// Whether some of it is used at present.
    func isTouched(at now: Instant) -> Bool { arrival > now.nanoseconds }

    /// False when it is used up.
    mutating func take(at now: Instant) -> Bool {
        let decision = quota.decide(arrival: arrival, now: now.nanoseconds)
        arrival = decision.arrival
        return decision.isAllowed
    }
}
