package import Bytes
package import System
package import Time

/// What all workers of the host have to do with each upstream at the moment, in memory that they share.
package struct LoadTable {
    package static let entriesMax = 256
    /// - Parameter slots: of all processes that may live at once.
    package static func words(slots: Int) -> Int { entriesMax * UpstreamLoad.words(slots: slots) }

    private let entries: SharedEntries
    private let slots: Int

    package init(_ memory: SharedMemory, firstWord: Int, slots: Int, hash: SipHash) {
        self.slots = slots
        entries = SharedEntries(
            memory: memory, firstWord: firstWord, count: Self.entriesMax, words: UpstreamLoad.words(slots: slots), hash: hash)
    }

    /// The load of an upstream, to which the process of `slot` adds its own, from nothing on; nil when all entries are others'.
    package func load(of upstream: String, slot: Int, at now: Instant) -> UpstreamLoad? {
        guard let entry = entries.entry(of: upstream, at: now), (0..<slots).contains(slot) else { return nil }
        let load = UpstreamLoad(entries.memory, firstWord: entry, slots: slots, slot: slot)
        load.begin()
        return load
    }

    /// The process of a slot has ended, whatever it was about.
    package func ended(slot: Int) {
        for entry in entries.used { UpstreamLoad(entries.memory, firstWord: entry, slots: slots, slot: slot).clear() }
    }
}
