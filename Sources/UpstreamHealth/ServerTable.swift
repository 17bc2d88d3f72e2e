package import Bytes
package import System
package import Time

/// How the servers of all upstreams are, in memory that all processes of the host share: so a server that fails one worker is known to all, and
/// a reload or an upgrade forgets nothing.
package struct ServerTable {
    package static let entriesMax = 1_024
    package static let words = entriesMax * ServerHealth.words

    private let memory: SharedMemory
    private let firstWord: Int
    private let hash: SipHash

    package init(_ memory: SharedMemory, firstWord: Int, hash: SipHash) {
        self.memory = memory
        self.firstWord = firstWord
        self.hash = hash
    }

    /// The entry of a server, which is begun where there is none; nil when all entries are others'.
    package func health(of server: String, in upstream: String, at now: Instant) -> ServerHealth? {
        let key = max(1, hash.hash(Array("\(upstream)\u{0}\(server)".utf8).span))
        let start = Int(key % UInt64(Self.entriesMax))
        func entry(_ step: Int) -> ServerHealth {
            ServerHealth(memory, firstWord: firstWord + (start + step) % Self.entriesMax * ServerHealth.words)
        }
        // Its own, wherever it stands, before one that has become free in front of it.
        for step in 0..<Self.entriesMax {
            let candidate = entry(step)
            if candidate.find(key, at: now) { return candidate }
            if candidate.isUnused { break }
        }
        return (0..<Self.entriesMax).lazy.map(entry).first { $0.take(key, at: now) }
    }
}
