import CLinux
import Dispatch
import Synchronization

/// Runs what blocks, or takes long, on threads of its own and hands the outcomes back to the loop.
package final class BackgroundWork<Outcome: Sendable>: EventHandler {
    private let loop: EventLoop
    private let inbox: Inbox<Outcome>
    private var watch: Watch?
    private let take: (Outcome) -> Void

    private let queue: DispatchQueue

    /// - Parameter isSerial: whether one piece of work is done after the other.
    package init(on loop: EventLoop, isSerial: Bool = false, take: @escaping (Outcome) -> Void) throws(SystemError) {
        self.loop = loop
        self.take = take
        queue = isSerial ? DispatchQueue(label: "background") : .global()
        let raw = eventfd(0, pc_eventfd_flags)
        guard raw >= 0 else { throw SystemError("eventfd") }
        inbox = Inbox(wake: Descriptor(owning: raw))
        watch = try loop.watch(raw, for: .readable, self)
    }

    package func start(_ work: @escaping @Sendable () -> Outcome) {
        let inbox = inbox
        queue.async { inbox.put(work()) }
    }

    package func handle(_ readiness: Readiness) {
        for outcome in inbox.takeAll() { take(outcome) }
    }
}

/// Outcomes on their way from a thread to the loop.
private final class Inbox<Outcome: Sendable>: Sendable {
    private let outcomes = Mutex<[Outcome]>([])
    private let wake: Descriptor

    init(wake: consuming Descriptor) { self.wake = wake }

    func put(_ outcome: Outcome) {
        outcomes.withLock { $0.append(outcome) }
        eventfd_write(wake.raw, 1)
    }

    func takeAll() -> [Outcome] {
        var count: eventfd_t = 0
        // SAFETY: `count` lives for the call.
        unsafe _ = eventfd_read(wake.raw, &count)
        return outcomes.withLock { held in
            defer { held = [] }
            return held
        }
    }
}
