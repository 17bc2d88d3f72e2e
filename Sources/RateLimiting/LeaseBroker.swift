import Time

/// Gets leases of limits from their stores for the requests of one worker, and spends those of the host.
final class LeaseBroker {
    /// What this worker has got for the host, to be given back when it ends.
    private struct Kept {
        let call: RemoteCall
        let limit: LimitID
        let charge: GCRA.Charge
        let number: UInt64
        let end: Instant
        let store: any RemoteStore
    }

    private let leases: LeaseTable
    private let metrics: LimitMetrics?
    /// Calls for leases that are under way, by the key's fingerprint.
    private var pending: [UInt64: PendingLease] = [:]
    private var kept: [UInt64: Kept] = [:]
    /// Whether this worker takes no more than what its requests need.
    private var isEnding = false

    init(_ leases: LeaseTable, _ metrics: LimitMetrics?) {
        self.leases = leases
        self.metrics = metrics
    }

    /// Spends one request of a lease; nil when the host has none of this key.
    func spend(_ fingerprint: UInt64, at now: Instant) -> LeaseTable.Lease? { leases.spend(fingerprint, at: now) }

    /// When the lease of a key ends.
    func end(of fingerprint: UInt64, at now: Instant) -> Instant? { leases.end(of: fingerprint, at: now) }

    /// A request that was charged does not count after all; false where its lease has ended.
    ///
    /// - Parameter end: of the lease that there was then.
    func giveBack(_ fingerprint: UInt64, of end: Instant, most: UInt64, at now: Instant) -> Bool {
        leases.giveBack(fingerprint, of: end, most: most, at: now)
    }

    /// Gets one request of a key for who waits, and a lease for those who come later. Who comes while the call is under way waits for the same reply; of the workers of a
    /// host one takes the lease, and the others what their own requests need.
    ///
    /// - Parameters:
    ///   - call: for one request of the key.
    ///   - most: how large a lease may be.
    func request(
        _ fingerprint: UInt64, _ call: RemoteCall, _ limit: LimitID, most: UInt64, for waiter: PendingDecision, of store: any RemoteStore,
        at now: Instant
    ) {
        if let present = pending[fingerprint] { return present.waiters.append(waiter) }
        ask(fingerprint, call, limit, most: most, for: [waiter], of: store, now)
    }

    private func ask(
        _ fingerprint: UInt64, _ call: RemoteCall, _ limit: LimitID, most: UInt64, for waiters: [PendingDecision],
        of store: any RemoteStore, _ now: Instant
    ) {
        let claim = isEnding ? nil : leases.claim(fingerprint, most: most, at: now)
        let count = max(claim?.size ?? 1, min(UInt64(waiters.count), call.quota.burst))
        let asked = call.asked(for: count)
        let lease = PendingLease(fingerprint, asked, limit, most: most, claim, waiters, store, self)
        pending[fingerprint] = lease
        store.decide([asked], for: lease)
    }

    fileprivate func decided(_ lease: PendingLease, _ decision: GCRA.Decision?, _ now: Instant) {
        pending[lease.fingerprint] = nil
        let waiting = lease.waiters.filter { !$0.isForgotten }
        guard let decision else {
            // Those who are let through meanwhile have theirs if the store has charged after all.
            lease.passed = UInt64(waiting.count)
            if let claim = lease.claim { leases.release(claim, of: lease.fingerprint) }
            for waiter in waiting { waiter.decided(nil, at: now) }
            return
        }
        // Those who have come since it was asked are not counted in.
        let first = waiting.prefix(Int(lease.call.count))
        keep(lease, decision, for: UInt64(first.count), now)
        if let claim = lease.claim { leases.release(claim, of: lease.fingerprint) }
        let rest = Array(waiting.dropFirst(first.count))
        let isUsedUp = decision.granted < lease.call.count
        if !rest.isEmpty, !isUsedUp {
            ask(lease.fingerprint, lease.call, lease.limit, most: lease.most, for: rest, of: lease.store, now)
        }
        let told = isUsedUp ? waiting : Array(first)
        for (waiter, part) in zip(told, lease.call.quota.gcra.parts(of: decision, for: told.count)) {
            waiter.decided([part.asPart(of: decision)], at: now)
        }
    }

