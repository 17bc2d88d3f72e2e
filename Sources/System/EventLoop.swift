package import Time
import CLinux

/// What a descriptor is ready for.
package struct Readiness: OptionSet, Sendable {
    package let rawValue: UInt32
    package init(rawValue: UInt32) { self.rawValue = rawValue }

    package static let readable = Readiness(rawValue: EPOLLIN.rawValue)
    package static let writable = Readiness(rawValue: EPOLLOUT.rawValue)
    /// The peer has closed its side, or both; asked for with `readable`.
    package static let peerClosed = Readiness(rawValue: EPOLLRDHUP.rawValue)
    package static let failed = Readiness(rawValue: EPOLLERR.rawValue | EPOLLHUP.rawValue)

    /// What a connection waits for.
    package static func waiting(toRead: Bool, toWrite: Bool) -> Readiness {
        Readiness(rawValue: (toRead ? EPOLLIN.rawValue : 0) | (toWrite ? EPOLLOUT.rawValue : 0))
    }

    /// Whether a read would give something: bytes, the peer's end, or the reason of a failure.
    package var allowsReading: Bool { rawValue & (EPOLLIN.rawValue | EPOLLRDHUP.rawValue | EPOLLERR.rawValue | EPOLLHUP.rawValue) != 0 }
    package var allowsWriting: Bool { rawValue & EPOLLOUT.rawValue != 0 }
    package var hasFailed: Bool { rawValue & (EPOLLERR.rawValue | EPOLLHUP.rawValue) != 0 }
}

package protocol EventHandler: AnyObject {
    func handle(_ readiness: Readiness)
}

/// Called once when the events of the present turn are through.
package protocol EndOfTurnHandler: AnyObject {
    func turnEnded()
}

