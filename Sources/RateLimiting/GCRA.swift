package import Time

/// The generic cell rate algorithm: one number for each key, the theoretical arrival time (TAT), is all the state there is.
/// Source: ITU-T I.371 annex A.
package struct GCRA: Equatable, Sendable {
    /// Nanoseconds that one request costs.
    package let cost: UInt64
    /// How far the TAT may run ahead of now, in nanoseconds.
    package let tolerance: UInt64

    package struct Decision: Equatable, Sendable {
        package let isAllowed: Bool
        /// How many requests were charged: more than one where a lease was asked for.
        package let granted: UInt64
        /// The TAT to store; unchanged when refused.
        package let arrival: UInt64
        /// Requests that may come at once from now on.
        package let remaining: UInt64
        /// Until all of the burst is there again.
        package let resetAfter: Nanoseconds
        /// Until one more request is allowed; zero when it is now.
        package let retryAfter: Nanoseconds
        /// What had been taken back of the key's charges when this one was made.
        package var refundedBefore: UInt64 = 0
        /// Until there is more than now, where it is no GCRA that has decided.
        package var nextAfter: Nanoseconds?
        /// How often a key was locked out that is; nil where it is not, or where nobody counts that.
        package var level: UInt64?
        /// What was counted in windows.
        package var counts: Windows.Counts?

        /// The same, of which somebody else has taken more with the same grant: until all is there again takes as long as it does of the whole.
        func asPart(of whole: Decision) -> Decision {
            var part = Decision(
                isAllowed: isAllowed, arrival: arrival, remaining: remaining, resetAfter: whole.resetAfter, retryAfter: retryAfter)
            part.refundedBefore = refundedBefore
            return part
        }

        package var charge: Charge { Charge(end: arrival, refundedBefore: refundedBefore, units: max(1, granted)) }

        package init(
            isAllowed: Bool, granted: UInt64 = 1, arrival: UInt64, remaining: UInt64, resetAfter: Nanoseconds, retryAfter: Nanoseconds
        ) {
            self.isAllowed = isAllowed
            self.granted = isAllowed ? granted : 0
            self.arrival = arrival
            self.remaining = remaining
            self.resetAfter = resetAfter
            self.retryAfter = retryAfter
        }
    }

    /// One charge, as it has to be known to be taken back: where it stands among the others.
    package struct Charge: Equatable, Sendable {
        /// The TAT that it made.
        package let end: UInt64
        /// All that had been taken back of the key before.
        package let refundedBefore: UInt64
        /// How many requests it counts for.
        package let units: UInt64

        package init(end: UInt64, refundedBefore: UInt64, units: UInt64 = 1) {
            self.end = end
            self.refundedBefore = refundedBefore
            self.units = units
        }
    }

    /// How much of a charge may be taken back at `now`: what is left of it, and no more. The charges of a key are worn off one after the
    /// other, each `cost` long; this one's turn ends with the TAT that it made, earlier by what has been taken back since of others.
    ///
    /// So a refund that is saved up is worth nothing: what has worn off by itself is not given back.
    ///
    /// - Parameters:
    ///   - arrival: the key's TAT.
    ///   - refunded: all that has been taken back of the key so far.
    package func refundable(_ charge: Charge, arrival: UInt64, refunded: UInt64, now: UInt64) -> UInt64 {
        let end = charge.end - min(charge.end, refunded &- charge.refundedBefore)
        let start = end - min(end, cost(of: charge.units))
        let left = end > max(start, now) ? end - max(start, now) : 0
        return min(left, arrival > now ? arrival - now : 0)
    }

    /// What each of several requests is told that were asked for at once, of which as many were granted as there were: the first ones are.
    package func parts(of decision: Decision, for count: Int) -> [Decision] {
        let granted = decision.isAllowed ? min(decision.granted, UInt64(count)) : 0
        return (0..<UInt64(count)).map { index in
            let ahead = decision.resetAfter.count
            guard index < granted else {
                let (next, overflow) = ahead.addingReportingOverflow(cost)
                let wait = overflow ? cost : next - min(next, tolerance)
                return Decision(
                    isAllowed: false, arrival: decision.arrival, remaining: 0, resetAfter: decision.resetAfter,
                    retryAfter: granted == 0 ? decision.retryAfter : Nanoseconds(max(1, wait)))
            }
            let after = granted - 1 - index
            let later = cost(of: after)
            var part = Decision(
                isAllowed: true, arrival: decision.arrival - min(decision.arrival, later), remaining: decision.remaining &+ after,
                resetAfter: Nanoseconds(ahead - min(ahead, later)), retryAfter: .zero)
            part.refundedBefore = decision.refundedBefore
            return part
        }
    }

    /// Until one request more than now may come at once, of a key whose TAT is so far ahead of now. Where none may, that is how long the next one
    /// has to wait.
    package func nextAfter(ahead: UInt64) -> Nanoseconds {
        let left = ahead >= tolerance ? 0 : (tolerance - ahead) / cost
        let (wanted, overflow) = (left + 1).multipliedReportingOverflow(by: cost)
        let (needed, overflows) = ahead.addingReportingOverflow(wanted)
        return Nanoseconds(overflow || overflows ? cost : needed > tolerance ? needed - tolerance : 0)
    }

    /// What so many requests cost; where there are too many to say, more than any quota has.
    package func cost(of units: UInt64) -> UInt64 {
        let (product, overflow) = cost.multipliedReportingOverflow(by: units)
        return overflow ? .max : product
    }

    /// The TAT of a key after it was charged for so many requests, as far as the quota has them.
    func charged(arrival: UInt64, units: UInt64, now: UInt64) -> UInt64 {
        let (next, overflow) = max(arrival, now).addingReportingOverflow(cost(of: units))
        let (most, isEndless) = now.addingReportingOverflow(tolerance)
        return max(arrival, overflow || !isEndless && next > most ? (isEndless ? .max : most) : next)
    }

    /// Decides on a request at `now`, of a key whose TAT is `arrival` (0 for a new key).
    ///
    /// - Parameter units: how many requests it counts for: all of them are charged or none.
    package func decide(arrival: UInt64, now: UInt64, units: UInt64 = 1) -> Decision {
        let current = max(arrival, now)
        let cost = cost(of: units)
        let (next, overflow) = current.addingReportingOverflow(cost)
        let isAllowed = !overflow && next - now <= tolerance
        let kept = isAllowed ? next : current
        let ahead = kept - now
        return Decision(
            isAllowed: isAllowed, granted: units, arrival: isAllowed ? next : arrival,
            remaining: ahead >= tolerance ? 0 : (tolerance - ahead) / self.cost, resetAfter: Nanoseconds(ahead),
            retryAfter: Nanoseconds(isAllowed ? 0 : overflow ? self.cost : next - now - tolerance))
    }
}
