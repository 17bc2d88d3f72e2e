package import Bytes
package import System
package import Observability
package import RateLimiting

/// The memory that all processes of one host share: hash keys and the limit table. It outlives workers and reloads.
package struct HostMemory {
    package let memory: SharedMemory

    /// New memory, with fresh hash keys.
    package init(limitKeys: Int) throws(SystemError) {
        memory = try SharedMemory(words: Self.headerWords + LimitTable.words(forKeys: limitKeys))
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
        LimitTable(memory, firstWord: Self.headerWords, words: memory.words - Self.headerWords, hash: hash)
    }

    private static let headerWords = 8
    /// Tells one layout from another: it goes up whenever the meaning of a word changes.
    private static let layout: UInt64 = 3
}

/// The memory that one process shares with those that look after it, and with no other: its beat, and of a worker its counters
/// and its log ring. A worker that has come into wrong hands can spoil its own alone.
package struct ProcessMemory {
    /// Workers of all generations that may live at once.
    package static let slotsMax = 256

    package let memory: SharedMemory

    package init() throws(SystemError) { memory = try SharedMemory(words: Self.headerWords + Counters.words + LogRing.words) }

    /// The memory behind a descriptor from the supervisor.
    package init(mapping descriptor: consuming Descriptor) throws(SystemError) { memory = try SharedMemory(mapping: descriptor) }

    package var counters: Counters { Counters(memory, firstWord: Self.headerWords) }
    package var logRing: LogRing { LogRing(memory, firstWord: Self.headerWords + Counters.words) }

    /// Tells the supervisor that the process goes on with its work.
    package func beat() { memory.add(0, 1) }

    /// How often it has told so; zero while it starts.
    package var beats: UInt64 { memory.load(0) }

    /// Another process begins here.
    package func begin() { memory.store(0, 0) }

    private static let headerWords = 8
}
