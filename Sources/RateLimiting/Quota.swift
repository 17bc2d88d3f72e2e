package import Time

/// How many requests a limit lets through, as the file says it.
package struct Quota: Equatable, Sendable {
    /// Requests per `window`.
    package let count: UInt64
    package let window: Nanoseconds
    /// How many may come at once.
    package let burst: UInt64
    package let gcra: GCRA
    /// Nil for what ``gcra`` counts: most quotas carry one word for the others.
    private let other: Other?
    /// Its place among a limit's ``Plans``.
    package var plan = 0

    /// Of tokens of one address that let nobody in, where the file says nothing.
    package static let usualFailedTokens = Quota(count: 100, window: .seconds(10))

    /// - Parameter delay: how long requests beyond the burst may wait for their turn.
    package init(
        count: UInt64, window: Nanoseconds, burst: UInt64? = nil, windows: Windows? = nil, lockout: Lockout? = nil,
        delay: Nanoseconds = .zero
    ) {
        self.count = count
        self.window = window
        self.burst = burst ?? count
        other = windows != nil || lockout != nil ? Other(windows, lockout) : nil
        let cost = max(1, window.count / max(1, count))
        let (product, overflow) = cost.multipliedReportingOverflow(by: self.burst)
        gcra = GCRA(cost: cost, tolerance: (overflow ? .max / 4 : product) + delay.count)
    }

    /// Where requests are counted in windows; then ``gcra`` is used alone where many keys share one bucket.
    package var windows: Windows? { other?.windows }
    /// Where failures are counted, and lock the key; then ``gcra`` is used as with windows.
    package var lockout: Lockout? { other?.lockout }

    /// The same, whose requests beyond the burst wait for their turn, so long at most.
    func delaying(_ delay: Nanoseconds) -> Quota {
        var quota = Quota(count: count, window: window, burst: burst, delay: delay)
        quota.plan = plan
        return quota
    }

    /// How long requests beyond the burst may wait for their turn.
    var delay: Nanoseconds { Nanoseconds(isPlain ? gcra.tolerance - min(gcra.tolerance, gcra.cost(of: burst)) : 0) }

    /// How long a request waits for its turn that was let through; less than what a timer can tell is nothing.
    func turn(after decision: GCRA.Decision) -> Nanoseconds {
        let burst = gcra.cost(of: burst)
        let turn = min(delay.count, decision.resetAfter.count - min(decision.resetAfter.count, burst))
        return turn < turnMin ? .zero : Nanoseconds(turn)
    }

    /// What is told of a decision: requests that may come at once, of which none would wait, and until there is one more.
    func told(_ decision: GCRA.Decision) -> (remaining: UInt64, nextAfter: Nanoseconds) {
        let ahead = decision.resetAfter.count
        guard delay > .zero, decision.isAllowed else {
            return (decision.remaining, decision.nextAfter ?? gcra.nextAfter(ahead: ahead))
        }
        let burst = GCRA(cost: gcra.cost, tolerance: gcra.cost(of: burst))
        let left = ahead >= burst.tolerance + slack ? 0 : (burst.tolerance + slack - ahead) / gcra.cost
        return (min(left, decision.remaining), burst.nextAfter(ahead: ahead))
    }

    /// The same, of which so many hundredths of what may come at once are left to others.
    func leaving(_ percent: UInt64) -> Quota {
        func reduced(_ count: UInt64) -> UInt64 { max(1, count - count.multipliedReportingOverflow(by: percent).partialValue / 100) }
        var quota =
            windows.map {
                Quota(count: reduced($0.count), window: window, windows: Windows($0.kind, count: reduced($0.count), length: $0.length))
            } ?? Quota(count: count, window: window, burst: reduced(burst))
        quota.plan = plan
        return quota
    }

    /// Whether ``gcra`` counts it.
    var isPlain: Bool { other == nil }

    private final class Other: Equatable, Sendable {
        let windows: Windows?
        let lockout: Lockout?

        init(_ windows: Windows?, _ lockout: Lockout?) { (self.windows, self.lockout) = (windows, lockout) }

        static func == (one: Other, two: Other) -> Bool { one.windows == two.windows && one.lockout == two.lockout }
    }

    /// What a bucket of the table says of the limit.
    var bucketCost: UInt64 { other == nil ? gcra.cost : 0 }
    var bucketMost: UInt64 {
        guard other != nil else { return gcra.tolerance }
        if let lockout { return lockout.failures | lockoutMark }
        guard let windows else { return gcra.tolerance }
        return windows.keepsPrevious ? windows.count | slidingMark : windows.count
    }
}

/// What a timer of the loop can tell apart.
private let turnMin: UInt64 = 4_000_000
/// What a store rounds.
private let slack: UInt64 = 2_000
