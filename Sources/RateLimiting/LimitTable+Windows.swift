import System
import Time

/// Limits that count in windows: a key's bucket has the counts in the word that else has its arrival time, so that one exchange charges it. In the
/// word behind it stands until when they matter, and where else the cost stands, 0.
extension LimitTable {
    /// Decides on a request and charges it.
    func admit(_ fingerprint: UInt64, _ windows: Windows, _ quota: Quota, units: UInt64, now: UInt64) -> GCRA.Decision {
        let wall = wall(now)
        while true {
            guard let bucket = bucket(fingerprint, quota, now) else { return admitCrowded(fingerprint, quota, units, now) }
            let word = memory.load(bucket + 1)
            var counts = Self.unpack(word, windows, at: wall)
            let decision = windows.decide(&counts, at: wall, units: units)
            guard decision.isAllowed else { return decision }
            guard memory.compareExchange(bucket + 1, expected: word, desired: Self.pack(counts, windows)).exchanged else { continue }
            memory.store(bucket + 2, relevantUntil(windows, wall, now))
            // Taken by another key in between: that key has paid once too often, this one starts again.
            if memory.load(bucket) == fingerprint { return decision }
        }
    }

    /// A request has turned out to count for so many more.
    func charge(_ fingerprint: UInt64, _ windows: Windows, _ quota: Quota, units: UInt64, now: UInt64) {
        let wall = wall(now)
        guard let bucket = bucket(fingerprint, quota, now) else { return }
        while true {
            let word = memory.load(bucket + 1)
            var counts = Self.unpack(word, windows, at: wall)
            counts.current += min(units, windows.remaining(counts, at: wall))
            guard memory.compareExchange(bucket + 1, expected: word, desired: Self.pack(counts, windows)).exchanged else { continue }
            return memory.store(bucket + 2, relevantUntil(windows, wall, now))
        }
    }

    /// What this host knows of a key.
    func counts(_ fingerprint: UInt64, _ windows: Windows, now: UInt64) -> Windows.Counts? {
        guard let bucket = find(fingerprint), memory.load(bucket + 3) == 0 else { return nil }
        return Self.unpack(memory.load(bucket + 1), windows, at: wall(now))
    }

    /// A store says what it has counted.
    func learn(_ fingerprint: UInt64, _ windows: Windows, _ quota: Quota, _ said: Windows.Counts, isAll: Bool, now: UInt64) {
        let wall = wall(now)
        // By the store's clock it may be in another window already.
        let said = windows.counts(said, at: wall)
        guard said.current > 0 || said.previous > 0, let bucket = bucket(fingerprint, quota, now) else { return }
        while true {
            let word = memory.load(bucket + 1)
            var counts = Self.unpack(word, windows, at: wall)
            if isAll {
                guard counts != said else { return }
                counts = said
            } else {
                guard counts.current < said.current || counts.previous < said.previous else { return }
                counts.current = max(counts.current, said.current)
                counts.previous = max(counts.previous, said.previous)
            }
            if memory.compareExchange(bucket + 1, expected: word, desired: Self.pack(counts, windows)).exchanged { break }
        }
        memory.store(bucket + 2, relevantUntil(windows, wall, now))
    }

    /// Takes a request back.
    ///
    /// - Parameters:
    ///   - start: the window that it was counted in; nil for the present one.
    ///   - units: for how many it was counted.
    func refund(_ fingerprint: UInt64, _ windows: Windows, start: UInt64?, units: UInt64, now: UInt64) {
        guard let bucket = find(fingerprint), memory.load(bucket + 3) == 0 else { return }
        let wall = wall(now)
        while true {
            let word = memory.load(bucket + 1)
            var counts = Self.unpack(word, windows, at: wall)
            if start == nil || counts.start == start, counts.current > 0 {
                counts.current -= min(counts.current, units)
            } else if let start, windows.keepsPrevious, start + windows.length == counts.start, counts.previous > 0 {
                counts.previous -= min(counts.previous, units)
            } else {
                return
            }
            if memory.compareExchange(bucket + 1, expected: word, desired: Self.pack(counts, windows)).exchanged { return }
        }
    }

