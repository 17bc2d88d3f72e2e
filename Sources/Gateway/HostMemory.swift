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
    private static let slotWords = Counters.words + LogRing.words

    private static func firstWord(_ slot: Int) -> Int {
        precondition(slot >= 0 && slot < slotsMax, "no such slot")
        return headerWords + slot * slotWords
    }
}
