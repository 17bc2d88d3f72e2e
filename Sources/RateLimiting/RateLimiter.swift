import Authentication
package import Authorization
import Bytes
package import EventLoop
package import Routing

/// Learns the fate of a request whose limits had to be asked for outside.
package protocol AdmissionWaiter: AnyObject {
    func admissionDecided()
}

/// The stage that turns a ``Permit`` into an ``Admission``, by the limits of the route.
package final class RateLimiter {
    package let limits: [Limit]
    private let table: LimitTable
    private let stores: [String: any RemoteStore]
    private var keyScratch: [UInt8] = []

    package init(limits: [Limit], table: LimitTable, stores: [String: any RemoteStore]) {
        self.limits = limits
        self.table = table
        self.stores = stores
    }

    /// Asks limits before it is known who asks: what they refuse is not looked at any further. The request is told, at once or
    /// later; see ``AdmissionProgress``. What they charge counts with what ``begin(_:limits:in:at:_:)`` charges.
    package func beginEarly(limits indices: [Int], in context: RequestContext, at now: Instant, _ progress: AdmissionProgress) {
        progress.start()
        ask(indices, in: context, now, progress)
    }

    /// Starts to decide. The request is then told, at once or later; see ``AdmissionProgress``.
    package func begin(
        _ permit: consuming Permit, limits indices: [Int], in context: RequestContext, at now: Instant, _ progress: AdmissionProgress
    ) {
        progress.start()
        progress.take(permit)
        ask(indices, in: context, now, progress)
    }

    /// Limits in memory are charged first; if one further on refuses, they are given back.
    private func ask(_ indices: [Int], in context: RequestContext, _ now: Instant, _ progress: AdmissionProgress) {
        var remote: [(store: String, index: Int, call: RemoteCall)] = []
        for index in indices {
            let limit = limits[index]
            limit.renderKey(progress.identity, in: context, into: &keyScratch)
            if case .redis(let store) = limit.store {
                remote.append((store, index, RemoteCall(key: keyScratch, quota: limit.quota)))
            } else if !admitLocally(index, table.fingerprint(keyScratch.span), now, progress) {
                return progress.finish()
            }
        }
        guard !remote.isEmpty else { return progress.finish() }
        // The route's stores are asked one after the other; a route with more than one is rare.
        progress.remoteGroups = Dictionary(grouping: remote, by: \.store).sorted { $0.key < $1.key }.map { store, calls in
            AdmissionProgress.Group(store: store, indices: calls.map(\.index), calls: calls.map(\.call))
        }
        askNextStore(progress, now)
    }

    /// The request has been answered with this status: limits that count other statuses alone get their charge back.
    ///
    /// Every request is charged before it is forwarded, so that many at once cannot pass before the first is counted.
    package func settle(_ progress: AdmissionProgress, status: Int) {
        for charge in progress.charged where !limits[charge.limit].counts(status) {
            table.refund(charge.fingerprint, limits[charge.limit].quota)
        }
        for charge in progress.chargedRemote where !limits[charge.limit].counts(status) { stores[charge.store]?.refund([charge.call]) }
        progress.charged.removeAll(keepingCapacity: true)
        progress.chargedRemote.removeAll(keepingCapacity: true)
    }

    /// False when the limit refuses; the error then stands in `progress`.
    private func admitLocally(_ index: Int, _ fingerprint: UInt64, _ now: Instant, _ progress: AdmissionProgress) -> Bool {
        let limit = limits[index]
        let decision = table.admit(fingerprint, limit.quota, now: now.nanoseconds)
        progress.states.append(
            LimitState(limit: index, remaining: decision.remaining, resetAfter: decision.resetAfter, retryAfter: decision.retryAfter))
        if decision.isAllowed {
            progress.charged.append(AdmissionProgress.LocalCharge(limit: index, fingerprint: fingerprint))
            return true
        }
        refuse(progress, .limitExceeded(limit: index, retryAfter: decision.retryAfter))
        return false
    }

    private func refuse(_ progress: AdmissionProgress, _ error: AdmissionError) {
        for charge in progress.charged { table.refund(charge.fingerprint, limits[charge.limit].quota) }
        for charge in progress.chargedRemote { stores[charge.store]?.refund([charge.call]) }
        progress.charged.removeAll(keepingCapacity: true)
        progress.chargedRemote.removeAll(keepingCapacity: true)
        progress.error = error
    }

    private func askNextStore(_ progress: AdmissionProgress, _ now: Instant) {
        while let group = progress.remoteGroups.first {
            guard let store = stores[group.store], store.isAvailable else {
                progress.remoteGroups.removeFirst()
                guard decideWithout(group, progress, now) else { return progress.finish() }
                continue
            }
            let question = RemoteQuestion { [unowned self] decisions in self.answered(group, decisions, progress) }
            progress.question = question
            store.decide(group.calls, for: question)
            return
        }
        progress.finish()
    }

    private func answered(_ group: AdmissionProgress.Group, _ decisions: [Quota.Decision]?, _ progress: AdmissionProgress) {
        defer { if progress.isDecided { progress.waiter?.admissionDecided() } }
        progress.remoteGroups.removeFirst()
        let now = Clock.now()
        guard let decisions, decisions.count == group.calls.count else {
            guard decideWithout(group, progress, now) else { return progress.finish() }
            return askNextStore(progress, now)
        }
        for (index, decision) in zip(group.indices, decisions) {
            progress.states.append(
                LimitState(limit: index, remaining: decision.remaining, resetAfter: decision.resetAfter, retryAfter: decision.retryAfter))
        }
        if let refused = zip(group.indices, decisions).first(where: { !$0.1.isAllowed }) {
            refuse(progress, .limitExceeded(limit: refused.0, retryAfter: refused.1.retryAfter))
            return progress.finish()
        }
        for (index, call) in zip(group.indices, group.calls) {
            progress.chargedRemote.append(AdmissionProgress.RemoteCharge(limit: index, store: group.store, call: call))
        }
        askNextStore(progress, now)
    }

    /// Goes by `when_store_fails`; false when the request is refused.
    private func decideWithout(_ group: AdmissionProgress.Group, _ progress: AdmissionProgress, _ now: Instant) -> Bool {
        for (index, call) in zip(group.indices, group.calls) {
            switch limits[index].whenStoreFails {
            case .open: continue
            case .closed:
                refuse(progress, .storeUnavailable(limit: index))
                return false
            case .local:
                if !admitLocally(index, table.fingerprint(call.key.span), now, progress) { return false }
            }
        }
        return true
    }
}

