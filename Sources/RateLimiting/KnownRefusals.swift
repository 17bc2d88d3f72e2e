import System
import Time

/// When a host has asked stores last about keys that had nothing left, in memory that its workers share. For a second nobody asks again; then one question finds out
/// whether it still holds: another host may have given a charge back, or an operator may have forgiven the key.
///
/// One word for each of 65,536 places: the key's tag, and the moment in milliseconds. Keys that share a place ask more often.
struct KnownRefusals {
    static let words = 65_536

    private let memory: SharedMemory
    private let firstWord: Int

    /// - Parameter firstWord: where it begins in `memory`; the words are zero at first.
    init(_ memory: SharedMemory, firstWord: Int) {
        self.memory = memory
        self.firstWord = firstWord
    }

    /// A store has refused the key.
    func confirm(_ fingerprint: UInt64, at now: Instant) { memory.store(word(fingerprint), content(fingerprint, now)) }

    /// Whether the refusal may be given without asking.
    func holds(_ fingerprint: UInt64, at now: Instant) -> Bool {
        let present = memory.load(word(fingerprint))
        let new = content(fingerprint, now)
        // The turn of another worker may have begun later.
        let (moment, now) = (present & momentMask, new & momentMask)
        if present >> momentBits == new >> momentBits, max(moment, now) - min(moment, now) < holdsFor { return true }
        // Who comes while the store is asked need not ask too.
        return !memory.compareExchange(word(fingerprint), expected: present, desired: new).exchanged
    }

    private func word(_ fingerprint: UInt64) -> Int { firstWord + Int(fingerprint % UInt64(Self.words)) }

    private func content(_ fingerprint: UInt64, _ now: Instant) -> UInt64 {
        (fingerprint >> 16) << momentBits | now.nanoseconds / 1_000_000 & momentMask
    }
}

/// Of milliseconds: 34 years.
private let momentBits: UInt64 = 40
private let momentMask: UInt64 = 1 << momentBits - 1
/// Milliseconds.
private let holdsFor: UInt64 = 1_000
