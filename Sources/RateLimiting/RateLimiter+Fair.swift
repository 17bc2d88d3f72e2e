import Authentication
import Authorization
import Routing
import System
import Time

/// Limits that many share: `fair $claim.org;`.
///
/// While more than a half of what may come at once is there, everybody may use it. Below, each has its part of the rate on this host: of one part more than there are
/// who use it, so that who comes last finds something. What some leave, the others have: it fills the half again.
extension RateLimiter {
    /// False when who asks has had more than its part of a quota of which little is left; the error then stands in `present`.
    ///
    /// - Parameters:
    ///   - key: the fingerprint of the limit's key.
    ///   - quota: what all share.
    func isFair(
        _ limit: Limit, _ id: LimitID, _ key: UInt64, _ quota: Quota, _ context: RequestContext, _ now: Instant,
        _ present: inout AdmissionProgress.Present
    ) -> Bool {
        guard let who = limit.partKey(present.permit?.identity, in: context) else { return true }
        let place = LimitBounds.fingerprint(ofPart: key, table.fingerprint(who.span))
        let window = min(max(quota.window, .seconds(1)), .seconds(60))
        guard let active = activeKeys.note(key, by: place, window: window, at: now) else { return true }
        var hosts: UInt64 = 1
        // A store may say any number.
        if case .redis(let store) = limit.store { hosts = min(max(1, members.count(of: store)), partsMax) }
        let part = LimitBounds.part(of: quota, 1, min((active + 1) * hosts, partsMax))
        let known = table.look(key, quota, now: now.nanoseconds)
        if known.remaining < quota.burst / 2 { return admitWithinBound(id, place, part, now, &present) }
        // What it takes while there is enough counts when there is not.
        let decision = table.admit(place, part, now: now.nanoseconds)
        if decision.isAllowed { present.withRest { $0.chargedBounds.append((place, part, decision.charge)) } }
        return true
    }
}

private let partsMax: UInt64 = 10_000
