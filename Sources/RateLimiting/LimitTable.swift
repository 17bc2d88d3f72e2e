import Time
package import Bytes
package import System

/// The rate limits of the host in shared memory: exact over all workers, of fixed size.
///
/// A bucket is five words: the key's 64-bit fingerprint, its theoretical arrival time, all that was ever taken back of it, and cost and
/// tolerance of its limit. Sets of eight buckets; a key belongs to one set. A known key is charged by compare-and-swap alone. A new key
/// takes the place of the one that has used the smallest part of its quota, never of one whose quota is exhausted; while a set changes its
/// keys, one worker holds the set's lock word. A worker that dies with it held loses it (``WordLock``).
///
/// Where all eight are exhausted, new keys of the set share one more bucket: together they are let through at the rate of one.
package struct LimitTable {
    private static let waysPerSet = 8
    private static let bucketWords = 5
    /// The lock, the arrival time of the shared bucket, the buckets.
    private static let setWords = 2 + waysPerSet * bucketWords
    private static let headerWords = 8
    /// Word 0: buckets whose quota was not full when another key took them.
    private static let evictionsWord = 0
    /// Word 1: requests of keys that found no bucket of their own.
    private static let crowdedWord = 1

    let memory: SharedMemory
    private let firstWord: Int
    private let sets: Int
    private let hash: SipHash
    let wall: @Sendable (UInt64) -> UInt64

    /// - Parameters:
    ///   - firstWord: where the table begins in `memory`; the words are zero at first.
    ///   - words: how many it may take; see ``words(forKeys:)``.
    ///   - wall: of a moment of the monotonic clock, in nanoseconds, the time in milliseconds since 1970.
    package init(
        _ memory: SharedMemory, firstWord: Int, words: Int, hash: SipHash,
        wall: @escaping @Sendable (UInt64) -> UInt64 = Clock.wallMilliseconds(at:)
    ) {
        self.wall = wall
        self.memory = memory
        self.firstWord = firstWord
        self.hash = hash
        sets = (words - Self.headerWords) / Self.setWords
        precondition(sets > 0, "a limit table needs memory")
    }

    package static func words(forKeys keys: Int) -> Int {
        headerWords + (keys + waysPerSet - 1) / waysPerSet * setWords
    }

    /// Word 2: charges that were made here in place of a store's.
    private static let standInsWord = 2
    /// How many requests all workers of the host have counted here in place of a store. Where it has changed, a store does not know of all.
    package var standIns: UInt64 { memory.load(firstWord + Self.standInsWord) }
    package func countStandIn() { memory.add(firstWord + Self.standInsWord, 1) }

    package var evictions: UInt64 { memory.load(firstWord + Self.evictionsWord) }
    /// Keys in the table, of any age. Of a large table a part is looked at, and counted for the whole.
    package var entries: UInt64 {
        let looked = min(sets, setsLookedAt)
        guard looked > 0 else { return 0 }
        var count: UInt64 = 0
        for index in 0..<looked {
            let set = firstWord + Self.headerWords + index * (sets / looked) * Self.setWords
            for way in 0..<Self.waysPerSet where memory.load(set + 2 + way * Self.bucketWords) != 0 { count += 1 }
        }
        return count * UInt64(sets) / UInt64(looked)
    }

    package var crowded: UInt64 { memory.load(firstWord + Self.crowdedWord) }

    /// The fingerprint of a key; never 0.
    package func fingerprint(_ key: Span<UInt8>) -> UInt64 { max(1, hash.hash(key)) }

    /// Decides on a request and charges it.
    ///
    /// - Parameter units: how many requests it counts for.
    package func admit(_ fingerprint: UInt64, _ quota: Quota, units: UInt64 = 1, now: UInt64) -> GCRA.Decision {
        guard quota.isPlain else { return admitOther(fingerprint, quota, units: units, now: now) }
        while true {
            guard let bucket = findOrTake(fingerprint, quota, now) else { return admitCrowded(fingerprint, quota, units, now) }
            if !isOwn(bucket, quota) {
                // Who cannot pay leaves what others owe as it is.
                let decision = decide(bucket, quota, units: units, now)
                guard decision.isAllowed else { return decision }
                convert(bucket, quota, now)
            }
            let refunded = memory.load(bucket + 2)
            let arrival = memory.load(bucket + 1)
            var decision = quota.gcra.decide(arrival: arrival, now: now, units: units)
            guard decision.isAllowed else { return decision }
            guard memory.compareExchange(bucket + 1, expected: arrival, desired: decision.arrival).exchanged else { continue }
            decision.refundedBefore = refunded
            // Taken by another key in between: that key has paid once too often, this one starts again.
            if memory.load(bucket) == fingerprint { return decision }
        }
    }

    private func admitOther(_ fingerprint: UInt64, _ quota: Quota, units: UInt64, now: UInt64) -> GCRA.Decision {
        if let lockout = quota.lockout { return begin(fingerprint, lockout, quota, now: now) }
        guard let windows = quota.windows else { preconditionFailure("a quota that nothing counts") }
        return admit(fingerprint, windows, quota, units: units, now: now)
    }

    /// What is left of a key's quota, of which nothing is taken.
    func look(_ fingerprint: UInt64, _ quota: Quota, now: UInt64) -> GCRA.Decision {
        if let refusal = refusal(fingerprint, quota, now: now) { return refusal }
        if let windows = quota.windows {
            let moment = wall(now)
            let known = counts(fingerprint, windows, now: now) ?? Windows.Counts(start: windows.window(at: moment).start)
            return windows.decision(known, at: moment, granted: 0, isAllowed: true)
        }
        if let lockout = quota.lockout { return look(fingerprint, lockout, now: now) }
        return quota.gcra.decide(arrival: now + ahead(fingerprint, quota, now: now), now: now, units: 0)
    }

    /// A key has used nothing.
    func clear(_ fingerprint: UInt64) {
        guard let bucket = find(fingerprint) else { return }
        // What is under way of it at this moment is charged to nobody.
        memory.store(bucket + 1, 0)
        memory.store(bucket + 2, 0)
    }

    /// A request has turned out to count for so many more: they are charged as far as the quota has them.
    package func charge(_ fingerprint: UInt64, _ quota: Quota, units: UInt64, now: UInt64) {
        if let windows = quota.windows { return charge(fingerprint, windows, quota, units: units, now: now) }
        guard let bucket = findOrTake(fingerprint, quota, now) else { return }
        if !isOwn(bucket, quota) {
            guard owed(bucket, quota, now) < quota.gcra.tolerance else { return }
            convert(bucket, quota, now)
        }
        while true {
            let arrival = memory.load(bucket + 1)
            let charged = quota.gcra.charged(arrival: arrival, units: units, now: now)
            if memory.compareExchange(bucket + 1, expected: arrival, desired: charged).exchanged { return }
        }
    }

    /// What a store has to be told of a key: how far ahead of now it is, in nanoseconds, or what was counted in which window, as far as this host knows; zero for one
    /// that it does not know.
    package func known(_ fingerprint: UInt64, _ quota: Quota, now: UInt64) -> (amount: UInt64, start: UInt64) {
        if let lockout = quota.lockout {
            let (seconds, level) = locked(fingerprint, lockout, now: now)
            return (seconds, level)
        }
        guard let windows = quota.windows else { return (ahead(fingerprint, quota, now: now), 0) }
        let counts = counts(fingerprint, windows, now: now)
        return (counts?.current ?? 0, counts?.start ?? 0)
    }

    /// What this host knows of a key that has less left than `units`; nil for one that may have enough.
    package func refusal(_ fingerprint: UInt64, _ quota: Quota, units: UInt64 = 1, now: UInt64) -> GCRA.Decision? {
        if let windows = quota.windows {
            guard var counts = counts(fingerprint, windows, now: now) else { return nil }
            let decision = windows.decide(&counts, at: wall(now), units: units)
            return decision.isAllowed ? nil : decision
        }
        if let lockout = quota.lockout {
            let seconds = locked(fingerprint, lockout, now: now).seconds
            return seconds > 0 ? lockout.refused(for: seconds) : nil
        }
        guard let bucket = find(fingerprint) else { return nil }
        let decision = decide(bucket, quota, units: units, now)
        return decision.isAllowed ? nil : decision
    }

    /// How far ahead of now a key is, as far as this host knows; zero for one that it does not know.
    private func ahead(_ fingerprint: UInt64, _ quota: Quota, now: UInt64) -> UInt64 {
        find(fingerprint).map { min(owed($0, quota, now), quota.gcra.tolerance) } ?? 0
    }

    /// Whether a bucket was counted with this quota, and not with that of another plan or of another time.
    private func isOwn(_ bucket: Int, _ quota: Quota) -> Bool {
        memory.load(bucket + 3) == quota.gcra.cost && memory.load(bucket + 4) == quota.gcra.tolerance
    }

    /// How far ahead of now a bucket is, at the cost of a quota: it owes as many requests as at its own. May be more than the quota has.
    private func owed(_ bucket: Int, _ quota: Quota, _ now: UInt64) -> UInt64 {
        let (paid, own) = (memory.load(bucket + 3), distance(bucket, now))
        return paid == 0 || own == 0 ? 0 : paid == quota.gcra.cost ? own : Self.scaled(own, from: paid, to: quota.gcra.cost)
    }

    /// How far ahead of now a bucket is, at its own cost.
    private func distance(_ bucket: Int, _ now: UInt64) -> UInt64 {
        let arrival = memory.load(bucket + 1)
        return arrival > now ? min(arrival - now, memory.load(bucket + 4)) : 0
    }

    /// What a bucket says to a request, of which nothing is charged.
    private func decide(_ bucket: Int, _ quota: Quota, units: UInt64, _ now: UInt64) -> GCRA.Decision {
        let owed = owed(bucket, quota, now)
        let decision = quota.gcra.decide(arrival: now + min(owed, quota.gcra.tolerance), now: now, units: units)
        guard owed > quota.gcra.tolerance else { return decision }
        // Another plan has used more than this one has: what is owed wears off as it was counted.
        let free = quota.gcra.tolerance - min(quota.gcra.tolerance, quota.gcra.cost(of: units))
        let own = distance(bucket, now)
        let wait = own - min(own, Self.scaled(free, from: quota.gcra.cost, to: memory.load(bucket + 3)))
        return GCRA.Decision(
            isAllowed: false, arrival: memory.load(bucket + 1), remaining: 0, resetAfter: Nanoseconds(max(own, wait)),
            retryAfter: Nanoseconds(max(1, wait)))
    }

    /// A store has decided.
    ///
    /// - Parameter standIns: what there were when it was asked. Where there are no others since, what it says holds also where it is less than is known here: others
    ///   have given charges back.
    package func learn(_ fingerprint: UInt64, _ quota: Quota, _ decision: GCRA.Decision, standIns: UInt64, now: UInt64) {
        let isAll = standIns == self.standIns
        if let windows = quota.windows {
            if let counts = decision.counts { learn(fingerprint, windows, quota, counts, isAll: isAll, now: now) }
        } else if let lockout = quota.lockout {
            if !decision.isAllowed, let level = decision.level {
                learn(fingerprint, lockout, quota, lockedFor: decision.retryAfter.secondsUp, level: level, now: now)
            } else if decision.isAllowed, isAll, locked(fingerprint, lockout, now: now).seconds > 0 {
                // Somebody has opened the lock.
                clear(fingerprint)
            }
        } else {
            // What another plan owes is more than this one's store has to say of it; but at the same cost it owes as much.
            if !decision.isAllowed, let bucket = find(fingerprint), memory.load(bucket + 3) > 0, !isOwn(bucket, quota) {
                if memory.load(bucket + 3) == quota.gcra.cost {
                    raise(bucket, to: now + min(decision.resetAfter.count, memory.load(bucket + 4)))
                }
                return
            }
            learn(fingerprint, quota, ahead: decision.resetAfter.count, isAll: isAll, now: now)
        }
    }

    /// A key is at least so far.
    private func raise(_ bucket: Int, to wanted: UInt64) {
        while true {
            let arrival = memory.load(bucket + 1)
            guard arrival < wanted else { return }
            if memory.compareExchange(bucket + 1, expected: arrival, desired: wanted).exchanged { return }
        }
    }

    /// A store says how far ahead of now a key is.
    private func learn(_ fingerprint: UInt64, _ quota: Quota, ahead: UInt64, isAll: Bool, now: UInt64) {
        guard let bucket = ahead > 0 ? findOrTake(fingerprint, quota, now) : find(fingerprint) else { return }
        if !isOwn(bucket, quota) { convert(bucket, quota, now) }
        let wanted = now + min(ahead, quota.gcra.tolerance)
        while true {
            let arrival = memory.load(bucket + 1)
            guard isAll ? arrival != wanted : arrival < wanted else { return }
            if memory.compareExchange(bucket + 1, expected: arrival, desired: wanted).exchanged { return }
        }
    }

    /// A store was told to take a request of a key back. What is left of that charge it knows, not this host: a whole one is taken, and the store's next
    /// word holds.
    package func unlearn(_ fingerprint: UInt64, _ quota: Quota, units: UInt64 = 1, now: UInt64) {
        if let windows = quota.windows { return refund(fingerprint, windows, start: nil, units: units, now: now) }
        if quota.lockout != nil { return end(fingerprint, quota, .passed, now: now) }
        guard let bucket = find(fingerprint), memory.load(bucket + 3) > 0 else { return }
        let amount = Self.scaled(quota.gcra.cost(of: units), from: quota.gcra.cost, to: memory.load(bucket + 3))
        while true {
            let arrival = memory.load(bucket + 1)
            guard arrival > now else { return }
            let lower = max(now, arrival - min(arrival, amount))
            if memory.compareExchange(bucket + 1, expected: arrival, desired: lower).exchanged { return }
        }
    }

    /// The limit's rate has changed, or the key's token has another plan: it owes as many requests as before, of which there are no more than the quota has.
    private func convert(_ bucket: Int, _ quota: Quota, _ now: UInt64) {
        let paid = memory.load(bucket + 3)
        memory.store(bucket + 4, quota.gcra.tolerance)
        // One worker converts; who has found another rate meanwhile converts once more.
        guard paid != quota.gcra.cost, memory.compareExchange(bucket + 3, expected: paid, desired: quota.gcra.cost).exchanged else {
            return
        }
        // It was counted in windows before.
        guard paid > 0 else {
            memory.store(bucket + 1, 0)
            memory.store(bucket + 2, 0)
            return
        }
        while true {
            let arrival = memory.load(bucket + 1)
            guard arrival > now else { return }
            let converted = now + min(Self.scaled(arrival - now, from: paid, to: quota.gcra.cost), quota.gcra.tolerance)
            if memory.compareExchange(bucket + 1, expected: arrival, desired: converted).exchanged { return }
        }
    }

    /// A distance that was counted with one cost: as many requests at another one.
    private static func scaled(_ ahead: UInt64, from paid: UInt64, to cost: UInt64) -> UInt64 {
        if paid == cost { return ahead }
        let product = ahead.multipliedFullWidth(by: cost)
        guard product.high < paid else { return .max / 4 }
        return min(paid.dividingFullWidth(product).quotient, .max / 4)
    }

    /// Takes back what is left of the charge of a request that does not count after all.
    package func refund(_ fingerprint: UInt64, _ quota: Quota, _ charge: GCRA.Charge, now: UInt64) {
        if let windows = quota.windows { return refund(fingerprint, windows, start: charge.end, units: charge.units, now: now) }
        if quota.lockout != nil { return end(fingerprint, quota, .passed, now: now) }
        guard let bucket = find(fingerprint) else { return }
        var left = quota.gcra.refundable(charge, arrival: memory.load(bucket + 1), refunded: memory.load(bucket + 2), now: now)
        let paid = memory.load(bucket + 3)
        // Counted at another cost by now.
        if paid != quota.gcra.cost { left = paid == 0 ? 0 : Self.scaled(left, from: quota.gcra.cost, to: paid) }
        guard left > 0 else { return }
        // Counted first: who refunds at the same moment then takes back less, and never more, than is there.
        memory.add(bucket + 2, left)
        while true {
            let arrival = memory.load(bucket + 1)
            guard arrival >= left else { return }
            if memory.compareExchange(bucket + 1, expected: arrival, desired: arrival - left).exchanged { return }
        }
    }

    /// Decides on a request whose key has no bucket of its own.
    func admitCrowded(_ fingerprint: UInt64, _ quota: Quota, _ units: UInt64, _ now: UInt64) -> GCRA.Decision {
        memory.add(firstWord + Self.crowdedWord, 1)
        let word = set(of: fingerprint) + 1
        while true {
            let arrival = memory.load(word)
            // Of another limit, or of a worker that has lost its mind.
            let sound = arrival > now && arrival - now > quota.gcra.tolerance ? now + quota.gcra.tolerance : arrival
            let decision = quota.gcra.decide(arrival: sound, now: now, units: units)
            guard decision.isAllowed else { return decision }
            if memory.compareExchange(word, expected: arrival, desired: decision.arrival).exchanged { return decision }
        }
    }

    private func set(of fingerprint: UInt64) -> Int {
        firstWord + Self.headerWords + Int(fingerprint % UInt64(sets)) * Self.setWords
    }

    private func bucket(_ way: Int, of set: Int) -> Int { set + 2 + way * Self.bucketWords }

    /// The first word of the key's bucket.
    func find(_ fingerprint: UInt64) -> Int? {
        let set = set(of: fingerprint)
        for way in 0..<Self.waysPerSet where memory.load(bucket(way, of: set)) == fingerprint { return bucket(way, of: set) }
        return nil
    }

    /// - Returns: nil where no key of the set may give way.
    func findOrTake(_ fingerprint: UInt64, _ quota: Quota, _ now: UInt64) -> Int? {
        if let bucket = find(fingerprint) { return bucket }
        let set = set(of: fingerprint)
        return WordLock(memory: memory, word: set).holding { find(fingerprint) ?? take(set, fingerprint, quota, now) } ?? nil
    }

    /// Takes the place of the key that has used least; called with the set locked.
    private func take(_ set: Int, _ fingerprint: UInt64, _ quota: Quota, _ now: UInt64) -> Int? {
        var chosen: Int?
        var least = 2.0
        for way in 0..<Self.waysPerSet {
            let bucket = bucket(way, of: set)
            if memory.load(bucket) == 0 {
                (chosen, least) = (bucket, 0)
                break
            }
            let used = usedPart(bucket, now)
            if used < least { (chosen, least) = (bucket, used) }
        }
        guard let chosen, least < 1 else { return nil }
        if least > 0 { memory.add(firstWord + Self.evictionsWord, 1) }
        // Nobody may find the old key's time under the new key.
        memory.store(chosen, 0)
        memory.store(chosen + 1, 0)
        memory.store(chosen + 2, 0)
        memory.store(chosen + 3, quota.bucketCost)
        memory.store(chosen + 4, quota.bucketMost)
        memory.store(chosen, fingerprint)
        return chosen
    }

    /// How much of its quota a bucket's key has used: 0 nothing, 1 or more where it has no request left.
    private func usedPart(_ bucket: Int, _ now: UInt64) -> Double {
        if memory.load(bucket + 3) == 0, memory.load(bucket + 4) & lockoutMark != 0 {
            return memory.load(bucket + 2) > now ? usedPart(ofLockout: bucket) : 0
        }
        if memory.load(bucket + 3) == 0 { return usedPart(ofWindow: bucket, now) }
        let arrival = memory.load(bucket + 1)
        guard arrival > now else { return 0 }
        let (cost, tolerance) = (memory.load(bucket + 3), memory.load(bucket + 4))
        guard arrival - now <= tolerance, cost <= tolerance else { return 1 }
        // The last request that the quota allows leaves less than one more.
        return Double(arrival - now) / Double(max(1, tolerance - cost + 1))
    }
}

private let setsLookedAt = 8_192
