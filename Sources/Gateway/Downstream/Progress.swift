import RateLimiting
import System

/// Whether somebody who is waited for comes on, and does not only keep silence away with a byte now and then.
///
/// Only the time counts in which that peer alone is waited for; what it moves counts always.
struct Progress {
    private var waited: UInt64 = 0
    private var waitingSince = Instant.never
    private var bytes: UInt64 = 0
    /// The last window was too slow.
    private var isBehind = false

    /// From now on the peer is waited for.
    mutating func waits(at now: Instant) { if waitingSince == .never { waitingSince = now } }

    /// The peer is not waited for any more.
    mutating func rests(at now: Instant) {
        if waitingSince != .never { waited += now.since(waitingSince) }
        waitingSince = .never
    }

    /// So many bytes have been moved; false when those of two windows of waiting, one after the other, were too few. After one
    /// alone a short body that came late may be at its end.
    mutating func moved(_ count: Int, at now: Instant, atLeast rate: Quota) -> Bool {
        bytes += UInt64(count)
        let isWaiting = waitingSince != .never
        rests(at: now)
        if isWaiting { waitingSince = now }
        guard waited >= rate.windowNanoseconds else { return true }
        let isEnough = bytes >= rate.count
        let mayGoOn = isEnough || !isBehind
        waited = 0
        bytes = 0
        isBehind = !isEnough
        return mayGoOn
    }
}
