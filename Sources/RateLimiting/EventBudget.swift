package import Time
import System

/// How many events of one kind a peer may still cause: resets, control frames, tokens that let nobody in.
package struct EventBudget {
    private let gcra: GCRA
    private var arrival = Instant.past

    package init(_ quota: Quota) { gcra = quota.gcra }

    /// Whether some of it is used at present.
    package func isTouched(at now: Instant) -> Bool { arrival > now }

    /// How long until one more event is within it; zero when one is now.
    package func pause(at now: Instant) -> Nanoseconds { gcra.decide(arrival: arrival.nanoseconds, now: now.nanoseconds).retryAfter }

    /// Counts one event; false when the budget is used up.
    @discardableResult package mutating func spend(at now: Instant) -> Bool {
        let decision = gcra.decide(arrival: arrival.nanoseconds, now: now.nanoseconds)
        arrival = Instant(nanoseconds: decision.arrival)
        return decision.isAllowed
    }
}
