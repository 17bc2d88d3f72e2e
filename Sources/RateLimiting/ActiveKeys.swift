import System
import Time

/// How many have used a limit's key lately, as all workers of a host have seen it: an estimate, in memory that they share.
///
/// Of each key two windows of time are kept, as bits of which each who comes sets one; how many were there follows from how many bits are left (linear counting; Whang,
/// Vander-Zanden and Taylor 1990). Exact to a few of a hundred, and no more than about 3,000 are told apart.
///
/// Places are few: keys that meet in one take turns, and each then counts for less than it is.
struct ActiveKeys {
    private static let places = 64
    private static let bitmapWords = 8
    private static let placeWords = 2 + 2 * bitmapWords
    static let words = places * placeWords
    private static let bits = bitmapWords * 64

    private let memory: SharedMemory
    private let firstWord: Int
    /// By how many bits are not set, how many have come.
    private let estimates: [UInt64]

    /// - Parameter firstWord: where it begins in `memory`; the words are zero at first.
    init(_ memory: SharedMemory, firstWord: Int) {
        self.memory = memory
        self.firstWord = firstWord
        var estimates = [UInt64](repeating: 0, count: Self.bits + 1)
        var sum = 0.0
        for unset in stride(from: Self.bits, through: 0, by: -1) {
            estimates[unset] = UInt64(sum.rounded())
            if unset > 0 { sum += Double(Self.bits) / Double(unset) }
        }
        self.estimates = estimates
    }

    /// Somebody uses a key.
    ///
    /// - Parameters:
    ///   - key: the key's fingerprint, and `who` that of who uses it.
    ///   - window: how long who has come counts at the least, and for twice as long at most.
    /// - Returns: how many have, this one among them.
    func note(_ key: UInt64, by who: UInt64, window: Nanoseconds, at now: Instant) -> UInt64 {
        let place = firstWord + Int(key % UInt64(Self.places)) * Self.placeWords
        let number = max(1, now.nanoseconds / max(1, window.count))
        if memory.load(place) != key {
            memory.store(place, key)
            begin(place, from: number, keepsLast: false)
        }
        let last = memory.load(place + 1)
        if last != number, memory.compareExchange(place + 1, expected: last, desired: number).exchanged {
            begin(place, from: number, keepsLast: number == last &+ 1)
        }
        let bit = Int(who % UInt64(Self.bits))
        let word = place + 2 + bit / 64
        let mask = UInt64(1) << UInt64(bit % 64)
        var present = memory.load(word)
        while present & mask == 0 {
            let (isMine, original) = memory.compareExchange(word, expected: present, desired: present | mask)
            if isMine { break }
            present = original
        }
        var unset = 0
        for index in 0..<Self.bitmapWords {
            let both = memory.load(place + 2 + index) | memory.load(place + 2 + Self.bitmapWords + index)
            unset += (~both).nonzeroBitCount
        }
        return max(1, estimates[unset])
    }

    /// A window begins. Who comes meanwhile may be forgotten, and counts again when it comes again.
    private func begin(_ place: Int, from number: UInt64, keepsLast: Bool) {
        memory.store(place + 1, number)
        for index in 0..<Self.bitmapWords {
            memory.store(place + 2 + Self.bitmapWords + index, keepsLast ? memory.load(place + 2 + index) : 0)
            memory.store(place + 2 + index, 0)
        }
    }
}
