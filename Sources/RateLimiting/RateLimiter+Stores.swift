import System
import Time

/// Limits that stores outside the host decide, and what holds while those are away.
extension RateLimiter {
    func askNextStore(_ progress: AdmissionProgress, _ now: Instant) {
        while let group = progress.nextGroup {
            if let fingerprint = group.leasedUnder, spend(fingerprint, group, progress, now) {
                progress.forgetGroup()
                continue
            }
            guard let store = stores[group.store] else {
                progress.forgetGroup()
                guard decideWithout(group, progress, now, nil) else { return progress.finish() }
                continue
            }
            if let parts = store.parts(of: group.calls) {
                progress.forgetGroup()
                return ask(group, in: parts, of: store, progress, now)
            }
            guard store.isAvailable(for: group.calls), !progress.waitedInVain(for: store.server(of: group.calls)) else {
                progress.forgetGroup()
                guard decideWithout(group, progress, now, nil) else { return progress.finish() }
                continue
            }
            if isRefusedHere(group, progress, now) {
                guard group.isShadow(limits) else { return progress.finish() }
                progress.forgetGroup()
                continue
            }
            let pending = PendingDecision(at: now) { [unowned self] pending, decisions, now in
                self.decided(group, decisions, progress, now, pending)
            }
            releaseWhereAbandoned(pending, group)
            progress.change { $0.pending = pending }
            if let fingerprint = group.leasedUnder {
                let id = group.ids[0]
                leases.request(fingerprint, group.calls[0], id, most: limits[id.index].lease, for: pending, of: store, at: now)
            } else {
                store.decide(group.calls, for: pending)
            }
            return
        }
        progress.finish()
    }

    /// Asks all parts of a store at once, of which each decides by itself. What some have charged is taken back where another one refuses; so a request that
    /// is refused may keep others from passing for as long as a reply takes.
    private func ask(
        _ group: AdmissionProgress.Group, in parts: [[Int]], of store: any RemoteStore, _ progress: AdmissionProgress, _ now: Instant
    ) {
        if isRefusedHere(group, progress, now) { return progress.finish() }
        let groups = parts.map { places in
            AdmissionProgress.Group(
                store: group.store, ids: places.map { group.ids[$0] }, calls: places.map { group.calls[$0] }, leasedUnder: nil)
        }
        func canBeAsked(_ group: AdmissionProgress.Group) -> Bool {
            store.isAvailable(for: group.calls) && !progress.waitedInVain(for: store.server(of: group.calls))
        }
        let asked = groups.filter(canBeAsked)
        let replies = PartReplies(asked, unasked: groups.filter { !canBeAsked($0) })
        guard !asked.isEmpty else { return decided(replies, progress, now) }
        let pending = asked.indices.map { index in
            PendingDecision(at: now) { [unowned self] pending, decisions, now in
                guard replies.take(decisions, pending, at: index) else {
                    // It may end before the others have replied.
                    if let decisions { pending.forgotten = { pending.abandoned?(decisions, now) } }
                    return
                }
                replies.complete()
                self.decided(replies, progress, now)
                progress.tellIfDecided()
            }
        }
        for (part, pending) in zip(asked, pending) { releaseWhereAbandoned(pending, part) }
        progress.change { $0.pendingParts = pending }
        for (part, pending) in zip(asked, pending) { store.decide(part.calls, for: pending) }
    }

    /// Of a request that has ended before the reply came nothing is under way.
    private func releaseWhereAbandoned(_ pending: PendingDecision, _ group: AdmissionProgress.Group) {
        guard group.ids.contains(where: { limits[$0.index].isConcurrent }) else { return }
        let release = { [unowned self] (decisions: [GCRA.Decision], now: Instant) in
            guard decisions.count == group.calls.count, decisions.allSatisfy(\.isAllowed) else { return }
            for (index, decision) in decisions.enumerated() where limits[group.ids[index].index].isConcurrent {
                refund(RemoteRefund(call: group.calls[index], charge: decision.charge), in: group.store, now)
            }
        }
        pending.abandoned = release
        pending.late = release
    }

