import Observability
import Processes
import RateLimiting
import System
import Time

/// What the gateway says of itself.
extension ControlProcess {
    /// Keeps what a process has said, here and for those that come after this one.
    func note(_ event: ProgramEvent) {
        events.add(event)
        // The supervisor has more important things to hear of: where it cannot keep up it is not told.
        supervisor?.sendIfIdle(EventMessage.output(event))
    }

    /// A worker has said something, which stands in its own log already. One in wrong hands could say so much that nobody else is heard.
    func took(event bytes: [UInt8], of slot: Int) {
        guard spendEvent(of: slot), let level = bytes.first.flatMap({ LogLevel(rawValue: $0) }) else { return }
        let text = String(decoding: bytes.dropFirst().prefix(ProgramEvent.textBytesMax).prefix { $0 != 0x0A }, as: UTF8.self)
        note(ProgramEvent(at: loop.wallSeconds, level, by: "worker \(slot)", text))
    }

    /// Whether one more thing that a worker has caused is told of now.
    func spendEvent(of slot: Int) -> Bool {
        var budget = eventBudgets[slot] ?? EventBudget(eventsOfWorker)
        defer { eventBudgets[slot] = budget }
        return budget.spend(at: loop.now)
    }
}

private let eventsOfWorker = Quota(count: 1, window: .seconds(1), burst: 20)
