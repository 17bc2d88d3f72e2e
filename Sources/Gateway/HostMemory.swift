package import Bytes
package import EventLoop
package import Observability
package import RateLimiting

/// The memory that all processes of one host share: hash keys, the limit table, and for each worker slot its counters and
/// its log ring. It outlives workers and reloads.
package struct HostMemory {
    /// Workers of all generations that may live at once.
    package static let slotsMax = 256

    package let memory: SharedMemory

    /// New memory, with fresh hash keys.
    package init(limitKeys: Int) throws(SystemError) {
        let slots = Self.slotsMax * Self.slotWords
        memory = try SharedMemory(words: Self.headerWords + slots + LimitTable.words(forKeys: limitKeys))
        memory.store(0, SystemRandom.word())
        memory.store(1, SystemRandom.word())
        memory.store(2, Self.layout)
    }

    /// The memory of another program, which may be of another version; nil if it is laid out in another way.
    package init?(inherited descriptor: consuming Descriptor) {
        guard let memory = try? SharedMemory(mapping: descriptor), memory.words > Self.headerWords, memory.load(2) == Self.layout else {
            return nil
        }
        self.memory = memory
    }

    /// The memory behind a descriptor from the supervisor.
    package init(mapping descriptor: consuming Descriptor) throws(SystemError) { memory = try SharedMemory(mapping: descriptor) }

    package var hash: SipHash { SipHash(key0: memory.load(0), key1: memory.load(1)) }

    package var limitTable: LimitTable {
        let first = Self.headerWords + Self.slotsMax * Self.slotWords
        return LimitTable(memory, firstWord: first, words: memory.words - first, hash: hash)
    }

    package func counters(_ slot: Int) -> Counters { Counters(memory, firstWord: Self.firstWord(slot)) }
    package func logRing(_ slot: Int) -> LogRing { LogRing(memory, firstWord: Self.firstWord(slot) + Counters.words) }

    private static let headerWords = 8
    /// Tells one layout from another: the version goes up whenever the meaning of a word changes.
    private static let layout = UInt64(layoutVersion) << 48 | UInt64(slotsMax) << 32 | UInt64(slotWords)
    private static let layoutVersion = 2
    private static let slotWords = Counters.words + LogRing.words

    private static func firstWord(_ slot: Int) -> Int {
        precondition(slot >= 0 && slot < slotsMax, "no such slot")
        return headerWords + slot * slotWords
    }
}