    private func decided(_ replies: PartReplies, _ progress: AdmissionProgress, _ now: Instant) {
        // Where another part refuses, what these charge late is taken back.
        for (group, pending) in replies.missing {
            pending?.late = { [unowned self] decisions, now in charged(group, decisions, [:], isAdmitted: false, now) }
        }
        // Those that have charged come first: a refusal takes back what is charged by then.
        for reply in replies.granted + replies.refused {
            learn(reply.group, reply.decisions, now)
            guard take(reply.decisions, of: reply.group, progress, now) else { return progress.finish() }
        }
        for (group, pending) in replies.missing {
            if let pending { noteLate(group, pending, progress, now) }
            guard decideWithout(group, progress, now, pending) else { return progress.finish() }
        }
        askNextStore(progress, now)
    }

    /// A store that has refused would do so again until there is more of the quota: how long that is this host knows, so nobody asks. Not where
    /// responses may give charges back.
    private func isRefusedHere(_ group: AdmissionProgress.Group, _ progress: AdmissionProgress, _ now: Instant) -> Bool {
        for (id, call) in zip(group.ids, group.calls) where limits[id.index].refusalsHold {
            if let decision = refusal(of: call, now), refusals.holds(call.fingerprint, at: now) {
                metrics?.refusedUnasked(id)
                refuse(id, decision, of: call.quota, progress, now)
                return true
            }
        }
        return false
    }

    /// What this host knows of a key that has nothing left; nil for one that may have.
    private func refusal(of call: RemoteCall, _ now: Instant) -> GCRA.Decision? {
        table.refusal(call.fingerprint, call.quota, units: call.count, now: now.nanoseconds)
    }

    private func refuse(_ id: LimitID, _ decision: GCRA.Decision, of quota: Quota, _ progress: AdmissionProgress, _ now: Instant) {
        let isShadow = limits[id.index].isShadow
        metrics?.decided(id, isShadow ? .wouldRefuse : .refused)
        let state = LimitState(id, decision, of: quota)
        progress.change { present in
            present.states.append(state)
            if isShadow { return }
            refuse(&present, .limitExceeded(limit: id, retryAfter: decision.retryAfter), now)
        }
    }

    /// Spends one request of the lease that this host has; false when it has none.
    private func spend(_ fingerprint: UInt64, _ group: AdmissionProgress.Group, _ progress: AdmissionProgress, _ now: Instant) -> Bool {
        guard let lease = leases.spend(fingerprint, at: now) else { return false }
        let remaining = lease.left.addingReportingOverflow(lease.leftInStore).partialValue
        metrics?.allowed(group.ids[0], leaving: remaining, of: group.calls[0].quota)
        let state = LimitState(
            limit: group.ids[0], remaining: remaining,
            nextAfter: group.calls[0].quota.gcra.nextAfter(ahead: lease.wholeAt.since(now).count), retryAfter: .zero,
            plan: group.calls[0].quota.plan)
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
        progress.forgetGroup()
        // The store has no more, but what another worker of the host has taken of it may be left.
        if let place = group.leasedUnder, decisions?.first?.isAllowed == false, spend(place, group, progress, now) {
            return askNextStore(progress, now)
        }
        guard let decisions, decisions.count == group.calls.count else {
            noteLate(group, pending, progress, now)
            guard decideWithout(group, progress, now, pending) else { return progress.finish() }
            return askNextStore(progress, now)
        }
        guard take(decisions, of: group, progress, now) else { return progress.finish() }
        askNextStore(progress, now)
    }

    /// A server that has had its time is not waited for by the same request a second time.
    private func noteLate(_ group: AdmissionProgress.Group, _ pending: PendingDecision, _ progress: AdmissionProgress, _ now: Instant) {
        guard let store = stores[group.store], let server = store.server(of: group.calls) else { return }
        // A lease may have been asked for before by another request.
        guard group.leasedUnder != nil || now.since(pending.askedAt) >= store.timeout else { return }
        progress.change { $0.withRest { $0.lateServers.append(server) } }
    }

