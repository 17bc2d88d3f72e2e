import Authentication
import Routing
import System
package import Time

/// What operators ask of limits, or have done to them.
extension RateLimiter {
    /// - Parameter done: called once, now or when the store has replied.
    package func answer(_ question: LimitQuestion, at now: Instant, _ done: @escaping (LimitAnswer) -> Void) {
        guard let index = limits.firstIndex(where: { $0.name == question.limit }) else {
            return done(LimitAnswer(404, "there is no limit '\(question.limit)'"))
        }
        let limit = limits[index]
        if question.action == .top { return done(top(index)) }
        var bytes: [UInt8] = []
        if let error = limit.renderKey(ofWords: question.words, into: &bytes) { return done(LimitAnswer(400, error)) }
        var quota = limit.whole.quota
        if !question.plan.isEmpty {
            let plan = limit.whole.plans?.all.first { $0.name == question.plan }?.quota ?? planRates[index]?.quota(named: question.plan)
            guard let plan else { return done(LimitAnswer(404, "\(limit.name) has no plan '\(question.plan)'")) }
            quota = plan
        }
        if question.action == .set, quota.lockout != nil || limit.isConcurrent {
            return done(LimitAnswer(400, "what a key of \(limit.name) has used cannot be set; it can be reset"))
        }
        let fingerprint = table.fingerprint(bytes.span)
        guard case .redis(let name) = limit.store else {
            if question.action != .show { table.clear(fingerprint) }
            if question.action == .set, question.used > 0 { table.charge(fingerprint, quota, units: question.used, now: now.nanoseconds) }
            return done(LimitAnswer(200, "", [entry("this host", table.look(fingerprint, quota, now: now.nanoseconds), of: quota)]))
        }
        let capPlace = LimitBounds.fingerprint(ofCap: fingerprint)
        /// What stands beside the store's count.
        func bounds() -> [LimitAnswer.Entry] {
            guard let cap = limit.bounds.cap else { return [] }
            return [entry("cap of this host", table.look(capPlace, cap, now: now.nanoseconds), of: cap)]
        }
        guard let store = stores[name] else { return done(LimitAnswer(404, "there is no redis '\(name)'")) }
        let call = RemoteCall(
            name: store.name(ofKey: bytes, limit: limit.name, tag: limit.tag(ofWords: question.words)), fingerprint: fingerprint,
            quota: quota,
            count: question.action == .set ? question.used : 0, isDivisible: true, standIns: table.standIns)
        guard store.isAvailable(for: [call]) else {
            let known =
                question.action == .show
                ? [entry("this host", table.look(fingerprint, quota, now: now.nanoseconds), of: quota)] + bounds() : []
            return done(LimitAnswer(503, "redis \(name) is away", known))
        }
        if question.action != .show {
            table.clear(fingerprint)
            // What this host has let through of it is forgotten too.
            table.clear(capPlace)
            table.clear(LimitBounds.fingerprint(ofShare: fingerprint))
            let quotas = (limit.plans?.all.map(\.quota) ?? [limit.quota]) + (planRates[index]?.all ?? [])
            if limit.lease > 1 { for quota in quotas { leases.forget(Self.leasePlace(of: fingerprint, quota)) } }
            store.reset(call)
        }
        let pending = PendingDecision { [unowned self] _, decisions, now in
            guard let decision = decisions?.first else { return done(LimitAnswer(503, "redis \(name) has not replied in time")) }
            table.learn(fingerprint, quota, decision, standIns: call.standIns, now: now.nanoseconds)
            done(LimitAnswer(200, "", [entry("redis \(name)", decision, of: quota)] + bounds()))
        }
        store.decide([call], for: pending)
    }

    private func entry(_ place: String, _ decision: GCRA.Decision, of quota: Quota) -> LimitAnswer.Entry {
        let wait = decision.nextAfter ?? quota.gcra.nextAfter(ahead: decision.resetAfter.count)
        return LimitAnswer.Entry(
            place, count: decision.remaining, retryAfter: decision.remaining == 0 ? max(decision.retryAfter, wait).milliseconds : 0,
            resetAfter: decision.resetAfter.milliseconds)
    }

    private func top(_ index: Int) -> LimitAnswer {
        var counts: [UInt64: TopKeys.Entry] = [:]
        // A route's own cost of the limit is the same limit.
        for (place, keys) in topKeys where limits[place].name == limits[index].name {
            for entry in keys.entries {
                if counts[entry.fingerprint] == nil {
                    counts[entry.fingerprint] = entry
                } else {
                    counts[entry.fingerprint]!.count += entry.count
                }
            }
        }
        let entries = counts.values.sorted { ($0.count, $1.text) > ($1.count, $0.text) }
        return LimitAnswer(200, "", entries.prefix(64).map { LimitAnswer.Entry($0.text, count: $0.count * sampledOf) })
    }

    /// One of so many requests is looked at.
    @inline(__always)
    func noteKey(_ limit: Limit, _ id: LimitID, _ fingerprint: UInt64, _ identity: Identity?, _ context: RequestContext, _ now: Instant) {
        keysSeen &+= 1
        if keysSeen % sampledOf == 0 { note(limit, id, fingerprint, identity, context, now) }
    }

    private func note(
        _ limit: Limit, _ id: LimitID, _ fingerprint: UInt64, _ identity: Identity?, _ context: RequestContext, _ now: Instant
    ) {
        topKeys[id.index, default: TopKeys()].note(fingerprint, at: now) { limit.keyText(identity, in: context, fingerprint) }
    }
}

/// A prime: so each limit of a request has its turn, however many there are.
private let sampledOf: UInt64 = 17