/// One thread's loop over epoll, level-triggered: events, timers, then the work put off to the end of the turn.
///
/// Everything that registers here belongs to this loop and its thread.
@safe package final class EventLoop {
    /// Read once per turn.
    package var now: Instant { moment }
    /// Nanoseconds since 1970, read once per turn.
    package var wall: UInt64 { wallMoment }
    /// Seconds since 1970.
    package var wallSeconds: UInt64 { wallMoment / 1_000_000_000 }

    private var moment: Instant
    private var wallMoment: UInt64

    private let epoll: Descriptor
    private var slots: [Slot] = []
    private var freeSlots: [Int] = []
    private let clock: LoopClock
    private let wheel: TimerWheel
    private var endOfTurn: [any EndOfTurnHandler] = []
    private var isRunning = false
    /// What the kernel writes events into.
    private var ready: [epoll_event] = unsafe []

    private struct Slot {
        var handler: (any EventHandler)?
        var generation: UInt32 = 0
    }

    package init(clock: LoopClock = .host) throws(SystemError) {
        self.clock = clock
        moment = clock.now()
        wallMoment = clock.wall()
        wheel = TimerWheel(at: clock.now())
        let raw = epoll_create1(pc_epoll_cloexec)
        guard raw >= 0 else { throw SystemError("epoll_create1") }
        epoll = Descriptor(owning: raw)
    }

    /// Runs until ``stop()``.
    package func run() {
        isRunning = true
        while isRunning { turn(waitingAtMost: nil) }
    }

    package func stop() { isRunning = false }

    /// Waits for events, at most until the next timer or `limit` (milliseconds), and handles all that is due.
    package func turn(waitingAtMost limit: Int32?) {
        var wait = endOfTurn.isEmpty ? wheel.millisecondsToNext(from: clock.now()) : 0
        if let limit, wait < 0 || wait > limit { wait = limit }
        // Made once, and taken out meanwhile.
        var events: [epoll_event] = unsafe []
        unsafe swap(&events, &ready)
        // SAFETY: a union of plain numbers; the kernel fills the entries that are read.
        if unsafe events.isEmpty { unsafe events = unsafe [epoll_event](repeating: epoll_event(), count: eventsPerTurn) }
        // SAFETY: the pointer is the array's, valid for its entries while the call lasts.
        let count = unsafe events.withUnsafeMutableBufferPointer {
            unsafe epoll_wait(epoll.raw, $0.baseAddress, Int32($0.count), wait)
        }
        moment = clock.now()
        wallMoment = clock.wall()
        for index in 0..<max(0, Int(count)) {
            // SAFETY: `data` is a union; only u64 is ever stored.
            let token = unsafe events[index].data.u64
            let slot = Int(token & 0xFFFF_FFFF)
            guard slot < slots.count, slots[slot].generation == UInt32(token >> 32) else { continue }
            let handler = slots[slot].handler
            handler?.handle(Readiness(rawValue: unsafe events[index].events))
        }
        unsafe swap(&events, &ready)
        wheel.fire(at: now)
        // A handler may put off more work. Some of it belongs to this turn; who always has more waits for the next one.
        for _ in 0..<passesPerTurn where !endOfTurn.isEmpty {
            var due: [any EndOfTurnHandler] = exchange(&endOfTurn, with: [])
            for handler in due { handler.turnEnded() }
            if endOfTurn.isEmpty {
                due.removeAll(keepingCapacity: true)
                swap(&due, &endOfTurn)
            }
        }
    }

    /// Calls `handler` when the events of this turn are through. The handler sees to it that it asks once.
    package func atEndOfTurn(_ handler: any EndOfTurnHandler) {
        // Taken out while it is changed (decision 011).
        var due: [any EndOfTurnHandler] = exchange(&endOfTurn, with: [])
        due.append(handler)
        swap(&due, &endOfTurn)
    }

    /// Fires `timer` at `deadline`, instead of at any moment set before. A later deadline costs nothing.
    package func set(_ timer: Timer, at deadline: Instant) { wheel.set(timer, at: deadline) }

    package func set(_ timer: Timer, after length: Nanoseconds) { wheel.set(timer, at: now.adding(length)) }

    /// Watches `descriptor` for `handler`, which stays alive until the watch ends.
    package func watch(_ descriptor: Int32, for interest: Readiness, _ handler: any EventHandler) throws(SystemError) -> Watch {
        let slot = freeSlots.popLast() ?? slots.count
        if slot == slots.count { slots.append(Slot()) }
        slots[slot].handler = handler
        let token = UInt64(slots[slot].generation) << 32 | UInt64(slot)
        guard control(EPOLL_CTL_ADD, descriptor, interest, token) else {
            let error = SystemError("epoll_ctl")
            release(slot)
            throw error
        }
        return Watch(descriptor: descriptor, token: token, interest: interest)
    }

    /// Changes what `watch` waits for; a system call only if it differs.
    package func change(_ watch: inout Watch, to interest: Readiness) {
        guard watch.interest != interest else { return }
        watch.interest = interest
        _ = control(EPOLL_CTL_MOD, watch.descriptor, interest, watch.token)
    }

    /// Makes `handler` the one that a watch wakes.
    package func hand(_ watch: Watch, to handler: any EventHandler) {
        let slot = Int(watch.token & 0xFFFF_FFFF)
        if slots[slot].generation == UInt32(watch.token >> 32) { slots[slot].handler = handler }
    }

    /// Ends a watch, before its descriptor is closed. Events of it that are still queued in this turn are dropped.
    package func end(_ watch: Watch) {
        let slot = Int(watch.token & 0xFFFF_FFFF)
        guard slots[slot].generation == UInt32(watch.token >> 32) else { return }
        _ = control(EPOLL_CTL_DEL, watch.descriptor, [], watch.token)
        release(slot)
    }

    private func release(_ slot: Int) {
        slots[slot].handler = nil
        slots[slot].generation &+= 1
        freeSlots.append(slot)
    }

    private func control(_ operation: Int32, _ descriptor: Int32, _ interest: Readiness, _ token: UInt64) -> Bool {
        // SAFETY: `data` is a union; u64 is the member that is read back.
        var event = unsafe epoll_event()
        unsafe event.events = interest.rawValue
        unsafe event.data.u64 = token
        // SAFETY: `event` lives for the call, which only reads it.
        return unsafe epoll_ctl(epoll.raw, operation, descriptor, &event) == 0
    }
}

/// A descriptor under watch.
package struct Watch {
    package let descriptor: Int32
    let token: UInt64
    package fileprivate(set) var interest: Readiness
}

private let passesPerTurn = 4
private let eventsPerTurn = 256