/// One request's way through its limits. Used again for the next request of its connection.
package final class AdmissionProgress {
    struct LocalCharge {
        let limit: Int
        let fingerprint: UInt64
    }

    struct RemoteCharge {
        let limit: Int
        let store: String
        let call: RemoteCall
    }

    struct Group {
        let store: String
        let indices: [Int]
        let calls: [RemoteCall]
    }

    /// What the limits said, for the answer's fields.
    package fileprivate(set) var states: [LimitState] = []
    package fileprivate(set) var error: AdmissionError?
    package private(set) var isDecided = false
    fileprivate var charged: [LocalCharge] = []
    fileprivate var chargedRemote: [RemoteCharge] = []
    fileprivate var remoteGroups: [Group] = []
    fileprivate var question: RemoteQuestion?
    private var permit: Permit?
    fileprivate weak var waiter: (any AdmissionWaiter)?

    package init(_ waiter: any AdmissionWaiter) { self.waiter = waiter }

    var identity: Identity? { permit?.identity }

    /// The admission of a request that was decided without error; nil the second time.
    package func takeAdmission() -> Admission? {
        guard isDecided, error == nil, let permit = permit.take() else { return nil }
        return Admission(identity: permit.identity)
    }

    /// Forgets the request; a decision that is still on its way reaches nobody.
    package func reset() {
        states.removeAll(keepingCapacity: true)
        charged.removeAll(keepingCapacity: true)
        chargedRemote.removeAll(keepingCapacity: true)
        remoteGroups.removeAll(keepingCapacity: true)
        error = nil
        isDecided = false
        question?.answer = nil
        question = nil
        permit = nil
    }

    fileprivate func start() {
        error = nil
        isDecided = false
    }

    fileprivate func take(_ permit: consuming Permit) { self.permit = consume permit }

    fileprivate func finish() { isDecided = true }
}

/// One question to a store. A request that ends before the answer comes forgets its question, so that the answer cannot be
/// taken for that of a later one.
fileprivate final class RemoteQuestion: RemoteDecisionReceiver {
    fileprivate var answer: (([Quota.Decision]?) -> Void)?

    init(_ answer: @escaping ([Quota.Decision]?) -> Void) { self.answer = answer }

    func decided(_ decisions: [Quota.Decision]?) {
        guard let answer else { return }
        self.answer = nil
        answer(decisions)
    }
}
