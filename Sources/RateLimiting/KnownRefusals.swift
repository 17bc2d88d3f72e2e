import System
import Time

/// When a worker has asked stores last about keys that had nothing left. For a second nobody asks again; then one question finds out whether it still
/// holds: another host may have given a charge back, or an operator may have forgiven the key.
struct KnownRefusals {
    private var confirmedAt: [UInt64: Instant] = [:]

    /// A store has refused the key.
    mutating func confirm(_ fingerprint: UInt64, at now: Instant) {
        if confirmedAt.count >= keysMax { confirmedAt.removeAll(keepingCapacity: true) }
        confirmedAt[fingerprint] = now
    }

    /// Whether the refusal may be given without asking.
    mutating func holds(_ fingerprint: UInt64, at now: Instant) -> Bool {
        guard let moment = confirmedAt[fingerprint], now.since(moment) < holdsFor else {
            // Who comes while the store is asked need not ask too.
            confirm(fingerprint, at: now)
            return false
        }
        return true
    }
}

private let keysMax = 65_536
private let holdsFor = Nanoseconds.seconds(1)
