import System
import Time

/// Keys that failures lock out: the state stands in one word, so that one exchange changes it.
extension LimitTable {
    /// Decides on an attempt, and charges it.
    func begin(_ fingerprint: UInt64, _ lockout: Lockout, _ quota: Quota, now: UInt64) -> GCRA.Decision {
        change(fingerprint, lockout, quota, now) { lockout.begin(&$0, at: $1) } ?? admitCrowded(fingerprint, quota, 1, now)
    }

    /// An attempt is over.
    package func end(_ fingerprint: UInt64, _ quota: Quota, _ outcome: Lockout.Outcome, now: UInt64) {
        guard let lockout = quota.lockout else { return }
        _ = change(fingerprint, lockout, quota, now) { lockout.end(&$0, outcome, at: $1) }
    }

    /// A store says that a key is locked.
    func learn(_ fingerprint: UInt64, _ lockout: Lockout, _ quota: Quota, lockedFor seconds: UInt64, level: UInt64, now: UInt64) {
        _ = change(fingerprint, lockout, quota, now) { lockout.learn(&$0, lockedFor: seconds, level: level, at: $1) }
    }

    /// For how many seconds a key is locked, as far as this host knows, and how often it was.
    func locked(_ fingerprint: UInt64, _ lockout: Lockout, now: UInt64) -> (seconds: UInt64, level: UInt64) {
        guard let bucket = find(fingerprint), memory.load(bucket + 4) & lockoutMark != 0 else { return (0, 0) }
        let wall = wall(now) / 1_000
        let state = lockout.state(Lockout.State(memory.load(bucket + 1)), at: wall)
        return state.isLocked ? (state.moment - wall, state.level) : (0, 0)
    }

    /// How many failures are left; nothing is charged.
    func look(_ fingerprint: UInt64, _ lockout: Lockout, now: UInt64) -> GCRA.Decision {
        let wall = wall(now) / 1_000
        var state = Lockout.State()
        if let bucket = find(fingerprint), memory.load(bucket + 4) & lockoutMark != 0 { state = Lockout.State(memory.load(bucket + 1)) }
        state = lockout.state(state, at: wall)
        if state.isLocked { return lockout.refused(for: state.moment - wall) }
        return lockout.allowed(charged: state.charged, since: state.moment, at: wall)
    }

    private func change<Result>(
        _ fingerprint: UInt64, _ lockout: Lockout, _ quota: Quota, _ now: UInt64, _ body: (inout Lockout.State, UInt64) -> Result
    ) -> Result? {
        guard let bucket = findOrTake(fingerprint, quota, now) else { return nil }
        // What a limit of another algorithm has left there is no state.
        if memory.load(bucket + 3) != 0 || memory.load(bucket + 4) & lockoutMark == 0 {
            memory.store(bucket + 1, 0)
            memory.store(bucket + 3, 0)
        }
        // Another count of the same lockout finds the same failures.
        if memory.load(bucket + 4) != quota.bucketMost { memory.store(bucket + 4, quota.bucketMost) }
        let wall = wall(now) / 1_000
        while true {
            let word = memory.load(bucket + 1)
            var state = Lockout.State(word)
            let result = body(&state, wall)
            guard memory.compareExchange(bucket + 1, expected: word, desired: state.word).exchanged else { continue }
            let end = (state.isLocked ? state.moment : wall) + max(lockout.window, state.level > 0 ? lockout.forgetAfter : 0)
            memory.store(bucket + 2, now + (end - min(end, wall)) * 1_000_000_000)
            return result
        }
    }

    /// How much of what it is allowed the key of a lockout's bucket has used: a key that is locked, or was, does not give way to one that is not.
    func usedPart(ofLockout bucket: Int) -> Double {
        let state = Lockout.State(memory.load(bucket + 1))
        if state.isLocked { return 1 }
        let most = Double(max(1, memory.load(bucket + 4) & ~lockoutMark))
        return max(min(1, Double(state.charged) / most), state.level > 0 ? 0.9 : 0)
    }
}

extension Lockout.State {
    // 32 bits for the moment, one for the lock, 7 for the level, 12 each for the attempts.
    fileprivate init(_ word: UInt64) {
        self.init()
        moment = word >> 32
        isLocked = word & 1 << 31 != 0
        level = word >> 24 & 0x7F
        charged = word >> 12 & 0xFFF
        failed = word & 0xFFF
    }

    fileprivate var word: UInt64 {
        min(moment, 0xFFFF_FFFF) << 32 | (isLocked ? 1 << 31 : 0) | min(level, 0x7F) << 24 | min(charged, 0xFFF) << 12 | min(failed, 0xFFF)
    }
}

/// In the word of the count: that it is of a lockout.
let lockoutMark: UInt64 = 1 << 62
