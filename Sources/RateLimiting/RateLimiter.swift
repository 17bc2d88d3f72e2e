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
                let call = call(of: limit, key, to: store, now)
                leased.append(AdmissionProgress.Group(store: store, ids: [id], calls: [call], leasedUnder: key.fingerprint))
            } else if case .redis(let store) = limit.store {
                let call = call(of: limit, key, to: store, now)
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

    /// A question about a key. A store that may have lost its data is told what this host knows.
    private func call(of limit: Limit, _ key: RenderedKey, to store: String, _ now: Instant) -> RemoteCall {
        let isKnown = stores[store]?.knows(key.fingerprint) ?? true
        let floor = isKnown ? 0 : table.ahead(key.fingerprint, limit.quota, now: now.nanoseconds)
        return RemoteCall(
            name: key.name, fingerprint: key.fingerprint, quota: limit.quota, floor: Nanoseconds(floor))
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
        var name: [UInt8] = []
        if case .redis(let store) = limit.store { name = stores[store]?.name(ofKey: keyScratch, limit: limit.name) ?? [] }
        let key = RenderedKey(name: name, fingerprint: fingerprint)
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
    ///
    /// - Parameter standIn: of a charge in place of a store's.
    private func admitLocally(
        _ id: LimitID, _ fingerprint: UInt64, _ now: Instant, _ present: inout AdmissionProgress.Present, standIn: StandIn? = nil
    ) -> Bool {
        let limit = limits[id.index]
        let decision = table.admit(fingerprint, limit.quota, now: now.nanoseconds)
        metrics?.decided(id, standIn != nil ? .local : decision.isAllowed ? .allowed : .refused)
        present.states.append(LimitState(id, decision, of: limit.quota))
        if decision.isAllowed {
            present.charged.append(
                AdmissionProgress.LocalCharge(limit: id, fingerprint: fingerprint, charge: decision.charge, standIn: standIn))
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
        if let standIn = charge.standIn {
            standIn.isUndone = true
            if let inStore = standIn.inStore { stores[standIn.store]?.refund([inStore]) }
        }
        table.refund(charge.fingerprint, limits[charge.limit.index].quota, charge.charge, now: now.nanoseconds)
    }

    private func giveBack(_ charge: AdmissionProgress.RemoteCharge, _ now: Instant) {
        if let lease = charge.lease {
            leases.giveBack(lease.fingerprint, of: lease.end, most: limits[charge.limit.index].lease, at: now)
        } else if let made = charge.charge {
            refund(RemoteRefund(call: charge.call, charge: made), in: charge.store, now)
        }
    }

    private func refund(_ refund: RemoteRefund, in store: String, _ now: Instant) {
        stores[store]?.refund([refund])
        table.unlearn(refund.call.fingerprint, refund.call.quota, now: now.nanoseconds)
    }

    private func askNextStore(_ progress: AdmissionProgress, _ now: Instant) {
        while let group = progress.nextGroup {
            if let fingerprint = group.leasedUnder, spend(fingerprint, group, progress, now) {
                progress.forgetGroup()
                continue
            }
            guard let store = stores[group.store], store.isAvailable else {
                progress.forgetGroup()
                guard decideWithout(group, progress, now, nil) else { return progress.finish() }
                continue
            }
            if isRefusedHere(group, progress, now) { return progress.finish() }
            let pending = PendingDecision { [unowned self] pending, decisions, now in self.decided(group, decisions, progress, now, pending)
            }
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

    /// A store that has refused would do so again until there is more of the quota: how long that is this host knows, so nobody asks. Not where
    /// responses may give charges back.
    private func isRefusedHere(_ group: AdmissionProgress.Group, _ progress: AdmissionProgress, _ now: Instant) -> Bool {
        for (id, call) in zip(group.ids, group.calls) where limits[id.index].countedStatuses.isEmpty {
            if let decision = refusal(of: call, now) {
                refuse(id, decision, progress, now)
                return true
            }
        }
        return false
    }

    /// What this host knows of a key that has nothing left; nil for one that may have.
    private func refusal(of call: RemoteCall, _ now: Instant) -> GCRA.Decision? {
        let ahead = table.ahead(call.fingerprint, call.quota, now: now.nanoseconds)
        guard ahead > 0 else { return nil }
        let decision = call.quota.gcra.decide(arrival: now.adding(Nanoseconds(ahead)).nanoseconds, now: now.nanoseconds)
        return decision.isAllowed ? nil : decision
    }

    private func refuse(_ id: LimitID, _ decision: GCRA.Decision, _ progress: AdmissionProgress, _ now: Instant) {
        metrics?.decided(id, .refused)
        let state = LimitState(id, decision, of: limits[id.index].quota)
        progress.change { present in
            present.states.append(state)
            refuse(&present, .limitExceeded(limit: id, retryAfter: decision.retryAfter), now)
        }
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
        _ group: AdmissionProgress.Group, _ decisions: [GCRA.Decision]?, _ progress: AdmissionProgress, _ now: Instant,
        _ pending: PendingDecision
    ) {
        defer { progress.tellIfDecided() }
        if let decisions, decisions.count == group.calls.count { learn(group, decisions, now) }
        // A lease was granted, of which one request may be left; otherwise the next one is asked for.
        if group.leasedUnder != nil, let first = decisions?.first, first.isAllowed { return askNextStore(progress, now) }
        progress.forgetGroup()
        guard let decisions, decisions.count == group.calls.count else {
            guard decideWithout(group, progress, now, pending) else { return progress.finish() }
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

    /// Keeps what a store has said, for when it cannot be asked.
    private func learn(_ group: AdmissionProgress.Group, _ decisions: [GCRA.Decision], _ now: Instant) {
        for (call, decision) in zip(group.calls, decisions) {
            table.learn(call.fingerprint, call.quota, ahead: decision.resetAfter.count, now: now.nanoseconds)
        }
    }

    /// Goes by `when_store_fails`; false when the request is refused.
    ///
    /// - Parameter pending: the call whose reply was late, and may still come; nil where nobody was asked.
    private func decideWithout(
        _ group: AdmissionProgress.Group, _ progress: AdmissionProgress, _ now: Instant, _ pending: PendingDecision?
    ) -> Bool {
        var standIns: [StandIn] = []
        var isAdmitted = true
        for (id, call) in zip(group.ids, group.calls) where isAdmitted {
            switch limits[id.index].whenStoreFails {
            case .open: metrics?.decided(id, .failedOpen)
            case .last:
                if let refusal = refusal(of: call, now) {
                    refuse(id, refusal, progress, now)
                    isAdmitted = false
                } else {
                    metrics?.decided(id, .failedOpen)
                }
            case .closed:
                metrics?.decided(id, .failedClosed)
                progress.change { refuse(&$0, .storeUnavailable(limit: id), now) }
                isAdmitted = false
            case .local:
                let standIn = StandIn(group.store)
                standIns.append(standIn)
                isAdmitted = progress.change { admitLocally(id, call.fingerprint, now, &$0, standIn: standIn) }
            }
        }
        pending?.late = { [unowned self] decisions, now in charged(group, decisions, standIns, isAdmitted: isAdmitted, now) }
        return isAdmitted
    }

    /// A store whose reply was late has charged after all. What this host has counted meanwhile stays: it is what it knows of the key, and the store is told
    /// with the next question. A request that was refused, or has turned out not to count, is given back.
    private func charged(
        _ group: AdmissionProgress.Group, _ decisions: [GCRA.Decision], _ standIns: [StandIn], isAdmitted: Bool, _ now: Instant
    ) {
        learn(group, decisions, now)
        guard decisions.count == group.calls.count, decisions.allSatisfy(\.isAllowed) else { return }
        let refunds = zip(group.calls, decisions).map { RemoteRefund(call: $0, charge: $1.charge) }
        guard isAdmitted else {
            for one in refunds { refund(one, in: group.store, now) }
            return
        }
        let local = group.ids.indices.filter { limits[group.ids[$0].index].whenStoreFails == .local }
        for (index, standIn) in zip(local, standIns) {
            standIn.inStore = refunds[index]
            if standIn.isUndone { stores[group.store]?.refund([refunds[index]]) }
        }
    }
}
