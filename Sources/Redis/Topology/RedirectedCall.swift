import RateLimiting
import System
import Time

/// A question that goes on to another server, within the time that the first one had: who asked waits no longer for it.
final class RedirectedCall: RemoteDecisionReceiver, TimerHandler {
    /// How often it has gone on.
    private(set) var hops = 0
    private let receiver: any RemoteDecisionReceiver
    private let loop: EventLoop
    private let metrics: StoreMetrics?
    private var timer: Timer?
    /// Whether nobody waits any more.
    private(set) var isOver = false

    init(_ receiver: any RemoteDecisionReceiver, until deadline: Instant, on loop: EventLoop, _ metrics: StoreMetrics?) {
        self.receiver = receiver
        self.loop = loop
        self.metrics = metrics
        timer = Timer(self)
        loop.set(timer!, at: deadline)
    }

    /// Counts one more; false where it has gone on often enough, or nobody waits.
    func goesOn() -> Bool {
        hops += 1
        return hops <= hopsMax && !isOver
    }

    func fired(_ timer: Timer) { decided(nil, at: loop.now) }

    func decided(_ decisions: [GCRA.Decision]?, at now: Instant) {
        if isOver {
            if let decisions { receiver.decidedLate(decisions, at: now) }
            return
        }
        isOver = true
        timer?.cancel()
        receiver.decided(decisions, at: now)
    }

    func decidedLate(_ decisions: [GCRA.Decision], at now: Instant) { receiver.decidedLate(decisions, at: now) }
}

/// A slot moves once; a second time is for what has moved on meanwhile.
private let hopsMax = 2
