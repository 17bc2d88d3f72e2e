package import Bytes
import Observability
package import RateLimiting
package import System
package import UpstreamHealth

/// The memory that all processes of one host share: hash keys, how the servers of upstreams are, and the limit table. It outlives workers and reloads.
package struct HostMemory {
    package let memory: SharedMemory

    /// New memory, with fresh hash keys.
    package init(limitKeys: Int) throws(SystemError) {
        memory = try SharedMemory(words: Self.headerWords + ServerTable.words + LimitTable.words(forKeys: limitKeys))
        memory.store(0, SystemRandom.word())
        memory.store(1, SystemRandom.word())
        memory.store(2, Self.layout)
    }

    /// The memory of another program, which may be of another version; nil if it is laid out in another way.
    package init?(inherited descriptor: consuming Descriptor) {
        guard let memory = try? SharedMemory(mapping: descriptor), memory.words > Self.headerWords + ServerTable.words,
            memory.load(2) == Self.layout
        else {
            return nil
        }
        self.memory = memory
    }

    /// The memory behind a descriptor from the supervisor.
    package init(mapping descriptor: consuming Descriptor) throws(SystemError) { memory = try SharedMemory(mapping: descriptor) }

    package var hash: SipHash { SipHash(key0: memory.load(0), key1: memory.load(1)) }

    package var limitTable: LimitTable {
        LimitTable(
            memory, firstWord: Self.headerWords + ServerTable.words, words: memory.words - Self.headerWords - ServerTable.words, hash: hash)
    }

    package var servers: ServerTable { ServerTable(memory, firstWord: Self.headerWords, hash: hash) }

    private static let headerWords = 8
    /// Tells one layout from another: it goes up whenever the meaning of a word changes.
    private static let layout: UInt64 = 4
}
