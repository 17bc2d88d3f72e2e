package import Bytes
package import System
package import Time

/// How the servers of all upstreams are, in memory that all processes of the host share: so a server that fails one worker is known to all, and
/// a reload or an upgrade forgets nothing.
package struct ServerTable {
    package static let entriesMax = 1_024
    package static let words = entriesMax * ServerHealth.words

    private let entries: SharedEntries

    package init(_ memory: SharedMemory, firstWord: Int, hash: SipHash) {
        entries = SharedEntries(
            memory: memory, firstWord: firstWord, count: Self.entriesMax, words: ServerHealth.words, hash: hash,
            isKept: { ServerHealth(memory, firstWord: $0).isDrained })
    }

    /// The entry of a server, which is begun where there is none; nil when all entries are others'.
    package func health(of server: String, in upstream: String, at now: Instant) -> ServerHealth? {
        entries.entry(of: "\(upstream)\u{0}\(server)", at: now).map { ServerHealth(entries.memory, firstWord: $0) }
    }

    /// The circuit breaker of an upstream: a breaker that is open is an ejection of all its servers as one.
    package func breaker(of upstream: String, at now: Instant) -> ServerHealth? { health(of: "", in: upstream, at: now) }
}
