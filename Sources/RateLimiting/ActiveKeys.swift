import System
import Time

/// How many have used a limit's key lately, as all workers of a host have seen it: an estimate, in memory that they share.
///
/// Of each key two windows of time are kept, as bits of which each who comes sets one; how many were there follows from how many bits are left (linear counting; Whang,
/// Vander-Zanden and Taylor 1990). Exact to a few of a hundred, and no more than about 3,000 are told apart.
///
/// There are 4,096 places, in sets of eight; a key takes one that nobody has used for two windows.
struct ActiveKeys {
    private static let places = 4_096
    private static let ways = 8
    private static let bitmapWords = 8
    /// The key; the window that it is in; when its place is free, in nanoseconds; and the bits of this window and of the last one.
    private static let placeWords = 3 + 2 * bitmapWords
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
    /// - Returns: how many have, this one among them; nil where the key finds no place.
    func note(_ key: UInt64, by who: UInt64, window: Nanoseconds, at now: Instant) -> UInt64? {
        // Counted in another window it is another count: processes of two configurations may run side by side.
        let key = max(1, key ^ window.count &* 0x9E37_79B9_7F4A_7C15)
        let number = max(1, now.nanoseconds / max(1, window.count))
        guard let place = place(of: key, now) else { return nil }
        memory.store(place + 2, now.adding(window).adding(window).nanoseconds)
        let last = memory.load(place + 1)
        // A worker whose turn began earlier finds the next window there already.
        if number > last, memory.compareExchange(place + 1, expected: last, desired: number).exchanged {
            begin(place, keepsLast: number == last + 1)
        }
        let bit = Int(who % UInt64(Self.bits))
        let word = place + 3 + bit / 64
        let mask = UInt64(1) << UInt64(bit % 64)
        var present = memory.load(word)
        while present & mask == 0 {
            let (isMine, original) = memory.compareExchange(word, expected: present, desired: present | mask)
            if isMine { break }
            present = original
        }
        var unset = 0
        for index in 0..<Self.bitmapWords {
            let both = memory.load(place + 3 + index) | memory.load(place + 3 + Self.bitmapWords + index)
            unset += (~both).nonzeroBitCount
        }
        return max(1, estimates[unset])
    }

    private func place(of key: UInt64, _ now: Instant) -> Int? {
        let set = Int(key % UInt64(Self.places / Self.ways)) * Self.ways
        func place(_ way: Int) -> Int { firstWord + (set + way) * Self.placeWords }
        for way in 0..<Self.ways where memory.load(place(way)) == key { return place(way) }
        for way in 0..<Self.ways {
            let place = place(way)
            let present = memory.load(place)
            guard present == 0 || memory.load(place + 2) < now.nanoseconds else { continue }
            let (isMine, original) = memory.compareExchange(place, expected: present, desired: key)
            if isMine {
                memory.store(place + 1, 0)
                begin(place, keepsLast: false)
                return place
            }
            if original == key { return place }
        }
        return nil
    }

    /// A window begins. Who comes at this moment may be forgotten, and counts again when it comes again.
    private func begin(_ place: Int, keepsLast: Bool) {
        for index in 0..<Self.bitmapWords {
            memory.store(place + 3 + Self.bitmapWords + index, keepsLast ? memory.load(place + 3 + index) : 0)
            memory.store(place + 3 + index, 0)
        }
    }
}
