import Bytes
package import Observability
import RateLimiting
package import System

/// The memory that one process shares with those that look after it, and with no other: its beat, its metrics, and of a
/// worker its counters and its log ring. A worker that has come into wrong hands can spoil its own alone.
package struct ProcessMemory {
    /// Workers of all generations that may live at once.
    package static let slotsMax = 256

    package let memory: SharedMemory

    package init() throws(SystemError) {
        memory = try SharedMemory(words: Self.words)
    }

    /// The memory behind a descriptor from the supervisor.
    package init(mapping descriptor: consuming Descriptor) throws(SystemError) { memory = try SharedMemory(mapping: descriptor) }

    /// The memory of another program, which may be of another version; nil if it is laid out in another way.
    package init?(inherited descriptor: consuming Descriptor) {
        guard let memory = try? SharedMemory(mapping: descriptor), memory.words == Self.words else { return nil }
        self.memory = memory
        guard metrics.isUsable else { return nil }
    }

    package var counters: Counters { Counters(memory, firstWord: Self.headerWords) }
    package var logRing: LogRing { LogRing(memory, firstWord: Self.headerWords + Counters.words) }
    package var metrics: MetricMemory { MetricMemory(memory, firstWord: Self.headerWords + Counters.words + LogRing.words) }

    /// Tells the supervisor that the process goes on with its work.
    package func beat() { memory.add(0, 1) }

    /// How often it has told so; zero while it starts.
    package var beats: UInt64 { memory.load(0) }

    /// Another process begins here.
    package func begin() {
        memory.store(0, 0)
        metrics.clearGauges()
    }

    private static let headerWords = 8
    private static let words = headerWords + Counters.words + LogRing.words + MetricMemory.words
}
