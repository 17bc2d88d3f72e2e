package import HTTPMessage
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
    /// Whether any limit is there to be tried.
    package let hasShadows: Bool
    /// Whether any limit has requests wait for their turn.
    package let delays: Bool
    /// Whether a response's head may say what its request costs.
    package let readsCosts: Bool
    let table: LimitTable
    let refusals: KnownRefusals
    let members: HostMembers
    let activeKeys: ActiveKeys
    /// Stores in which hosts are counted.
    let countedStores: [String]
    let stores: [String: any RemoteStore]
    /// What ``LimitTable/standIns`` was when the stores' keys were forgotten last.
    private var standInsSeen: UInt64 = 0
    private var keyScratch: [UInt8] = []
    let leases: LeaseBroker
    let heldRequests = HeldRequests()
    /// Whether any limit counts requests that are under way.
    let countsConcurrent: Bool
    /// By limit.
    var topKeys: [Int: TopKeys] = [:]
    /// Of which one in so many is looked at.
    var keysSeen: UInt64 = 0
    let metrics: LimitMetrics?
    /// By limit, where some of its plans stand in a store.
    var planRates: [Int: PlanRates] = [:]
    /// Told what stands there and is none.
    package var complain: ((String) -> Void)?
    /// Told when a store has said its rates the first time.
    package var plansAreRead: (() -> Void)?

    package init(limits: [Limit], memory: LimitMemory, stores: [String: any RemoteStore], metrics: LimitMetrics? = nil) {
        self.limits = limits
        areRemote = limits.map { if case .redis = $0.store { true } else { false } }
        countsConcurrent = limits.contains { $0.isConcurrent }
        hasShadows = limits.contains { $0.isShadow }
        delays = limits.contains { $0.delay > .zero }
        readsCosts = limits.contains { $0.cost?.field != nil }
        table = memory.table
        refusals = memory.refusals
        members = memory.members
        activeKeys = memory.activeKeys
        countedStores = Set(limits.compactMap { $0.countedStore }).sorted()
        leases = LeaseBroker(memory.leases, metrics)
        self.stores = stores
        self.metrics = metrics
        for (index, limit) in limits.enumerated() { planRates[index] = PlanRates(limit) }
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
            // Looked up once: each look at a list of objects counts references.
            let limit = limits[id.index]
            let identity = present.permit?.identity
            if let allowance = limit.allowance, allowance.covers(identity, in: context) { continue }
            let fingerprint = fingerprint(of: limit, id, identity, in: context)
            noteKey(limit, id, fingerprint, identity, context, now)
            let quota = limit.plans == nil ? limit.quota : quota(of: limit, id, identity)
            if limit.sharedBy != nil, !isFair(limit, id, fingerprint, quota, context, now, &present) { break }
            guard admitLocally(limit, id, fingerprint, quota, now, &present) else { break }
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
            if let allowance = limit.allowance, allowance.covers(progress.identity, in: context) { continue }
            let key = key(of: limit, id, progress.identity, in: context)
            let quota = quota(of: limit, id, progress.identity)
            noteKey(limit, id, key.fingerprint, progress.identity, context, now)
            if let cap = limit.bounds.cap {
                let place = LimitBounds.fingerprint(ofCap: key.fingerprint)
                guard progress.change({ admitWithinBound(id, place, cap, now, &$0) }) else { return progress.finish() }
            }
            if limit.sharedBy != nil, !progress.change({ isFair(limit, id, key.fingerprint, quota, context, now, &$0) }) {
                return progress.finish()
            }
            if case .redis(let store) = limit.store, limit.lease > 1 {
                let call = call(of: limit, quota, key, to: store, now)
                let place = Self.leasePlace(of: key.fingerprint, quota)
                leased.append(AdmissionProgress.Group(store: store, ids: [id], calls: [call], leasedUnder: place))
            } else if case .redis(let store) = limit.store {
                let call = call(of: limit, quota, key, to: store, now)
                // One that refuses nobody is asked by itself: else the others would not be charged where it would refuse.
                let isTogether = !limit.isShadow
                if isTogether, let present = groups.firstIndex(where: { $0.store == store && !$0.isShadow(limits) }) {
                    groups[present].ids.append(id)
                    groups[present].calls.append(call)
                } else {
                    groups.append(AdmissionProgress.Group(store: store, ids: [id], calls: [call], leasedUnder: nil))
                }
            } else if !progress.change({ admitLocally(limit, id, key.fingerprint, quota, now, &$0) }) {
                return progress.finish()
            }
        }
        guard !groups.isEmpty || !leased.isEmpty else { return progress.finish() }
        // The route's stores are asked one after the other; a route with more than one is rare.
        if groups.count > 1 { groups.sort { $0.store < $1.store } }
        if !leased.isEmpty { groups += leased }
        progress.change { swap(&$0.remoteGroups, &groups) }
        askNextStore(progress, now)
    }

    /// What a token of one plan has taken is not for one of another, and what was taken at one rate not for another one.
    static func leasePlace(of fingerprint: UInt64, _ quota: Quota) -> UInt64 {
        let rate = quota.gcra.cost &* 0x9E37_79B9_7F4A_7C15 ^ quota.gcra.tolerance &* 0xC2B2_AE3D_27D4_EB4F
        return max(1, fingerprint ^ rate)
    }

    /// What a limit lets through of this identity.
    private func quota(of limit: Limit, _ id: LimitID, _ identity: Identity?) -> Quota {
        guard limit.plans != nil else { return limit.quota }
        if let plans = limit.plans, let read = planRates[id.index]?.quota(for: identity, claim: plans.claim) { return read }
        let (quota, isNamed) = limit.quota(for: identity)
        if !isNamed { metrics?.planMissed(id) }
        return quota
    }

    /// A question about a key. A store that may have lost its data is told what this host knows.
    private func call(of limit: Limit, _ quota: Quota, _ key: RenderedKey, to store: String, _ now: Instant) -> RemoteCall {
        let standIns = table.standIns
        if standIns != standInsSeen {
            standInsSeen = standIns
            for store in stores.values { store.forgetKeys() }
        }
        let isKnown = stores[store]?.knows(key.fingerprint, name: key.name) ?? true
        // Requests under way are told of one by one, by who has them.
        let floor = isKnown || limit.isConcurrent ? (0, 0) : table.known(key.fingerprint, quota, now: now.nanoseconds)
        return RemoteCall(
            name: key.name, fingerprint: key.fingerprint, quota: quota, count: limit.cost?.reserved ?? 1, floor: floor.0,
            floorStart: floor.1, standIns: standIns)
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
        if case .redis(let store) = limit.store {
            name = stores[store]?.name(ofKey: keyScratch, limit: limit.name, tag: limit.tag(identity, in: context)) ?? []
        }
        let key = RenderedKey(name: name, fingerprint: fingerprint)
        if limit.dependsOnClaimsAlone, !hasStandIn { identity?.principal.keep(key, at: id.index) }
        return key
    }

    /// The request has been answered with this status: limits that count other statuses alone get their charge back, and those whose cost the response
    /// decides are charged with the rest.
    ///
    /// Every request is charged before it is forwarded, so that many at once cannot pass before the first is counted.
    ///
    /// - Parameter bodyBytes: of the response's body that were sent.
    package func settle(_ progress: AdmissionProgress, status: Int, bodyBytes: UInt64 = 0, at now: Instant) {
        progress.change { settle(&$0, status, bodyBytes, now) }
    }

    private func settle(_ present: inout AdmissionProgress.Present, _ status: Int, _ bodyBytes: UInt64, _ now: Instant) {
        for charge in present.charged {
            let limit = limits[charge.limit.index]
            if let outcome = limit.quota.lockout?.outcome(of: status) {
                table.end(charge.fingerprint, charge.quota, outcome, now: now.nanoseconds)
                if let standIn = charge.standIn { end(standIn, outcome) }
                continue
            }
            let units = limit.counts(status) ? limit.units(told: present.rest?.toldCosts[charge.limit], bodyBytes) : 0
            if units == 0 {
                giveBack(charge, now)
            } else if units > charge.charge.units {
                table.charge(charge.fingerprint, charge.quota, units: units - charge.charge.units, now: now.nanoseconds)
                if charge.standIn != nil { table.countStandIn() }
            }
        }
        for charge in present.chargedRemote {
            let limit = limits[charge.limit.index]
            if let outcome = limit.quota.lockout?.outcome(of: status) {
                // The store counts; that it has locked the key this host hears with the next question.
                stores[charge.store]?.refund([charge.call.ended(outcome)])
                continue
            }
            let units = limit.counts(status) ? limit.units(told: present.rest?.toldCosts[charge.limit], bodyBytes) : 0
            if units == 0 {
                giveBack(charge, now)
            } else if units > charge.call.count {
                chargeMore(units - charge.call.count, charge, now)
            }
        }
        for (id, standIn) in present.rest?.uncounted ?? [] {
            if let outcome = limits[id.index].quota.lockout?.outcome(of: status) {
                end(standIn, outcome)
            } else {
                let limit = limits[id.index]
                let units = limit.counts(status) ? limit.units(told: present.rest?.toldCosts[id], bodyBytes) : 0
                if units == 0 { undoUncounted(standIn, now) }
            }
        }
        present.forgetCharges()
        present.rest?.toldCosts = [:]
    }

    /// An attempt that a store may have charged late has ended.
    private func end(_ standIn: StandIn, _ outcome: Lockout.Outcome) {
        standIn.outcome = outcome
        if let inStore = standIn.inStore { stores[standIn.store]?.refund([inStore.call.ended(outcome)]) }
    }

    /// As below, of a request that this host has not counted: it knows of the charge from the store alone.
    private func undoUncounted(_ standIn: StandIn, _ now: Instant) {
        standIn.isUndone = true
        if let inStore = standIn.inStore { refund(inStore, in: standIn.store, now) }
    }

    /// What a store may have charged late does not count.
    private func undo(_ standIn: StandIn) {
        standIn.isUndone = true
        if let inStore = standIn.inStore { stores[standIn.store]?.refund([inStore]) }
    }

    /// The upstream's response begins: what it says of the request's cost is kept.
    package func note(_ head: borrowing ResponseHead, _ progress: AdmissionProgress) {
        progress.change { present in
            let uncounted = present.rest?.uncounted.map { $0.limit } ?? []
            for id in present.charged.map({ $0.limit }) + present.chargedRemote.map({ $0.limit }) + uncounted {
                guard case .responseHeader(let name, let most)? = limits[id.index].cost else { continue }
                let field = [UInt8](name.utf8)
                guard let line = head.fields.first(named: field.span, in: head.bytes) else { continue }
                guard let count = head.bytes.extracting(line.value.range).decimal(max: .max) else { continue }
                present.withRest { $0.toldCosts[id] = min(count, most) }
            }
        }
    }

    /// False when the limit refuses; the error then stands in `present`.
    ///
    /// - Parameters:
    ///   - standIn: of a charge in place of a store's.
    ///   - call: what that store would have been asked.
    func admitLocally(
        _ limit: Limit, _ id: LimitID, _ fingerprint: UInt64, _ quota: Quota, _ now: Instant, _ present: inout AdmissionProgress.Present,
        standIn: StandIn? = nil, call: RemoteCall? = nil
    ) -> Bool {
        let decision = table.admit(fingerprint, quota, units: limit.cost?.reserved ?? 1, now: now.nanoseconds)
        let isShadow = limit.isShadow && !decision.isAllowed
        if decision.isAllowed, standIn == nil {
            metrics?.allowed(id, decision, of: quota)
        } else {
            metrics?.decided(id, isShadow ? .wouldRefuse : decision.isAllowed ? .local : .refused)
        }
        present.states.append(LimitState(id, decision, of: quota))
        if decision.isAllowed, limit.delay > .zero { delay(id, decision, quota, &present) }
        if decision.isAllowed, limit.isConcurrent {
            hold(id, fingerprint, quota, decision, store: standIn?.store, call: call, isInStore: false, now, &present)
            return true
        }
        if decision.isAllowed {
            if standIn != nil { table.countStandIn() }
            present.charged.append(
                AdmissionProgress.LocalCharge(limit: id, fingerprint: fingerprint, quota: quota, charge: decision.charge, standIn: standIn))
            return true
        }
        if isShadow { return true }
        refuse(&present, .limitExceeded(limit: id, retryAfter: decision.retryAfter), now)
        return false
    }

    /// A request beyond the burst waits for its turn.
    func delay(_ id: LimitID, _ decision: GCRA.Decision, _ quota: Quota, _ present: inout AdmissionProgress.Present) {
        let turn = quota.turn(after: decision)
        // Who is refused by nobody waits for nobody.
        guard turn > .zero, !limits[id.index].isShadow else { return }
        present.withRest { rest in
            if turn > rest.turn { (rest.turn, rest.delayedBy) = (turn, id) }
        }
    }

    /// How long a request that all limits let through waits for its turn; told once.
    package func takeTurn(_ progress: AdmissionProgress) -> Nanoseconds {
        guard let (turn, limit) = progress.takeTurn() else { return .zero }
        metrics?.delayed(limit)
        return turn
    }

    func refuse(_ present: inout AdmissionProgress.Present, _ error: AdmissionError, _ now: Instant) {
        var error = error
        // So that not all who were refused come again at one moment.
        if case .limitExceeded(let id, let wait) = error, limits[id.index].jitter > 0 {
            let most = wait.count / 100 * limits[id.index].jitter
            error = .limitExceeded(limit: id, retryAfter: Nanoseconds(wait.count + SystemRandom.word() % max(1, most)))
        }
        // A store that has just come back is not asked by all who were refused in the same second.
        if case .storeUnavailable(let id, let wait) = error {
            let least = min(max(wait, .seconds(1)), .seconds(30))
            error = .storeUnavailable(limit: id, retryAfter: Nanoseconds(least.count + SystemRandom.word() % least.count))
        }
        for (fingerprint, quota, charge) in present.rest?.chargedBounds ?? [] {
            table.refund(fingerprint, quota, charge, now: now.nanoseconds)
        }
        for charge in present.charged { giveBack(charge, now) }
        for charge in present.chargedRemote { giveBack(charge, now) }
        for (_, standIn) in present.rest?.uncounted ?? [] { undoUncounted(standIn, now) }
        present.forgetCharges()
        release(&present, now)
        present.error = error
    }

    private func giveBack(_ charge: AdmissionProgress.LocalCharge, _ now: Instant) {
        if let standIn = charge.standIn { undo(standIn) }
        table.refund(charge.fingerprint, charge.quota, charge.charge, now: now.nanoseconds)
    }

    private func giveBack(_ charge: AdmissionProgress.RemoteCharge, _ now: Instant) {
        if let (fingerprint, end) = charge.lease,
            leases.giveBack(fingerprint, of: end, most: limits[charge.limit.index].lease, at: now)
        {
            return
        }
        if let made = charge.charge {
            refund(RemoteRefund(call: charge.call, charge: made), in: charge.store, now)
        }
    }

    func refund(_ refund: RemoteRefund, in store: String, _ now: Instant) {
        stores[store]?.refund([refund])
        table.unlearn(refund.call.fingerprint, refund.call.quota, units: refund.charge.units, now: now.nanoseconds)
    }
}
