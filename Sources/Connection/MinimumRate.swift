package import Time
import System

/// Enforces a minimum transfer rate while we wait for a peer (slow-loris defence).
///
/// Only the time counts in which the peer alone is waited for; what it moves counts always.
package struct MinimumRate {
    private var waited = Nanoseconds.zero
    private var waitingSince = Instant.never
    private var bytes: UInt64 = 0
    /// The last window was too slow.
    private var isBehind = false

    package init() {}

    /// From now on the peer is waited for.
    package mutating func beginWaiting(at now: Instant) { if waitingSince == .never { waitingSince = now } }

    /// The peer is not waited for any more.
    package mutating func endWaiting(at now: Instant) {
        if waitingSince != .never { waited += now.since(waitingSince) }
        waitingSince = .never
    }

    /// So many bytes have been moved; false when those of two windows of waiting, one after the other, were too few. After one
    /// alone a short body that came late may be at its end.
    package mutating func moved(_ count: Int, at now: Instant, atLeast rate: TransferRate) -> Bool {
        bytes += UInt64(count)
        let isWaiting = waitingSince != .never
        endWaiting(at: now)
        if isWaiting { waitingSince = now }
        guard waited >= rate.window else { return true }
        let isEnough = bytes >= rate.bytes
        let mayGoOn = isEnough || !isBehind
        waited = .zero
        bytes = 0
        isBehind = !isEnough
        return mayGoOn
    }
}