    /// Requests are still under way: they are counted in the present window, and where they were before no longer.
    ///
    /// - Returns: the window; nil where the key finds no place.
    package func renew(_ fingerprint: UInt64, _ quota: Quota, units: UInt64, from start: UInt64, now: UInt64) -> UInt64? {
        guard let windows = quota.windows else { return nil }
        let wall = wall(now)
        guard let bucket = bucket(fingerprint, quota, now) else { return nil }
        while true {
            let word = memory.load(bucket + 1)
            var counts = Self.unpack(word, windows, at: wall)
            if start == counts.start { return start }
            if start + windows.length == counts.start { counts.previous -= min(counts.previous, units) }
            counts.current = min(counts.current + units, windows.countMax)
            guard memory.compareExchange(bucket + 1, expected: word, desired: Self.pack(counts, windows)).exchanged else { continue }
            memory.store(bucket + 2, relevantUntil(windows, wall, now))
            return counts.start
        }
    }

    /// Takes back requests that were under way.
    package func release(_ fingerprint: UInt64, _ quota: Quota, units: UInt64, from start: UInt64, now: UInt64) {
        guard let windows = quota.windows else { return }
        refund(fingerprint, windows, start: start, units: units, now: now)
    }

    /// The bucket of a key, which forgets what a limit of another algorithm has left there.
    private func bucket(_ fingerprint: UInt64, _ quota: Quota, _ now: UInt64) -> Int? {
        guard let bucket = findOrTake(fingerprint, quota, now) else { return nil }
        memory.store(bucket + 4, quota.bucketMost)
        let before = memory.load(bucket + 3)
        if before != 0, memory.compareExchange(bucket + 3, expected: before, desired: 0).exchanged {
            memory.store(bucket + 1, 0)
            memory.store(bucket + 2, 0)
        }
        return bucket
    }

    private func relevantUntil(_ windows: Windows, _ wall: UInt64, _ now: UInt64) -> UInt64 {
        let left = windows.window(at: wall).end - wall + (windows.keepsPrevious ? windows.length : 0)
        return now + left * 1_000_000
    }

    /// How much of its quota the key of a window's bucket has used.
    func usedPart(ofWindow bucket: Int, _ now: UInt64) -> Double {
        guard memory.load(bucket + 2) > now else { return 0 }
        let most = memory.load(bucket + 4)
        let word = memory.load(bucket + 1)
        // Of the window before, too: it may be what holds the key back.
        let count = most & slidingMark != 0 ? (word & slidingMask) + (word >> 22 & slidingMask) : word & 0xFFFF_FFFF
        // The last request that the quota allows leaves nothing.
        return Double(count) / Double(max(1, most & ~slidingMark))
    }

    // Fixed: 32 bits for the window, 32 for the count. Sliding: 20 for the window, 22 each for the window before and this one. A key that nobody has asked for in
    // exactly so many windows as the number goes round is taken for one of today; it is long out of the table.
    private static func pack(_ counts: Windows.Counts, _ windows: Windows) -> UInt64 {
        let number = number(counts.start, windows)
        guard windows.keepsPrevious else { return number << 32 | min(counts.current, 0xFFFF_FFFF) }
        return (number & 0xF_FFFF) << 44 | min(counts.previous, slidingMask) << 22 | min(counts.current, slidingMask)
    }

    private static func unpack(_ word: UInt64, _ windows: Windows, at wall: UInt64) -> Windows.Counts {
        let (start, end) = windows.window(at: wall)
        var counts = Windows.Counts(start: start)
        let number = Self.number(start, windows)
        let next = Self.number(end, windows)
        guard windows.keepsPrevious else {
            if word >> 32 == number {
                counts.current = word & 0xFFFF_FFFF
            } else if word >> 32 == next {
                counts = Windows.Counts(start: end, current: word & 0xFFFF_FFFF)
            } else if case .calendar(let periods) = windows.kind {
                // Counted in periods that begin at another moment, in another zone: in this one as well.
                let before = UInt64(clamping: periods.start(periods.number(at: Int64(clamping: start / 1_000)) - 1))
                if before < word >> 32, word >> 32 < next { counts.current = word & 0xFFFF_FFFF }
            }
            return counts
        }
        if word >> 44 == number & 0xF_FFFF {
            (counts.previous, counts.current) = (word >> 22 & slidingMask, word & slidingMask)
        } else if word >> 44 == next & 0xF_FFFF {
            counts = Windows.Counts(start: end, current: word & slidingMask, previous: word >> 22 & slidingMask)
        } else if word >> 44 == (number &- 1) & 0xF_FFFF {
            counts.previous = word & slidingMask
        }
        return counts
    }

    private static func number(_ start: UInt64, _ windows: Windows) -> UInt64 {
        if case .calendar = windows.kind { start / 1_000 & 0xFFFF_FFFF } else { start / windows.length & 0xFFFF_FFFF }
    }
}

/// In the word of the count: that it is of sliding windows.
let slidingMark: UInt64 = 1 << 63
private let slidingMask: UInt64 = 0x3F_FFFF
