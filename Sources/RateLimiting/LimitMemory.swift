package import Bytes
package import System

/// What the workers of a host know of limits together: the table, the leases, which refusals hold, how many hosts there are, and how many use a key.
package struct LimitMemory {
    package let table: LimitTable
    let leases: LeaseTable
    let refusals: KnownRefusals
    package let members: HostMembers
    let activeKeys: ActiveKeys

    /// - Parameters:
    ///   - firstWord: where it begins in `memory`; the words are zero at first.
    ///   - words: how many it may take; see ``words(forKeys:)``.
    package init(_ memory: SharedMemory, firstWord: Int, words: Int, hash: SipHash) {
        leases = LeaseTable(memory, firstWord: firstWord)
        refusals = KnownRefusals(memory, firstWord: firstWord + LeaseTable.words)
        members = HostMembers(memory, firstWord: firstWord + LeaseTable.words + KnownRefusals.words, hash: hash)
        activeKeys = ActiveKeys(memory, firstWord: firstWord + LeaseTable.words + KnownRefusals.words + HostMembers.words)
        table = LimitTable(memory, firstWord: firstWord + Self.ownWords, words: words - Self.ownWords, hash: hash)
    }

    package static func words(forKeys keys: Int) -> Int { ownWords + LimitTable.words(forKeys: keys) }

    private static let ownWords = LeaseTable.words + KnownRefusals.words + HostMembers.words + ActiveKeys.words
}
