import System
import Time

/// Parts of quotas that a host has taken from a store and spends by itself (`lease N`), in memory that its workers share. Of fixed size: four places for each set
/// of keys; the lease that has least left gives way, and what was left of it is lost.
///
/// What is spent here was charged in the store before. So the store never grants more than the quota, but what it granted may be spent
/// later: in any stretch of time at most `N` requests a host more than rate and burst allow. A lease that is not spent in the time in
/// which the quota grows back by as much is given up, after a second at the earliest.
///
/// What is given up is lost to the key. So a lease begins with one request and doubles each time it is spent to its end in its time: a key
/// that is rarely used loses nothing, and one that is used much loses at most one lease a host when it stops.
///
/// A place is eight words: the key's fingerprint; how much is left, and above it a number that is another one for each lease; how large the lease was; what the
/// store had left; when the whole quota would be back; when the lease ends; and when a worker has begun to ask for the next one. A unit is spent by a
/// compare-and-swap of the second word, whose number says that the others are of the same lease.
struct LeaseTable {
    /// What the host holds of one key.
    struct Lease {
        let left: UInt64
        /// What the store had left when it granted the lease, and when the whole quota would be back.
        let leftInStore: UInt64
        let wholeAt: Instant
        let end: Instant
    }

    /// A worker has begun to ask for a lease.
    struct Claim {
        /// How large it should be.
        let size: UInt64
        fileprivate let stamp: UInt64
    }

    private static let ways = 4
    private static let sets = 4_096
    private static let placeWords = 8
    private static let setWords = 1 + ways * placeWords
    static let words = sets * setWords

    private let memory: SharedMemory
    private let firstWord: Int

    /// - Parameter firstWord: where it begins in `memory`; the words are zero at first.
    init(_ memory: SharedMemory, firstWord: Int) {
        self.memory = memory
        self.firstWord = firstWord
    }

    /// Spends one request of a lease; nil when there is none.
    func spend(_ fingerprint: UInt64, at now: Instant) -> Lease? {
        guard let place = find(fingerprint) else { return nil }
        while true {
            let state = memory.load(place + 1)
            let lease = Lease(
                left: (state & leftMask) &- 1, leftInStore: memory.load(place + 3), wholeAt: Instant(nanoseconds: memory.load(place + 4)),
                end: Instant(nanoseconds: memory.load(place + 5)))
            guard state & leftMask > 0, lease.end > now, memory.load(place) == fingerprint else { return nil }
            if memory.compareExchange(place + 1, expected: state, desired: state - 1).exchanged { return lease }
        }
    }

    /// When the lease of a key ends, whether anything is left of it or not; nil without one.
    func end(of fingerprint: UInt64, at now: Instant) -> Instant? {
        guard let place = find(fingerprint) else { return nil }
        let end = Instant(nanoseconds: memory.load(place + 5))
        return end > now ? end : nil
    }

    /// A request that was charged does not count after all; false when the lease is gone, or would become larger than one may be.
    ///
    /// - Parameter end: of the lease that there was then: to another one it does not belong.
    func giveBack(_ fingerprint: UInt64, of end: Instant, most: UInt64, at now: Instant) -> Bool {
        guard let place = find(fingerprint) else { return false }
        while true {
            let state = memory.load(place + 1)
            guard memory.load(place + 5) == end.nanoseconds, end > now, state & leftMask < min(most, leftMask),
                memory.load(place) == fingerprint
            else { return false }
            if memory.compareExchange(place + 1, expected: state, desired: state + 1).exchanged { return true }
        }
    }

    /// One worker of the host asks for the next lease of a key; nil for those who come meanwhile.
    func claim(_ fingerprint: UInt64, most: UInt64, at now: Instant) -> Claim? {
        let place =
            find(fingerprint)
            ?? lock(fingerprint).holding {
                find(fingerprint)
                    ?? {
                        let place = leastWorth(fingerprint, now)
                        _ = begin(place)
                        memory.store(place, 0)
                        for word in 2...6 { memory.store(place + word, 0) }
                        memory.store(place, fingerprint)
                        return place
                    }()
            }
        guard let place else { return nil }
        let claimed = memory.load(place + 6)
        guard claimed == 0 || isOver(claimed, now) else { return nil }
        let stamp = max(1, now.nanoseconds)
        guard memory.compareExchange(place + 6, expected: claimed, desired: stamp).exchanged else { return nil }
        let (size, end) = (memory.load(place + 2), memory.load(place + 5))
        let isInTime = size > 0 && end > now.nanoseconds
        return Claim(size: isInTime ? min(most, max(1, size.multipliedReportingOverflow(by: 2).partialValue)) : 1, stamp: stamp)
    }