    /// Records what a store has decided; false when it refuses.
    private func take(_ decisions: [GCRA.Decision], of group: AdmissionProgress.Group, _ progress: AdmissionProgress, _ now: Instant)
        -> Bool
    {
        let states = group.ids.indices.map { LimitState(group.ids[$0], decisions[$0], of: group.calls[$0].quota) }
        progress.change { $0.states += states }
        let isShadow = group.isShadow(limits)
        for (index, decision) in decisions.enumerated() {
            let id = group.ids[index]
            if decision.isAllowed {
                metrics?.allowed(id, decision, of: group.calls[index].quota)
            } else {
                metrics?.decided(id, isShadow ? .wouldRefuse : .refused)
            }
        }
        if let refused = zip(group.ids, decisions).first(where: { !$0.1.isAllowed }) {
            if isShadow { return true }
            progress.change { refuse(&$0, .limitExceeded(limit: refused.0, retryAfter: refused.1.retryAfter), now) }
            return false
        }
        // What does not count after all is the lease's, where there is one.
        let lease = group.leasedUnder.flatMap { place in leases.end(of: place, at: now).map { (place, $0) } }
        progress.change { present in
            for (index, decision) in decisions.enumerated() {
                let (id, call) = (group.ids[index], group.calls[index])
                if limits[id.index].delay > .zero { delay(id, decision, call.quota, &present) }
                if limits[id.index].isConcurrent {
                    hold(id, call.fingerprint, call.quota, decision, store: group.store, call: call, isInStore: true, now, &present)
                } else {
                    present.chargedRemote.append(
                        AdmissionProgress.RemoteCharge(limit: id, store: group.store, call: call, charge: decision.charge, lease: lease))
                }
            }
        }
        return true
    }

    /// A request has turned out to count for so many more than its store was asked for. Nobody waits for the reply.
    func chargeMore(_ units: UInt64, _ charge: AdmissionProgress.RemoteCharge, _ now: Instant) {
        let call = RemoteCall(
            name: charge.call.name, fingerprint: charge.call.fingerprint, quota: charge.call.quota, count: units, isDivisible: true,
            standIns: table.standIns)
        guard let store = stores[charge.store], store.isAvailable(for: [call]) else {
            guard limits[charge.limit.index].whenStoreFails == .local else { return }
            table.charge(call.fingerprint, call.quota, units: units, now: now.nanoseconds)
            return table.countStandIn()
        }
        let group = AdmissionProgress.Group(store: charge.store, ids: [charge.limit], calls: [call], leasedUnder: nil)
        let pending = PendingDecision { [unowned self] _, decisions, now in
            if let decisions, decisions.count == 1 { learn(group, decisions, now) }
        }
        pending.late = { [unowned self] decisions, now in learn(group, decisions, now) }
        store.decide([call], for: pending)
    }

    /// Keeps what a store has said, for when it cannot be asked.
    private func learn(_ group: AdmissionProgress.Group, _ decisions: [GCRA.Decision], _ now: Instant) {
        for (call, decision) in zip(group.calls, decisions) {
            table.learn(call.fingerprint, call.quota, decision, standIns: call.standIns, now: now.nanoseconds)
            if !decision.isAllowed { refusals.confirm(call.fingerprint, at: now) }
        }
    }

