import Administration
import Processes
import RateLimiting
import System
import Time

/// What operators ask of limits, on its way to workers and back: the control process speaks to no Redis itself. One worker is asked of a key, for the
/// table is the host's; all are asked for the keys that were asked about most.
final class LimitQuestions: TimerHandler {
    private struct Pending {
        let question: LimitQuestion
        var left: Int
        var answers: [LimitAnswer] = []
        let askedAt: Instant
        let done: (LimitAnswer) -> Void
    }

    private let loop: EventLoop
    private var pending: [UInt64: Pending] = [:]
    private var last: UInt64 = 0
    private var timer: Timer?

    init(on loop: EventLoop) {
        self.loop = loop
        timer = Timer(self)
    }

    /// - Parameter workers: those that serve, the latest last.
    func ask(_ question: LimitQuestion, _ workers: [MessageChannel], _ done: @escaping (LimitAnswer) -> Void) {
        let asked = question.action == .top ? workers : Array(workers.suffix(1))
        guard !asked.isEmpty else { return done(LimitAnswer(503, "no worker serves at the moment")) }
        guard pending.count < pendingMax else { return done(LimitAnswer(503, "too many questions are under way")) }
        last += 1
        pending[last] = Pending(question: question, left: asked.count, askedAt: loop.now, done: done)
        for worker in asked { worker.send(LimitMessage.question(last, question)) }
        // Of those that are under way the oldest is due first.
        if pending.count == 1 { loop.set(timer!, after: answerMax) }
    }

    func answered(_ number: UInt64, _ answer: LimitAnswer) {
        guard var present = pending.removeValue(forKey: number) else { return }
        present.answers.append(answer)
        present.left -= 1
        if present.left > 0 { pending[number] = present } else { end(present) }
    }

    /// Who has not answered by now has ended, or is busy: what the others said is told.
    func fired(_ timer: Timer) {
        for (number, one) in pending where loop.now.since(one.askedAt) >= answerMax {
            pending[number] = nil
            end(one)
        }
        if let oldest = pending.values.map(\.askedAt).min() { loop.set(timer, at: oldest.adding(answerMax)) }
    }

    private func end(_ question: Pending) {
        guard let first = question.answers.first else { return question.done(LimitAnswer(503, "no worker has answered in time")) }
        guard question.question.action == .top, first.status == 200 else { return question.done(first) }
        var counts: [String: UInt64] = [:]
        for entry in question.answers.flatMap(\.entries) { counts[entry.name, default: 0] &+= entry.count }
        let entries = counts.sorted { ($0.value, $1.key) > ($1.value, $0.key) }.prefix(topMax)
        question.done(LimitAnswer(200, "", entries.map { LimitAnswer.Entry($0.key, count: $0.value) }))
    }
}

/// A worker waits for a Redis for no longer than its `timeout`, and has other things to do.
private let answerMax = Nanoseconds.seconds(10)
private let pendingMax = 64
private let topMax = 64