    /// Who has asked has its reply, or will have none.
    func release(_ claim: Claim, of fingerprint: UInt64) {
        if let place = find(fingerprint) { _ = memory.compareExchange(place + 6, expected: claim.stamp, desired: 0) }
    }

    /// Keeps what is left of a grant when those who waited for it have theirs.
    ///
    /// - Parameters:
    ///   - left: requests; 0 has the next lease be a larger one all the same.
    ///   - size: how large it counts as for the next one, and how much may be left at most: not more for the requests that wait for it already.
    /// - Returns: the lease's number; nil where it could not be kept.
    func keep(
        _ left: UInt64, size: UInt64, _ decision: GCRA.Decision, of quota: Quota, for fingerprint: UInt64, at now: Instant
    ) -> UInt64? {
        lock(fingerprint).holding {
            let place = find(fingerprint) ?? leastWorth(fingerprint, now)
            let isOwn = memory.load(place) == fingerprint
            let isOver = memory.load(place + 5) <= now.nanoseconds
            let (number, before) = begin(place)
            if !isOwn {
                memory.store(place, 0)
                memory.store(place + 6, 0)
            }
            let lifetime = max(leaseMin, Nanoseconds(quota.gcra.cost) * max(1, decision.granted))
            memory.store(place + 2, size)
            memory.store(place + 3, decision.remaining)
            memory.store(place + 4, now.adding(decision.resetAfter).nanoseconds)
            memory.store(place + 5, now.adding(lifetime).nanoseconds)
            memory.store(place, fingerprint)
            let rest = isOwn && !isOver ? before : 0
            memory.store(place + 1, number << numberShift | min(rest + left, max(rest, size), leftMask))
            return number
        }
    }

    /// Takes all that is left of a lease.
    ///
    /// - Parameter number: of ``keep(_:size:_:of:for:at:)``; one that has another number by now is somebody else's.
    func takeAll(_ fingerprint: UInt64, number: UInt64, at now: Instant) -> UInt64 {
        guard let place = find(fingerprint) else { return 0 }
        while true {
            let state = memory.load(place + 1)
            guard state >> numberShift == number, memory.load(place) == fingerprint, memory.load(place + 5) > now.nanoseconds else {
                return 0
            }
            if memory.compareExchange(place + 1, expected: state, desired: number << numberShift).exchanged { return state & leftMask }
        }
    }

    /// What is left of a key's lease is nobody's: the key has been given back its quota, or lost it.
    func forget(_ fingerprint: UInt64) {
        if let place = find(fingerprint) {
            _ = begin(place)
            memory.store(place + 5, 0)
        }
    }

    /// Nobody spends of a place any more.
    ///
    /// - Returns: the number of the lease that comes, and what was left.
    private func begin(_ place: Int) -> (number: UInt64, left: UInt64) {
        while true {
            let state = memory.load(place + 1)
            let number = (state >> numberShift &+ 1) & leftMask
            if memory.compareExchange(place + 1, expected: state, desired: number << numberShift).exchanged {
                return (number, state & leftMask)
            }
        }
    }

    private func isOver(_ claimed: UInt64, _ now: Instant) -> Bool {
        now.nanoseconds > claimed ? now.nanoseconds - claimed > claimLasts.count : claimed - now.nanoseconds > claimLasts.count
    }

    private func leastWorth(_ fingerprint: UInt64, _ now: Instant) -> Int {
        let places = places(fingerprint)
        return places.min { worth($0, now) < worth($1, now) } ?? set(of: fingerprint) + 1
    }

    private func worth(_ place: Int, _ now: Instant) -> UInt64 {
        let isAsked = memory.load(place + 6) != 0 && !isOver(memory.load(place + 6), now)
        return max(isAsked ? 1 : 0, memory.load(place + 5) > now.nanoseconds ? memory.load(place + 1) & leftMask : 0)
    }

    private func find(_ fingerprint: UInt64) -> Int? { places(fingerprint).first { memory.load($0) == fingerprint } }

    private func set(of fingerprint: UInt64) -> Int { firstWord + Int(fingerprint % UInt64(Self.sets)) * Self.setWords }

    private func lock(_ fingerprint: UInt64) -> WordLock { WordLock(memory: memory, word: set(of: fingerprint)) }

    private func places(_ fingerprint: UInt64) -> LazyMapSequence<Range<Int>, Int> {
        let first = set(of: fingerprint) + 1
        return (0..<Self.ways).lazy.map { first + $0 * Self.placeWords }
    }
}

private let leaseMin = Nanoseconds.seconds(1)
/// A worker that has died while it asked keeps the others from it for so long.
private let claimLasts = Nanoseconds.seconds(1)
private let numberShift: UInt64 = 32
private let leftMask: UInt64 = 0xFFFF_FFFF
