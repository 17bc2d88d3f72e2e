import Time
import System

/// Gets leases of limits from their stores for the requests of one worker, and spends them.
final class LeaseBroker {
    private var leases = LeaseTable()
    /// Calls for leases that are under way, by the key's fingerprint.
    private var pending: [UInt64: PendingLease] = [:]
    /// The key whose lease is being handed out at this moment, and how many still wait for a part of it.
    private var handingOut: (fingerprint: UInt64, left: UInt64) = (0, 0)

    /// Spends one request of a lease; nil when the worker has none of this key.
    func spend(_ fingerprint: UInt64, at now: Instant) -> LeaseTable.Lease? { leases.spend(fingerprint, at: now) }

    /// A request that was spent does not count after all. Where its lease has ended, the charge stays.
    ///
    /// - Parameter end: of the lease that it was spent from.
    func giveBack(_ fingerprint: UInt64, of end: Instant, most: UInt64, at now: Instant) {
        _ = leases.giveBack(fingerprint, of: end, most: most, at: now)
    }

    /// Gets a lease for all who want one of this key: who comes while the call is under way waits for the same reply.
    ///
    /// - Parameters:
    ///   - call: for one request of the key.
    ///   - most: how large a lease may be.
    func request(
        _ fingerprint: UInt64, _ call: RemoteCall, most: UInt64, for waiter: PendingDecision, of store: any RemoteStore, at now: Instant
    ) {
        if let present = pending[fingerprint] { return present.waiters.append(waiter) }
        let size = leases.nextSize(fingerprint, most: most, at: now)
        let lease = PendingLease(fingerprint, size: size, call.quota, first: waiter, self)
        pending[fingerprint] = lease
        // Those who wait already spend theirs at once: they make the lease no larger than it may be.
        let waiting = handingOut.fingerprint == fingerprint ? handingOut.left : 1
        let count = max(size, min(waiting, call.quota.burst))
        store.decide(
            [
                RemoteCall(
                    name: call.name, fingerprint: call.fingerprint, quota: call.quota, count: count, isDivisible: true,
                    floor: call.floor, standIns: call.standIns)
            ], for: lease)
    }

    /// A lease that comes late is one all the same: it was charged.
    fileprivate func decidedLate(_ lease: PendingLease, _ decision: GCRA.Decision?, _ now: Instant) {
        guard let decision, decision.isAllowed else { return }
        leases.keep(decision, most: lease.size, size: lease.size, of: lease.quota, for: lease.fingerprint, at: now)
    }

    fileprivate func decided(_ lease: PendingLease, _ decision: GCRA.Decision?, _ now: Instant) {
        let (fingerprint, waiters) = (lease.fingerprint, lease.waiters)
        pending[fingerprint] = nil
        if let decision, decision.isAllowed {
            // Those who have gone meanwhile leave theirs to nobody, so that no lease grows beyond its bound.
            let wanted = UInt64(waiters.count { !$0.isForgotten })
            leases.keep(decision, most: max(lease.size, wanted), size: lease.size, of: lease.quota, for: fingerprint, at: now)
        }
        let outer = handingOut
        for (index, waiter) in waiters.enumerated() {
            handingOut = (fingerprint, UInt64(waiters.count - index))
            waiter.decided(decision.map { [$0] }, at: now)
        }
        handingOut = outer
    }
}

/// One call for a lease, and all who wait for it. The lease is charged even if nobody waits any more.
private final class PendingLease: RemoteDecisionReceiver {
    let fingerprint: UInt64
    let size: UInt64
    let quota: Quota
    var waiters: [PendingDecision]
    private unowned let broker: LeaseBroker

    init(_ fingerprint: UInt64, size: UInt64, _ quota: Quota, first waiter: PendingDecision, _ broker: LeaseBroker) {
        self.fingerprint = fingerprint
        self.size = size
        self.quota = quota
        waiters = [waiter]
        self.broker = broker
    }

    func decided(_ decisions: [GCRA.Decision]?, at now: Instant) { broker.decided(self, decisions?.first, now) }

    func decidedLate(_ decisions: [GCRA.Decision], at now: Instant) { broker.decidedLate(self, decisions.first, now) }
}
