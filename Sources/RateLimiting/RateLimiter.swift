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
    let table: LimitTable
    let stores: [String: any RemoteStore]
    /// What ``LimitTable/standIns`` was when the stores' keys were forgotten last.
    private var standInsSeen: UInt64 = 0
    /// When stores have refused keys last.
    var refusals = KnownRefusals()
    private var keyScratch: [UInt8] = []
    let leases = LeaseBroker()
    let metrics: LimitMetrics?

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
        for id in ids where !isAllowed(id, present.permit?.identity, context) {
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
        for id in ids where !isAllowed(id, progress.identity, context) {
            let limit = limits[id.index]
            let key = key(of: limit, id, progress.identity, in: context)
            if case .redis(let store) = limit.store, limit.lease > 1 {
                let call = call(of: limit, key, to: store, now)
                leased.append(AdmissionProgress.Group(store: store, ids: [id], calls: [call], leasedUnder: key.fingerprint))
            } else if case .redis(let store) = limit.store {
                let call = call(of: limit, key, to: store, now)
                // One that refuses nobody is asked by itself: else the others would not be charged where it would refuse.
                let isTogether = !limit.isShadow
                if isTogether, let present = groups.firstIndex(where: { $0.store == store && !$0.isShadow(limits) }) {
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

    private func isAllowed(_ id: LimitID, _ identity: Identity?, _ context: RequestContext) -> Bool {
        limits[id.index].allowance?.covers(identity, in: context) ?? false
    }

    /// A question about a key. A store that may have lost its data is told what this host knows.
    private func call(of limit: Limit, _ key: RenderedKey, to store: String, _ now: Instant) -> RemoteCall {
        let standIns = table.standIns
        if standIns != standInsSeen {
            standInsSeen = standIns
            for store in stores.values { store.forgetKeys() }
        }
        let isKnown = stores[store]?.knows(key.fingerprint, name: key.name) ?? true
        let floor = isKnown ? (0, 0) : table.known(key.fingerprint, limit.quota, now: now.nanoseconds)
        return RemoteCall(
            name: key.name, fingerprint: key.fingerprint, quota: limit.quota, floor: floor.0, floorStart: floor.1,
            standIns: standIns)
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
    func admitLocally(
        _ id: LimitID, _ fingerprint: UInt64, _ now: Instant, _ present: inout AdmissionProgress.Present, standIn: StandIn? = nil
    ) -> Bool {
        let limit = limits[id.index]
        let decision = table.admit(fingerprint, limit.quota, now: now.nanoseconds)
        let isShadow = limit.isShadow && !decision.isAllowed
        metrics?.decided(id, isShadow ? .wouldRefuse : standIn != nil ? .local : decision.isAllowed ? .allowed : .refused)
        present.states.append(LimitState(id, decision, of: limit.quota))
        if decision.isAllowed {
            if standIn != nil { table.countStandIn() }
            present.charged.append(
                AdmissionProgress.LocalCharge(limit: id, fingerprint: fingerprint, charge: decision.charge, standIn: standIn))
            return true
        }
        if isShadow { return true }
        refuse(&present, .limitExceeded(limit: id, retryAfter: decision.retryAfter), now)
        return false
    }

    func refuse(_ present: inout AdmissionProgress.Present, _ error: AdmissionError, _ now: Instant) {
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

    func refund(_ refund: RemoteRefund, in store: String, _ now: Instant) {
        stores[store]?.refund([refund])
        table.unlearn(refund.call.fingerprint, refund.call.quota, now: now.nanoseconds)
    }
}
