package import Time
import Authentication
package import Authorization
import Bytes
package import Routing
import System

/// Learns the fate of a request whose limits had to be asked for outside.
package protocol AdmissionWaiter: AnyObject {
    func admissionDecided()
}

/// The stage that turns a ``Permit`` into an ``Admission``, by the limits of the route.
package final class RateLimiter {
    package let limits: [Limit]
    /// By limit, whether it is kept outside this host.
    private let areRemote: [Bool]
    private let table: LimitTable
    private let stores: [String: any RemoteStore]
    private var keyScratch: [UInt8] = []
    private let leases = LeaseBroker()
    private let metrics: LimitMetrics?

    package init(limits: [Limit], table: LimitTable, stores: [String: any RemoteStore], metrics: LimitMetrics? = nil) {
        self.limits = limits
        areRemote = limits.map { if case .redis = $0.store { true } else { false } }
        self.table = table
        self.stores = stores
        self.metrics = metrics
    }

    /// Asks limits before it is known who asks: what they refuse is not looked at any further. What they charge counts with what
    /// ``begin(_:limits:in:at:_:)`` charges.
    ///
    /// - Returns: whether it is decided at once; see ``AdmissionProgress``. Otherwise the waiter is told later.
    package func beginEarly(limits ids: [LimitID], in context: RequestContext, at now: Instant, _ progress: AdmissionProgress) -> Bool {
        begin(nil, ids, in: context, now, progress)
    }

    /// Starts to decide.
    ///
    /// - Returns: as above.
    package func begin(
        _ permit: consuming Permit, limits ids: [LimitID], in context: RequestContext, at now: Instant, _ progress: AdmissionProgress
    ) -> Bool {
        begin(consume permit, ids, in: context, now, progress)
    }

    private func begin(
        _ permit: consuming Permit?, _ ids: [LimitID], in context: RequestContext, _ now: Instant, _ progress: AdmissionProgress
    ) -> Bool {
        var present: AdmissionProgress.Present?
        progress.trade(&present)
        present!.start(consume permit)
        let isDecided = decideLocally(ids, in: context, now, &present!)
        progress.trade(&present)
        if isDecided { return true }
        ask(ids, in: context, now, progress)
        return progress.isDecided
    }

    /// Decides by limits that are all kept on this host; false when some are not, and nothing was decided.
    private func decideLocally(
        _ ids: [LimitID], in context: RequestContext, _ now: Instant, _ present: inout AdmissionProgress.Present
    ) -> Bool {
        for id in ids where areRemote[id.index] { return false }
        for id in ids {
            let fingerprint = fingerprint(of: limits[id.index], id, present.permit?.identity, in: context)
            guard admitLocally(id, fingerprint, now, &present) else { break }
        }
        present.isDecided = true
        return true
    }

    /// Limits in memory are charged first; if one further on refuses, they are given back.
    private func ask(_ ids: [LimitID], in context: RequestContext, _ now: Instant, _ progress: AdmissionProgress) {
        var groups: [AdmissionProgress.Group] = []
        var leased: [AdmissionProgress.Group] = []
        for id in ids {
            let limit = limits[id.index]
            let key = key(of: limit, id, progress.identity, in: context)
            if case .redis(let store) = limit.store, limit.lease > 1 {
                let call = RemoteCall(limit: limit.name, key: key.bytes, quota: limit.quota)
                leased.append(AdmissionProgress.Group(store: store, ids: [id], calls: [call], leasedUnder: key.fingerprint))
            } else if case .redis(let store) = limit.store {
                let call = RemoteCall(limit: limit.name, key: key.bytes, quota: limit.quota)
                if let present = groups.firstIndex(where: { $0.store == store }) {
                    groups[present].ids.append(id)
                    groups[present].calls.append(call)
                } else {
                    groups.append(AdmissionProgress.Group(store: store, ids: [id], calls: [call], leasedUnder: nil))
                }
            } else if !progress.change({ admitLocally(id, key.fingerprint, now, &$0) }) {
                return progress.finish()
            }
        }
        guard !groups.isEmpty || !leased.isEmpty else { return progress.finish() }
        // The route's stores are asked one after the other; a route with more than one is rare.
        if groups.count > 1 { groups.sort { $0.store < $1.store } }
        progress.change { $0.remoteGroups = groups + leased }
        askNextStore(progress, now)
    }

    /// The fingerprint of a request's key, where nobody has to be told the key itself.
    private func fingerprint(of limit: Limit, _ id: LimitID, _ identity: Identity?, in context: RequestContext) -> UInt64 {
        if limit.dependsOnClaimsAlone, let made = identity?.principal.limitFingerprint(id.index) { return made }
        return key(of: limit, id, identity, in: context).fingerprint
    }

    /// The key of a request; what a token alone decides is made once for each token.
    private func key(of limit: Limit, _ id: LimitID, _ identity: Identity?, in context: RequestContext) -> RenderedKey {
        if limit.dependsOnClaimsAlone, let made = identity?.principal.limitKey(id.index) { return made }
        keyScratch.removeAll(keepingCapacity: true)
        let hasStandIn = limit.renderKey(identity, in: context, into: &keyScratch)
        let fingerprint = table.fingerprint(keyScratch.span)
        let key = RenderedKey(bytes: keyScratch, fingerprint: fingerprint)
        if limit.dependsOnClaimsAlone, !hasStandIn { identity?.principal.keep(key, at: id.index) }
        return key
    }

    /// The request has been answered with this status: limits that count other statuses alone get their charge back.
    ///
    /// Every request is charged before it is forwarded, so that many at once cannot pass before the first is counted.
    package func settle(_ progress: AdmissionProgress, status: Int, at now: Instant) {
        progress.change { settle(&$0, status, now) }
    }

    private func settle(_ present: inout AdmissionProgress.Present, _ status: Int, _ now: Instant) {
        for charge in present.charged where !limits[charge.limit.index].counts(status) { giveBack(charge, now) }
        for charge in present.chargedRemote where !limits[charge.limit.index].counts(status) { giveBack(charge, now) }
        present.forgetCharges()
    }

    /// False when the limit refuses; the error then stands in `present`.
    private func admitLocally(
        _ id: LimitID, _ fingerprint: UInt64, _ now: Instant, _ present: inout AdmissionProgress.Present, inPlaceOfStore: Bool = false
    ) -> Bool {
        let limit = limits[id.index]
        let decision = table.admit(fingerprint, limit.quota, now: now.nanoseconds)
        metrics?.decided(id, inPlaceOfStore ? .local : decision.isAllowed ? .allowed : .refused)
        present.states.append(LimitState(id, decision, of: limit.quota))
        if decision.isAllowed {
            present.charged.append(AdmissionProgress.LocalCharge(limit: id, fingerprint: fingerprint, charge: decision.charge))
            return true
        }
        refuse(&present, .limitExceeded(limit: id, retryAfter: decision.retryAfter), now)
        return false
    }

    private func refuse(_ present: inout AdmissionProgress.Present, _ error: AdmissionError, _ now: Instant) {
        for charge in present.charged { giveBack(charge, now) }
        for charge in present.chargedRemote { giveBack(charge, now) }
        present.forgetCharges()
        present.error = error
    }

    private func giveBack(_ charge: AdmissionProgress.LocalCharge, _ now: Instant) {
        table.refund(charge.fingerprint, limits[charge.limit.index].quota, charge.charge, now: now.nanoseconds)
    }

    private func giveBack(_ charge: AdmissionProgress.RemoteCharge, _ now: Instant) {
        if let lease = charge.lease {
            leases.giveBack(lease.fingerprint, of: lease.end, most: limits[charge.limit.index].lease, at: now)
        } else if let made = charge.charge {
            stores[charge.store]?.refund([RemoteRefund(call: charge.call, charge: made)])
        }
    }

    private func askNextStore(_ progress: AdmissionProgress, _ now: Instant) {
        while let group = progress.nextGroup {
            if let fingerprint = group.leasedUnder, spend(fingerprint, group, progress, now) {
                progress.forgetGroup()
                continue
            }
            guard let store = stores[group.store], store.isAvailable else {
                progress.forgetGroup()
                guard decideWithout(group, progress, now) else { return progress.finish() }
                continue
            }
            let pending = PendingDecision { [unowned self] decisions, now in self.decided(group, decisions, progress, now) }
            progress.change { $0.pending = pending }
            if let fingerprint = group.leasedUnder {
                leases.request(fingerprint, group.calls[0], most: limits[group.ids[0].index].lease, for: pending, of: store, at: now)
            } else {
                store.decide(group.calls, for: pending)
            }
            return
        }
        progress.finish()
    }

    /// Spends one request of the lease that this worker has; false when it has none.
    private func spend(_ fingerprint: UInt64, _ group: AdmissionProgress.Group, _ progress: AdmissionProgress, _ now: Instant) -> Bool {
        guard let lease = leases.spend(fingerprint, at: now) else { return false }
        metrics?.decided(group.ids[0], .allowed)
        let state = LimitState(
            limit: group.ids[0], remaining: lease.left.addingReportingOverflow(lease.leftInStore).partialValue,
            nextAfter: group.calls[0].quota.gcra.nextAfter(ahead: lease.wholeAt.since(now).count), retryAfter: .zero)
        let charge = AdmissionProgress.RemoteCharge(
            limit: group.ids[0], store: group.store, call: group.calls[0], charge: nil, lease: (fingerprint, lease.end))
        progress.change { present in
            present.states.append(state)
            present.chargedRemote.append(charge)
        }
        return true
    }

    private func decided(
        _ group: AdmissionProgress.Group, _ decisions: [GCRA.Decision]?, _ progress: AdmissionProgress, _ now: Instant
    ) {
        defer { progress.tellIfDecided() }
        // A lease was granted, of which one request may be left; otherwise the next one is asked for.
        if group.leasedUnder != nil, let first = decisions?.first, first.isAllowed { return askNextStore(progress, now) }
        progress.forgetGroup()
        guard let decisions, decisions.count == group.calls.count else {
            guard decideWithout(group, progress, now) else { return progress.finish() }
            return askNextStore(progress, now)
        }
        let states = zip(group.ids, decisions).map { LimitState($0, $1, of: limits[$0.index].quota) }
        progress.change { $0.states += states }
        for (id, decision) in zip(group.ids, decisions) { metrics?.decided(id, decision.isAllowed ? .allowed : .refused) }
        if let refused = zip(group.ids, decisions).first(where: { !$0.1.isAllowed }) {
            progress.change { refuse(&$0, .limitExceeded(limit: refused.0, retryAfter: refused.1.retryAfter), now) }
            return progress.finish()
        }
        let charges = zip(zip(group.ids, group.calls), decisions).map { asked, decision in
            AdmissionProgress.RemoteCharge(limit: asked.0, store: group.store, call: asked.1, charge: decision.charge, lease: nil)
        }
        progress.change { $0.chargedRemote += charges }
        askNextStore(progress, now)
    }

    /// Goes by `when_store_fails`; false when the request is refused.
    private func decideWithout(_ group: AdmissionProgress.Group, _ progress: AdmissionProgress, _ now: Instant) -> Bool {
        for (id, call) in zip(group.ids, group.calls) {
            switch limits[id.index].whenStoreFails {
            case .open: metrics?.decided(id, .failedOpen)
            case .closed:
                metrics?.decided(id, .failedClosed)
                progress.change { refuse(&$0, .storeUnavailable(limit: id), now) }
                return false
            case .local:
                let fingerprint = table.fingerprint(call.key.span)
                if !progress.change({ admitLocally(id, fingerprint, now, &$0, inPlaceOfStore: true) }) { return false }
            }
        }
        return true
    }
}