    /// A lease that comes late is one all the same: it was charged.
    fileprivate func decidedLate(_ lease: PendingLease, _ decision: GCRA.Decision?, _ now: Instant) {
        if let decision { keep(lease, decision, for: lease.passed, now) }
    }

    /// Keeps what those who wait have left of a grant. What was granted for some who have gone meanwhile is dropped, so that no lease grows beyond its bound.
    private func keep(_ lease: PendingLease, _ decision: GCRA.Decision, for waiting: UInt64, _ now: Instant) {
        guard let claim = lease.claim, decision.isAllowed else { return }
        let left = min(claim.size, decision.granted - min(decision.granted, waiting))
        // Nobody would give it back later.
        if isEnding {
            if left > 0 {
                let charge = GCRA.Charge(end: decision.arrival, refundedBefore: decision.refundedBefore, units: left)
                lease.store.refund([RemoteRefund(call: lease.call.asked(for: left), charge: charge)])
            }
            return
        }
        guard let number = leases.keep(left, size: claim.size, decision, of: lease.call.quota, for: lease.fingerprint, at: now), left > 0
        else { return }
        metrics?.leased(lease.limit, left)
        if kept.count >= keptMax { kept = kept.filter { $0.value.end > now } }
        guard kept.count < keptMax, let end = leases.end(of: lease.fingerprint, at: now) else { return }
        let charge = GCRA.Charge(end: decision.arrival, refundedBefore: decision.refundedBefore, units: left)
        kept[lease.fingerprint] = Kept(
            call: lease.call, limit: lease.limit, charge: charge, number: number, end: end, store: lease.store)
    }

    /// An operator has changed what a key has used: what is left of leases of it is nobody's.
    func forget(_ fingerprint: UInt64) {
        leases.forget(fingerprint)
        kept[fingerprint] = nil
    }

    /// This worker ends: what is left of its leases goes back to the stores.
    ///
    /// - Parameter told: of each, what is taken back.
    func giveAllBack(at now: Instant, _ told: (RemoteRefund) -> Void) {
        isEnding = true
        for (fingerprint, one) in kept {
            let left = min(leases.takeAll(fingerprint, number: one.number, at: now), one.charge.units)
            guard left > 0 else { continue }
            let charge = GCRA.Charge(end: one.charge.end, refundedBefore: one.charge.refundedBefore, units: left)
            let refund = RemoteRefund(call: one.call.asked(for: left), charge: charge)
            one.store.refund([refund])
            metrics?.returned(one.limit, left)
            told(refund)
        }
        kept = [:]
    }
}

/// One call for a lease, and all who wait for it. The lease is charged even if nobody waits any more.
private final class PendingLease: RemoteDecisionReceiver {
    let fingerprint: UInt64
    let call: RemoteCall
    let limit: LimitID
    let most: UInt64
    /// Nil where another worker takes the lease.
    let claim: LeaseTable.Claim?
    let store: any RemoteStore
    var waiters: [PendingDecision]
    /// How many had no reply in time.
    var passed: UInt64 = 0
    private unowned let broker: LeaseBroker

    init(
        _ fingerprint: UInt64, _ call: RemoteCall, _ limit: LimitID, most: UInt64, _ claim: LeaseTable.Claim?,
        _ waiters: [PendingDecision], _ store: any RemoteStore, _ broker: LeaseBroker
    ) {
        self.fingerprint = fingerprint
        self.call = call
        self.limit = limit
        self.most = most
        self.claim = claim
        self.waiters = waiters
        self.store = store
        self.broker = broker
    }

    func decided(_ decisions: [GCRA.Decision]?, at now: Instant) { broker.decided(self, decisions?.first, now) }

    func decidedLate(_ decisions: [GCRA.Decision], at now: Instant) { broker.decidedLate(self, decisions.first, now) }
}

/// A worker ends with so many leases to give back at most.
private let keptMax = 16_384
