import System
import Time

/// One call to a store. A request that ends before the reply comes forgets its call, so that the reply cannot be taken
/// for the reply to a later call.
final class PendingDecision: RemoteDecisionReceiver {
    private var handler: ((PendingDecision, [GCRA.Decision]?, Instant) -> Void)?

    /// - Parameter askedAt: when the call was made, where somebody wants to know how long it took.
    init(at askedAt: Instant = .past, _ handler: @escaping (PendingDecision, [GCRA.Decision]?, Instant) -> Void) {
        self.askedAt = askedAt
        self.handler = handler
    }

    let askedAt: Instant

    var isForgotten: Bool { handler == nil }

    /// What is done where the store has charged after all; kept when the request is over.
    var late: (([GCRA.Decision], Instant) -> Void)?

    func decidedLate(_ decisions: [GCRA.Decision], at now: Instant) {
        let late = self.late
        self.late = nil
        late?(decisions, now)
    }

    /// What is done with what was granted where the request has ended meanwhile.
    var abandoned: (([GCRA.Decision], Instant) -> Void)?

    /// What is done where the request ends after this reply and before others that it waits for.
    var forgotten: (() -> Void)?

    func forget() {
        handler = nil
        let forgotten = self.forgotten
        self.forgotten = nil
        forgotten?()
    }

    func decided(_ decisions: [GCRA.Decision]?, at now: Instant) {
        guard let handler else {
            if let decisions { abandoned?(decisions, now) }
            return
        }
        self.handler = nil
        handler(self, decisions, now)
    }
}
