import Time
import System

/// Parts of quotas that a worker has taken from a store and spends by itself (`lease N`). Of fixed size: four places for each set of
/// keys; the lease that has least left gives way, and what was left of it is lost.
///
/// What is spent here was charged in the store before. So the store never grants more than the quota, but what it granted may be spent
/// later: in any stretch of time at most `N` requests a worker more than rate and burst allow. A lease that is not spent in the time in
/// which the quota grows back by as much is given up, after a second at the earliest.
///
/// What is given up is lost to the key. So a lease begins with one request and doubles each time it is spent to its end in its time: a key
/// that is rarely used loses nothing, and one that is used much loses at most one lease a worker when it stops.
struct LeaseTable {
    /// What a worker holds of one key.
    struct Lease {
        var fingerprint: UInt64 = 0
        var left: UInt64 = 0
        /// How large the lease was.
        var size: UInt64 = 0
        /// What the store had left when it granted the lease, and when the whole quota would be back.
        var leftInStore: UInt64 = 0
        var wholeAt = Instant.past
        var end = Instant.past
    }

    private static let ways = 4
    private static let sets = 4_096
    /// Made with the first lease.
    private var places: [Lease] = []

    /// Spends one request of a lease; nil when there is none.
    mutating func spend(_ fingerprint: UInt64, at now: Instant) -> Lease? {
        guard let place = find(fingerprint), places[place].left > 0, places[place].end > now else { return nil }
        places[place].left -= 1
        return places[place]
    }

    /// How large the next lease of a key should be.
    func nextSize(_ fingerprint: UInt64, most: UInt64, at now: Instant) -> UInt64 {
        guard let place = find(fingerprint), places[place].end > now else { return 1 }
        return min(most, max(1, places[place].size.multipliedReportingOverflow(by: 2).partialValue))
    }

    /// A request that was spent does not count after all; false when its lease is gone, or would become larger than one may be.
    ///
    /// - Parameter end: of the lease that it was spent from: to another one it does not belong.
    mutating func giveBack(_ fingerprint: UInt64, of end: Instant, most: UInt64, at now: Instant) -> Bool {
        guard let place = find(fingerprint), places[place].end == end, end > now, places[place].left < most else { return false }
        places[place].left += 1
        return true
    }

    /// Keeps a lease of `granted` requests.
    ///
    /// - Parameters:
    ///   - most: what is granted beyond is dropped.
    ///   - size: how large it counts as for the next one: not more for the requests that wait for it already.
    mutating func keep(_ decision: GCRA.Decision, most: UInt64, size: UInt64, of quota: Quota, for fingerprint: UInt64, at now: Instant) {
        if places.isEmpty { places = [Lease](repeating: Lease(), count: Self.sets * Self.ways) }
        let first = firstPlace(fingerprint)
        var chosen = find(fingerprint) ?? -1
        if chosen < 0 {
            chosen = first
            for place in first..<first + Self.ways where worth(place, now) < worth(chosen, now) { chosen = place }
        }
        let lifetime = max(leaseMin, Nanoseconds(quota.gcra.cost) * decision.granted)
        let rest = places[chosen].fingerprint == fingerprint && places[chosen].end > now ? places[chosen].left : 0
        places[chosen] = Lease(
            fingerprint: fingerprint, left: max(rest, min(decision.granted, most)), size: size, leftInStore: decision.remaining,
            wholeAt: now.adding(decision.resetAfter), end: now.adding(lifetime))
    }

    private func worth(_ place: Int, _ now: Instant) -> UInt64 { places[place].end > now ? places[place].left : 0 }

    private func find(_ fingerprint: UInt64) -> Int? {
        guard !places.isEmpty else { return nil }
        let first = firstPlace(fingerprint)
        for place in first..<first + Self.ways where places[place].fingerprint == fingerprint { return place }
        return nil
    }

    private func firstPlace(_ fingerprint: UInt64) -> Int { Int(fingerprint % UInt64(Self.sets)) * Self.ways }
}

private let leaseMin = Nanoseconds.seconds(1)
