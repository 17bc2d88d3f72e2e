import Bytes
import System
import Time

/// Entries in memory that all processes of the host share, each found by its name. The first word of an entry is its key, the second tells
/// when a process had use of it last; the others are its user's.
struct SharedEntries {
    let memory: SharedMemory
    let firstWord: Int
    let count: Int
    /// Words of each entry.
    let words: Int
    let hash: SipHash
    /// Whether what an entry says is to be remembered for long, also where nobody has use of it, such as an operator's word.
    var isKept: (_ entry: Int) -> Bool = { _ in false }

    /// The first word of the entry of this name, which is begun where there is none; nil when all are others'.
    func entry(of name: String, at now: Instant) -> Int? {
        let key = max(1, hash.hash(Array(name.utf8).span))
        let start = Int(key % UInt64(count))
        // Its own, wherever it stands, before one that has become free in front of it.
        for step in 0..<count {
            let present = memory.load(place(start + step))
            if present == key { return touched(place(start + step), at: now) }
            if present == 0 { break }
        }
        return (0..<count).lazy.map { place(start + $0) }.first { take($0, for: key, at: now) }
    }

    /// The entries that somebody has.
    var used: [Int] { (0..<count).map(place).filter { memory.load($0) != 0 } }

    private func place(_ number: Int) -> Int { firstWord + number % count * words }

    private func touched(_ entry: Int, at now: Instant) -> Int {
        memory.store(entry + 1, now.nanoseconds)
        return entry
    }

    /// Whether this entry is the key's, or has become it: free ones, and those that nobody has had use of for a while.
    private func take(_ entry: Int, for key: UInt64, at now: Instant) -> Bool {
        let present = memory.load(entry)
        if present != key {
            let isFree = present == 0 || Instant(nanoseconds: memory.load(entry + 1)).adding(isKept(entry) ? keptFor : forgottenAfter) < now
            guard isFree, memory.compareExchange(entry, expected: present, desired: key).exchanged else {
                return memory.load(entry) == key
            }
            // New memory is zero: others may have found the key, and use the entry.
            if present != 0 { for word in 1..<words { memory.store(entry + word, 0) } }
        }
        _ = touched(entry, at: now)
        return true
    }
}

/// Processes that have use of an entry say so each second.
private let forgottenAfter = Nanoseconds.seconds(600)
private let keptFor = Nanoseconds.seconds(86_400)