    /// Goes by `when_store_fails`; false when the request is refused.
    ///
    /// - Parameter pending: the call whose reply was late, and may still come; nil where nobody was asked.
    private func decideWithout(
        _ group: AdmissionProgress.Group, _ progress: AdmissionProgress, _ now: Instant, _ pending: PendingDecision?
    ) -> Bool {
        var standIns: [Int: StandIn] = [:]
        var isAdmitted = true
        /// The request is let through, and counted nowhere; the store may have charged it, and would then be told how it ends.
        func passUncounted(_ index: Int, _ id: LimitID) {
            metrics?.decided(id, limits[id.index].whenStoreFails == .last ? .last : .failedOpen)
            guard pending != nil else { return }
            let standIn = StandIn(group.store)
            standIns[index] = standIn
            progress.change { $0.withRest { $0.uncounted.append((id, standIn)) } }
        }
        for (index, (id, call)) in zip(group.ids, group.calls).enumerated() where isAdmitted {
            let limit = limits[id.index]
            // Who is refused by nobody is not by a store that is away.
            switch limit.isShadow && limit.whenStoreFails == .closed ? .open : limit.whenStoreFails {
            case .open: passUncounted(index, id)
            case .last:
                if let refusal = refusal(of: call, now) {
                    refuse(id, refusal, of: call.quota, progress, now)
                    isAdmitted = limit.isShadow
                } else {
                    passUncounted(index, id)
                }
            case .closed:
                metrics?.decided(id, .failedClosed)
                let next = stores[group.store]?.triesAgainAt([call], now: now) ?? now
                let wait = next > now ? next.since(now) : .zero
                progress.change { refuse(&$0, .storeUnavailable(limit: id, retryAfter: wait), now) }
                isAdmitted = false
            case .local:
                let standIn = StandIn(group.store)
                standIns[index] = standIn
                if let share = limit.bounds.shared(call.quota, among: members.count(of: group.store)) {
                    let place = LimitBounds.fingerprint(ofShare: call.fingerprint)
                    isAdmitted = progress.change { admitWithinBound(id, place, share, now, &$0) }
                    guard isAdmitted else { continue }
                }
                isAdmitted = progress.change {
                    admitLocally(limit, id, call.fingerprint, call.quota, now, &$0, standIn: standIn, call: call)
                }
            }
        }
        pending?.late = { [unowned self] decisions, now in charged(group, decisions, standIns, isAdmitted: isAdmitted, now) }
        return isAdmitted
    }

    /// Charges what a host lets through of a limit, beside the limit itself; false when that is used up. What a response makes of the charge is the limit's
    /// alone.
    func admitWithinBound(
        _ id: LimitID, _ fingerprint: UInt64, _ quota: Quota, _ now: Instant, _ present: inout AdmissionProgress.Present
    ) -> Bool {
        let limit = limits[id.index]
        let decision = table.admit(fingerprint, quota, units: min(limit.cost?.reserved ?? 1, quota.burst), now: now.nanoseconds)
        if decision.isAllowed {
            if limit.delay > .zero { delay(id, decision, quota, &present) }
            present.withRest { $0.chargedBounds.append((fingerprint, quota, decision.charge)) }
            return true
        }
        metrics?.decided(id, limit.isShadow ? .wouldRefuse : .refused)
        present.states.append(LimitState(id, decision, of: quota))
        if limit.isShadow { return true }
        refuse(&present, .limitExceeded(limit: id, retryAfter: decision.retryAfter), now)
        return false
    }

    /// A store whose reply was late has charged after all. What this host has counted meanwhile stays: it is what it knows of the key, and the store is told
    /// with the next question. A request that was refused, or has turned out not to count, is given back.
    private func charged(
        _ group: AdmissionProgress.Group, _ decisions: [GCRA.Decision], _ standIns: [Int: StandIn], isAdmitted: Bool, _ now: Instant
    ) {
        learn(group, decisions, now)
        guard decisions.count == group.calls.count, decisions.allSatisfy(\.isAllowed) else { return }
        let refunds = zip(group.calls, decisions).map { RemoteRefund(call: $0, charge: $1.charge) }
        guard isAdmitted else {
            for one in refunds { refund(one, in: group.store, now) }
            return
        }
        for (index, one) in refunds.enumerated() {
            // What is under way this host says itself when it can.
            if limits[group.ids[index].index].isConcurrent {
                refund(one, in: group.store, now)
                continue
            }
            guard let standIn = standIns[index] else { continue }
            standIn.inStore = one
            if standIn.isUndone, limits[group.ids[index].index].whenStoreFails != .local {
                refund(one, in: group.store, now)
            } else if standIn.isUndone {
                stores[group.store]?.refund([one])
            } else if let outcome = standIn.outcome {
                stores[group.store]?.refund([one.call.ended(outcome)])
            }
        }
    }
}
