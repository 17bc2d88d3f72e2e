import System
package import Time

/// Limits that count requests that are under way (`concurrent`).
extension RateLimiter {
    /// A request of a key is let through, and is counted until ``release(_:at:)``.
    ///
    /// - Parameter call: the question about the key, of a limit in a store; `isInStore` whether it was that store that has decided.
    func hold(
        _ id: LimitID, _ fingerprint: UInt64, _ quota: Quota, _ decision: GCRA.Decision, store: String?, call: RemoteCall?, isInStore: Bool,
        _ now: Instant, _ present: inout AdmissionProgress.Present
    ) {
        // Where many keys share one place nothing is held of any of them.
        guard let start = decision.counts?.start else { return }
        let key = HeldRequests.Key(fingerprint: fingerprint, isInStore: isInStore)
        heldRequests.begin(
            key, HeldRequests.Held(quota: quota, store: store, call: call, windows: [], renewedAt: now), in: start)
        present.withRest { $0.held.append(key) }
    }

    /// The request is over, however it ended.
    package func release(_ progress: AdmissionProgress, at now: Instant) {
        if countsConcurrent { progress.change { release(&$0, now) } }
    }

    func release(_ present: inout AdmissionProgress.Present, _ now: Instant) {
        while let key = present.rest?.held.popLast() { releaseOne(key, now) }
    }

    private func releaseOne(_ key: HeldRequests.Key, _ now: Instant) {
        // What this host counted while the store was away the store may count by now.
        let other = HeldRequests.Key(fingerprint: key.fingerprint, isInStore: !key.isInStore)
        let place = heldRequests[key]?.hasOne == true ? key : other
        guard let (held, start) = heldRequests.end(place) else { return }
        table.release(place.fingerprint, held.quota, units: 1, from: start, now: now.nanoseconds)
        if place.isInStore, let store = held.store, let call = held.call {
            stores[store]?.refund([RemoteRefund(call: call, charge: GCRA.Charge(end: start, refundedBefore: 0))])
        }
    }

    /// Says of all requests that are under way that they are, where it is time.
    func renewHeld(at now: Instant) {
        for key in heldRequests.due(at: now) {
            guard let held = heldRequests[key] else { continue }
            if key.isInStore {
                renewInStore(key, held, now)
            } else if let store = held.store, let call = held.call, stores[store]?.isAvailable(for: [call]) == true {
                handOver(key, held, now)
            } else {
                heldRequests.asked(key, replies: 0, at: now)
                for window in held.windows {
                    let new = table.renew(key.fingerprint, held.quota, units: window.units, from: window.start, now: now.nanoseconds)
                    if let new { heldRequests.moved(key, window.units, from: window.start, to: new) }
                }
            }
        }
    }

    private func renewInStore(_ key: HeldRequests.Key, _ held: HeldRequests.Held, _ now: Instant) {
        guard held.moving == 0, let store = held.store.flatMap({ stores[$0] }), let call = held.call else { return }
        guard store.isAvailable(for: [call]) else { return takeOver(key, held, now) }
        heldRequests.asked(key, replies: held.windows.count, at: now)
        for window in held.windows {
            say(window.units, of: window.start, call, to: store) { [unowned self] decision, now in
                if let counts = decision?.counts { heldRequests.moved(key, window.units, from: window.start, to: counts.start) }
                for _ in 0..<heldRequests.replied(key) { releaseOne(key, now) }
            }
        }
    }

    /// While the store is away this host counts what is under way, where it counts at all.
    private func takeOver(_ key: HeldRequests.Key, _ held: HeldRequests.Held, _ now: Instant) {
        let here = HeldRequests.Key(fingerprint: key.fingerprint, isInStore: false)
        for window in held.windows {
            let start = table.renew(key.fingerprint, held.quota, units: window.units, from: window.start, now: now.nanoseconds)
            heldRequests.handOver(window, of: key, to: here, in: start ?? window.start, was: window.start, at: now)
        }
    }

    /// The store is back, and counts what this host has counted meanwhile.
    private func handOver(_ key: HeldRequests.Key, _ held: HeldRequests.Held, _ now: Instant) {
        guard held.moving == 0, let store = held.store.flatMap({ stores[$0] }), let call = held.call else { return }
        let there = HeldRequests.Key(fingerprint: key.fingerprint, isInStore: true)
        heldRequests.asked(key, replies: held.windows.count, at: now)
        for window in held.windows {
            say(window.units, of: window.was, call, to: store) { [unowned self] decision, now in
                let ended = heldRequests.replied(key)
                if let counts = decision?.counts {
                    table.release(key.fingerprint, held.quota, units: window.units, from: window.start, now: now.nanoseconds)
                    heldRequests.handOver(window, of: key, to: there, in: counts.start, at: now)
                }
                // Wherever they are counted now.
                for _ in 0..<ended { releaseOne(key, now) }
            }
        }
    }

    /// Tells a store that requests are under way that it counted in another window, or not at all.
    private func say(
        _ units: UInt64, of start: UInt64, _ call: RemoteCall, to store: any RemoteStore,
        _ done: @escaping (GCRA.Decision?, Instant) -> Void
    ) {
        let call = RemoteCall(
            name: call.name, fingerprint: call.fingerprint, quota: call.quota, count: 0, floor: units, floorStart: start,
            standIns: table.standIns)
        let pending = PendingDecision { [unowned self] _, decisions, now in
            if let decision = decisions?.first {
                table.learn(call.fingerprint, call.quota, decision, standIns: call.standIns, now: now.nanoseconds)
            }
            done(decisions?.first, now)
        }
        store.decide([call], for: pending)
    }
}
