package import Bytes
package import System

/// What the workers of a host know of limits together: the table, the leases, and which refusals hold.
package struct LimitMemory {
    package let table: LimitTable
    let leases: LeaseTable
    let refusals: KnownRefusals

    /// - Parameters:
    ///   - firstWord: where it begins in `memory`; the words are zero at first.
    ///   - words: how many it may take; see ``words(forKeys:)``.
    package init(_ memory: SharedMemory, firstWord: Int, words: Int, hash: SipHash) {
        leases = LeaseTable(memory, firstWord: firstWord)
        refusals = KnownRefusals(memory, firstWord: firstWord + LeaseTable.words)
        let own = LeaseTable.words + KnownRefusals.words
        table = LimitTable(memory, firstWord: firstWord + own, words: words - own, hash: hash)
    }

    package static func words(forKeys keys: Int) -> Int { LeaseTable.words + KnownRefusals.words + LimitTable.words(forKeys: keys) }
}
