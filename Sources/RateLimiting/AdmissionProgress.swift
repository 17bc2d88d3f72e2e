import Time
import Authentication
import Authorization
import System

/// One request's way through its limits. Used again for the next request of its connection.
package final class AdmissionProgress {
    struct LocalCharge {
        let limit: LimitID
        let fingerprint: UInt64
        let quota: Quota
        let charge: GCRA.Charge
        /// Where it was made in place of a store that may have charged too, which turns out later.
        var standIn: StandIn?
    }

    struct RemoteCharge {
        let limit: LimitID
        let store: String
        let call: RemoteCall
        /// Where it stands among the key's charges in the store; nil where a lease was spent.
        let charge: GCRA.Charge?
        /// The key whose lease was spent, or that it was charged with, and when that lease ends.
        let lease: (fingerprint: UInt64, end: Instant)?
    }

    struct Group {
        let store: String
        var ids: [LimitID]
        var calls: [RemoteCall]
        /// The fingerprint of the key, where the limit is spent by leases; the group is then that limit alone.
        let leasedUnder: UInt64?

        func isShadow(_ limits: [Limit]) -> Bool { limits[ids[0].index].isShadow }
    }

    /// What few requests have; see ``Present/rest``.
    final class Rest {
        /// What the response says of the request's cost.
        var toldCosts: [LimitID: UInt64] = [:]
        /// Of which keys a limit counts it as being under way.
        var held: [HeldRequests.Key] = []
        /// Limits that let the request through without counting it, because their store was late.
        var uncounted: [(limit: LimitID, standIn: StandIn)] = []
        /// Servers of stores that were late for this request, which waits for them no more.
        var lateServers: [ObjectIdentifier] = []
        /// How long the request waits for its turn.
        var turn = Nanoseconds.zero
        /// The limit that it waits for.
        var delayedBy: LimitID?
        /// What was charged of the host's bounds.
        var chargedBounds: [(fingerprint: UInt64, quota: Quota, charge: GCRA.Charge)] = []
    }

    /// All that changes, in one. Taken out while it is changed (decision 011): nothing that is called meanwhile may look for it.
    struct Present: ~Copyable {
        var states: [LimitState] = []
        var error: AdmissionError?
        var isDecided = false
        /// Whether the waiter has been told so.
        var isTold = false
        var charged: [LocalCharge] = []
        var chargedRemote: [RemoteCharge] = []
        var remoteGroups: [Group] = []
        /// The call that is under way.
        var pending: PendingDecision?
        /// Those for the parts of a store, where it has several.
        var pendingParts: [PendingDecision] = []
        var permit: Permit?
        /// What few requests have; nil for nothing, so that the others carry one word.
        var rest: Rest?

        mutating func reset() {
            Self.clear(&states)
            forgetCharges()
            if !remoteGroups.isEmpty { remoteGroups = [] }
            error = nil
            isDecided = false
            pending?.forget()
            pending = nil
            if !pendingParts.isEmpty {
                for call in pendingParts { call.forget() }
                pendingParts = []
            }
            permit = nil
            if rest != nil { rest = nil }
        }

        /// Begins to decide; without a permit, before it is known who asks.
        mutating func start(_ permit: consuming Permit?) {
            error = nil
            isDecided = false
            isTold = false
            self.permit = consume permit
        }

        /// Makes room for what few requests have.
        mutating func withRest(_ change: (Rest) -> Void) {
            let present = rest ?? Rest()
            change(present)
            rest = present
        }

        mutating func takePermit() -> Permit? { isDecided ? permit.take() : nil }

        mutating func forgetCharges() {
            Self.clear(&charged)
            Self.clear(&chargedRemote)
            rest?.chargedBounds = []
            rest?.uncounted = []
        }

        /// A route has few limits: one by one they go faster than all at once.
        @inline(__always)
        private static func clear<Element>(_ list: inout [Element]) { while !list.isEmpty { list.removeLast() } }
    }

    private var present: Present? = Present()

    /// What the limits said, for the response's fields.
    package var states: [LimitState] { change { $0.states } }
    /// Why the limits refused the request; nil where they did not.
    package var error: AdmissionError? { change { $0.error } }
    /// Lives while a call is under way: a request that ends forgets its call.
    package unowned var waiter: (any AdmissionWaiter)?

    package init() {}

    var isDecided: Bool { change { $0.isDecided } }

    /// Tells the waiter, once, when it is decided.
    func tellIfDecided() {
        let isDue = change { present in
            let isDue = present.isDecided && !present.isTold
            if isDue { present.isTold = true }
            return isDue
        }
        if isDue { waiter?.admissionDecided() }
    }
    var identity: Identity? { change { $0.permit?.identity } }

    /// The admission of a request whose limits have decided; nil the second time.
    ///
    /// - Throws: why they refused it.
    package func takeAdmission() throws(AdmissionError) -> Admission? {
        if let error { throw error }
        guard let permit = change({ $0.takePermit() }) else { return nil }
        return Admission(identity: permit.identity, route: permit.route)
    }

    /// Forgets the request; a decision that is still on its way reaches nobody.
    package func reset() { change { $0.reset() } }

    /// How long an admitted request waits for its turn, and by which limit; told once.
    func takeTurn() -> (Nanoseconds, LimitID)? {
        change { present in
            guard let rest = present.rest, rest.turn > .zero, let limit = rest.delayedBy else { return nil }
            defer { rest.turn = .zero }
            return (rest.turn, limit)
        }
    }

    func finish() { change { $0.isDecided = true } }

    /// The store that is asked next.
    var nextGroup: Group? { change { $0.remoteGroups.first } }

    /// Whether a server was late for this request.
    func waitedInVain(for server: ObjectIdentifier?) -> Bool {
        guard let server else { return false }
        return change { $0.rest?.lateServers.contains(server) ?? false }
    }

    func forgetGroup() { change { _ = $0.remoteGroups.removeFirst() } }

    @inline(__always) func trade(_ other: inout Present?) { swap(&other, &present) }

    @inline(__always) func change<Result: ~Copyable>(_ body: (inout Present) -> Result) -> Result {
        var taken: Present? = exchange(&present, with: nil)
        let result = body(&taken!)
        swap(&taken, &present)
        return result
    }
}

/// A charge of this host that was made because a store's reply was late. Where the request does not count, both are taken back.
final class StandIn {
    /// Whether the request has turned out not to count.
    var isUndone = false
    /// What became of the attempt, of a lockout; nil while that is not known.
    var outcome: Lockout.Outcome?
    /// What the store has charged too; nil while that is not known.
    var inStore: RemoteRefund?
    let store: String

    init(_ store: String) { self.store = store }
}
