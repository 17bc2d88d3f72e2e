import System
package import Time

/// What one upstream has to do for all workers of the host: each worker counts its own part, and all may read the sum.
///
/// A worker that dies takes its part along: the supervisor clears it. Words: the key, when it was used last, up to which slot there are
/// parts; then by slot the requests under way, and by slot those that wait.
package struct UpstreamLoad {
    package enum Part: Int, Sendable {
        /// From the moment at which a request turns to the upstream, to the end of its response.
        case requests
        /// For a connection.
        case waiting
    }

    static func words(slots: Int) -> Int { headWords + 2 * slots }

    private let memory: SharedMemory
    private let firstWord: Int
    private let slots: Int
    private let slot: Int

    init(_ memory: SharedMemory, firstWord: Int, slots: Int, slot: Int) {
        self.memory = memory
        self.firstWord = firstWord
        self.slots = slots
        self.slot = slot
    }

    func begin() {
        clear()
        let used = firstWord + 2
        while true {
            let before = memory.load(used)
            if before > UInt64(slot) || memory.compareExchange(used, expected: before, desired: UInt64(slot) + 1).exchanged { return }
        }
    }

    func clear() {
        for part in [Part.requests, .waiting] { memory.store(word(part, slot), 0) }
    }

    /// A process has use of the entry.
    package func touch(at now: Instant) { memory.store(firstWord + 1, now.nanoseconds) }

    package func began(_ part: Part) { memory.addAlone(word(part, slot), 1) }
    // Adding all ones takes one away.
    package func ended(_ part: Part) { memory.addAlone(word(part, slot), .max) }

    /// Of all workers.
    package func total(_ part: Part) -> Int {
        // Any worker may write here: no number of it leads out of arithmetic.
        (0..<Int(min(memory.load(firstWord + 2), UInt64(slots)))).reduce(0) { sum, slot in
            let count = memory.load(word(part, slot))
            return count <= countMax ? sum + Int(count) : sum
        }
    }

    private func word(_ part: Part, _ slot: Int) -> Int { firstWord + headWords + part.rawValue * slots + slot }
}

private let headWords = 8
private let countMax: UInt64 = 1 << 32
