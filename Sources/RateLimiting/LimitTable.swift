package import Bytes
package import EventLoop

/// The rate limits of the host in shared memory: exact over all workers, of fixed size.
///
/// A bucket is two words: the key's 64-bit fingerprint and its theoretical arrival time. Sets of eight buckets; a key
/// belongs to one set. A known key is charged by compare-and-swap alone. A new key takes the place of the bucket that is
/// least useful, the one whose quota is fullest; while a set changes its keys, one worker holds the set's lock word. A
/// worker that dies with a lock held loses it after ``lockNanosecondsMax``.
package struct LimitTable {
    private static let waysPerSet = 8
    private static let headerWords = 8
    /// Word 0: buckets whose quota was not full when another key took them.
    private static let evictionsWord = 0

    private let memory: SharedMemory
    private let firstWord: Int
    private let sets: Int
    private let hash: SipHash

    /// - Parameters:
    ///   - firstWord: where the table begins in `memory`; the words are zero at first.
    ///   - words: how many it may take; see ``words(forKeys:)``.
    package init(_ memory: SharedMemory, firstWord: Int, words: Int, hash: SipHash) {
        self.memory = memory
        self.firstWord = firstWord
        self.hash = hash
        sets = (words - Self.headerWords) / (Self.waysPerSet * 2 + 1)
        precondition(sets > 0, "a limit table needs memory")
    }

    package static func words(forKeys keys: Int) -> Int {
        headerWords + (keys + waysPerSet - 1) / waysPerSet * (waysPerSet * 2 + 1)
    }

    package var evictions: UInt64 { memory.load(firstWord + Self.evictionsWord) }

    /// The fingerprint of a key; never 0.
    package func fingerprint(_ key: Span<UInt8>) -> UInt64 { max(1, hash.hash(key)) }

    /// Decides on one request and charges it.
    package func admit(_ fingerprint: UInt64, _ quota: Quota, now: UInt64) -> Quota.Decision {
        while true {
            let bucket = findOrTake(fingerprint, now)
            let arrival = memory.load(bucket + 1)
            let decision = quota.decide(arrival: arrival, now: now)
            guard decision.isAllowed else { return decision }
            guard memory.compareExchange(bucket + 1, expected: arrival, desired: decision.arrival).exchanged else { continue }
            // Taken by another key in between: that key has paid once too often, this one starts anew.
            if memory.load(bucket) == fingerprint { return decision }
        }
    }

    /// Takes back the charge of a request that does not count after all.
    package func refund(_ fingerprint: UInt64, _ quota: Quota) {
        guard let bucket = find(fingerprint) else { return }
        while true {
            let arrival = memory.load(bucket + 1)
            guard arrival >= quota.cost else { return }
            if memory.compareExchange(bucket + 1, expected: arrival, desired: arrival - quota.cost).exchanged { return }
        }
    }

    private func set(of fingerprint: UInt64) -> Int {
        firstWord + Self.headerWords + Int(fingerprint % UInt64(sets)) * (Self.waysPerSet * 2 + 1)
    }

    /// The first word of the key's bucket. A set is its lock word, then its buckets.
    private func find(_ fingerprint: UInt64) -> Int? {
        let set = set(of: fingerprint)
        for way in 0..<Self.waysPerSet where memory.load(set + 1 + way * 2) == fingerprint { return set + 1 + way * 2 }
        return nil
    }

    private func findOrTake(_ fingerprint: UInt64, _ now: UInt64) -> Int {
        if let bucket = find(fingerprint) { return bucket }
        let set = set(of: fingerprint)
        let stamp = lock(set)
        defer { _ = memory.compareExchange(set, expected: stamp, desired: 0) }
        if let bucket = find(fingerprint) { return bucket }
        var chosen = set + 1
        var least = UInt64.max
        for way in 0..<Self.waysPerSet {
            let bucket = set + 1 + way * 2
            if memory.load(bucket) == 0 {
                (chosen, least) = (bucket, 0)
                break
            }
            let arrival = memory.load(bucket + 1)
            if arrival < least { (chosen, least) = (bucket, arrival) }
        }
        if least > now { memory.add(firstWord + Self.evictionsWord, 1) }
        // Nobody may find the old key's time under the new key.
        memory.store(chosen, 0)
        memory.store(chosen + 1, 0)
        memory.store(chosen, fingerprint)
        return chosen
    }

    /// The lock word holds the moment of locking. Held for some hundred nanoseconds; a holder that died is overruled.
    /// - Returns: what stands in the lock word while it is held.
    private func lock(_ set: Int) -> UInt64 {
        while true {
            let now = Clock.now().nanoseconds
            let (taken, holder) = memory.compareExchange(set, expected: 0, desired: now)
            if taken { return now }
            if now > holder, now - holder > lockNanosecondsMax, memory.compareExchange(set, expected: holder, desired: now).exchanged {
                return now
            }
        }
    }

    private let lockNanosecondsMax: UInt64 = 2_000_000
}
