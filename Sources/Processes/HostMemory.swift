package import Bytes
import Observability
package import RateLimiting
package import System
package import Time
package import UpstreamHealth

/// The memory that all processes of one host share: hash keys, how the servers of upstreams are, what upstreams have to do, and what is known of limits. It outlives workers and reloads.
package struct HostMemory {
    package let memory: SharedMemory

    /// New memory, with fresh hash keys.
    package init(limitKeys: Int) throws(SystemError) {
        memory = try SharedMemory(words: Self.limitsFrom + LimitMemory.words(forKeys: limitKeys))
        memory.store(0, SystemRandom.word())
        memory.store(1, SystemRandom.word())
        memory.store(2, Self.layout)
    }

    /// The memory of another program, which may be of another version; nil if it is laid out in another way.
    package init?(inherited descriptor: consuming Descriptor) {
        guard let memory = try? SharedMemory(mapping: descriptor), memory.words > Self.limitsFrom,
            memory.load(2) == Self.layout
        else {
            return nil
        }
        self.memory = memory
    }

    /// The memory behind a descriptor from the supervisor.
    package init(mapping descriptor: consuming Descriptor) throws(SystemError) { memory = try SharedMemory(mapping: descriptor) }

    package var hash: SipHash { SipHash(key0: memory.load(0), key1: memory.load(1)) }

    package var limitTable: LimitTable { limits.table }

    package var limits: LimitMemory {
        LimitMemory(memory, firstWord: Self.limitsFrom, words: memory.words - Self.limitsFrom, hash: hash)
    }

    package var servers: ServerTable { ServerTable(memory, firstWord: Self.headerWords, hash: hash) }

    private var loads: LoadTable {
        LoadTable(memory, firstWord: Self.headerWords + ServerTable.words, slots: ProcessMemory.slotsMax, hash: hash)
    }

    /// What all workers have to do with an upstream; the process of `slot` adds its own part to it, from nothing on.
    package func load(of upstream: String, slot: Int, at now: Instant) -> UpstreamLoad? { loads.load(of: upstream, slot: slot, at: now) }

    /// Gives back what the process of a slot has taken.
    package func processEnded(slot: Int) { loads.ended(slot: slot) }

    /// Whether an operator has closed the gateway for maintenance. It stays so over reloads and upgrades.
    package var isClosed: Bool {
        get { memory.load(3) != 0 }
        nonmutating set { memory.store(3, newValue ? 1 : 0) }
    }

    private static let headerWords = 8
    private static let limitsFrom = headerWords + ServerTable.words + LoadTable.words(slots: ProcessMemory.slotsMax)
    /// Tells one layout from another: it goes up whenever the meaning of a word changes.
    private static let layout: UInt64 = 7
}
