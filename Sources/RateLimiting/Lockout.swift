import Time

/// Failures that lock a key out, each time for longer: `lockout 5/5m { status 401 403; for 1m; grow 2; until 24h; forget 24h; reset_status 200; }`.
///
/// Every attempt is charged before it goes on, so that of many at once no more pass than failures are allowed. One that has not failed is taken back. The
/// last failure that is allowed locks the key; attempts meanwhile are refused, and prolong nothing. The level, by which the time grows, outlives the
/// lock, and is forgotten when the key has been quiet for long enough.
package struct Lockout: Equatable, Sendable {
    /// How many failures lock the key.
    package let failures: UInt64
    /// Within how many seconds.
    package let window: UInt64
    /// Statuses of responses that are failures.
    package let statuses: [Int]
    /// Those after which the key begins again.
    package let resetStatuses: [Int]
    /// Seconds: for how long the first lock holds, how much longer the next one, and what none is longer than.
    package let first: UInt64
    package let growth: UInt64
    package let most: UInt64
    /// Seconds without an attempt after which the level is forgotten.
    package let forgetAfter: UInt64

    package init(
        failures: UInt64, window: UInt64, statuses: [Int], resetStatuses: [Int], first: UInt64, growth: UInt64, most: UInt64,
        forgetAfter: UInt64
    ) {
        self.failures = failures
        self.window = window
        self.statuses = statuses
        self.resetStatuses = resetStatuses
        self.first = first
        self.growth = growth
        self.most = most
        self.forgetAfter = forgetAfter
    }

    /// For how long a key is locked that was locked so often before.
    package func length(level: UInt64) -> UInt64 {
        var length = first
        for _ in 0..<min(level, 64) where length < most {
            length = length.multipliedReportingOverflow(by: growth).overflow ? most : length * growth
        }
        return min(length, most)
    }

    /// What became of an attempt that was let through.
    package enum Outcome: UInt64 {
        case passed, failed, reset
    }

    func outcome(of status: Int) -> Outcome {
        statuses.contains(status) ? .failed : resetStatuses.contains(status) ? .reset : .passed
    }

    /// What is known of a key.
    package struct State: Equatable, Sendable {
        /// Seconds since 1970: where it is locked, until when; otherwise since when attempts are counted, or when the last lock ended.
        package var moment: UInt64 = 0
        package var isLocked = false
        /// How often it was locked.
        package var level: UInt64 = 0
        /// Attempts that have failed, or of which nobody knows yet.
        package var charged: UInt64 = 0
        package var failed: UInt64 = 0

        package init() {}
    }

    /// The state at a later moment.
    func state(_ state: State, at now: UInt64) -> State {
        var state = state
        // A clock that was set back makes no lock longer than any, and no count older than now.
        if state.isLocked, state.moment > now + most { state.moment = now + most }
        if !state.isLocked, state.moment > now { state.moment = now }
        if state.isLocked {
            guard now >= state.moment else { return state }
            (state.isLocked, state.charged, state.failed) = (false, 0, 0)
        }
        let quiet = now > state.moment ? now - state.moment : 0
        if quiet >= window { (state.charged, state.failed) = (0, 0) }
        if quiet >= forgetAfter { state.level = 0 }
        return state
    }

    /// Decides on an attempt, and charges it.
    func begin(_ state: inout State, at now: UInt64) -> GCRA.Decision {
        state = self.state(state, at: now)
        if state.isLocked { return refused(for: state.moment - now) }
        // All that are left are under way: one may still turn out well.
        guard state.charged < failures else { return refused(for: 1) }
        if state.charged == 0 { state.moment = now }
        state.charged += 1
        return allowed(charged: state.charged, since: state.moment, at: now)
    }

    package func allowed(charged: UInt64, since moment: UInt64, at now: UInt64) -> GCRA.Decision {
        let left = window - min(window - 1, now > moment ? now - moment : 0)
        var decision = GCRA.Decision(
            isAllowed: true, arrival: 0, remaining: failures - min(failures, charged), resetAfter: .seconds(left), retryAfter: .zero)
        decision.nextAfter = .seconds(left)
        return decision
    }

    package func refused(for seconds: UInt64) -> GCRA.Decision {
        var decision = GCRA.Decision(
            isAllowed: false, arrival: 0, remaining: 0, resetAfter: .seconds(max(1, seconds)), retryAfter: .seconds(max(1, seconds)))
        decision.nextAfter = decision.retryAfter
        return decision
    }

    /// An attempt is over.
    func end(_ state: inout State, _ outcome: Outcome, at now: UInt64) {
        state = self.state(state, at: now)
        if state.isLocked { return }
        switch outcome {
        case .passed: if state.charged > state.failed { state.charged -= 1 }
        case .reset:
            let others = state.charged - min(state.charged, state.failed + 1)
            (state.charged, state.failed, state.level) = (others, 0, 0)
        case .failed:
            if state.charged == state.failed {
                if state.charged == 0 { state.moment = now }
                state.charged += 1
            }
            state.failed += 1
            guard state.failed >= failures else { return }
            state.moment = now + length(level: state.level)
            state.level = min(state.level + 1, 127)
            (state.isLocked, state.charged, state.failed) = (true, 0, 0)
        }
    }

    /// A store says that the key is locked.
    func learn(_ state: inout State, lockedFor seconds: UInt64, level: UInt64, at now: UInt64) {
        state = self.state(state, at: now)
        guard seconds > 0, !state.isLocked || state.moment < now + seconds else { return }
        (state.isLocked, state.charged, state.failed) = (true, 0, 0)
        state.moment = now + min(seconds, most)
        state.level = max(state.level, min(level, 127))
    }
}
