package import Time

/// Called when a timer's moment has come.
package protocol TimerHandler: AnyObject {
    func fired(_ timer: Timer)
}

/// A moment to be woken at. Setting it again moves it; ``cancel()`` forgets it and lets go of the handler.
package final class Timer {
    fileprivate var handler: (any TimerHandler)?
    fileprivate var due = Instant.never
    package var deadline: Instant { due }
    /// The tick whose slot holds the timer; nil when none does.
    fileprivate var queuedTick: UInt64?

    package init(_ handler: any TimerHandler) { self.handler = handler }

    /// Not to fire until it is set again.
    package func clear() { due = .never }

    /// Never to fire again.
    package func cancel() {
        due = .never
        handler = nil
    }
}

/// Timers in slots of 4 ms, the farthest 4 s away; what is later is queued again on its way.
/// A class, because a handler that fires may set timers.
///
/// Moving a timer to a later moment only stores the moment: the slot finds it not due and queues it again.
final class TimerWheel {
    private var slots = [[Timer]](repeating: [], count: 1024)
    private var occupied = [16 of UInt64](repeating: 0)
    private var queued = 0
    private var tick: UInt64

    init(at now: Instant) { tick = now.nanoseconds / nanosecondsPerTick }

    func set(_ timer: Timer, at deadline: Instant) {
        timer.due = deadline
        guard deadline != .never else { return }
        let due = tick(of: deadline)
        if let queuedTick = timer.queuedTick, queuedTick <= due { return }
        enqueue(timer, due)
    }

    /// Milliseconds until the next slot that holds something; -1 when none does.
    func millisecondsToNext(from now: Instant) -> Int32 {
        guard queued > 0 else { return -1 }
        for distance in 1...UInt64(1024) {
            let slot = Int((tick + distance) & 1023)
            if occupied[slot >> 6] == 0, slot & 63 == 0, distance <= 960 { continue }
            if occupied[slot >> 6] >> UInt64(slot & 63) & 1 == 1 {
                let moment = (tick + distance + 1) * nanosecondsPerTick
                guard moment > now.nanoseconds else { return 0 }
                return Int32(clamping: (moment - now.nanoseconds) / 1_000_000 + 1)
            }
        }
        return -1
    }

    func fire(at now: Instant) {
        let target = now.nanoseconds / nanosecondsPerTick
        guard queued > 0 else {
            tick = target
            return
        }
        // After a long pause each slot is looked at once.
        if target > tick + 1024 { tick = target - 1024 }
        while tick < target {
            tick += 1
            let slot = Int(tick & 1023)
            guard occupied[slot >> 6] >> UInt64(slot & 63) & 1 == 1 else { continue }
            occupied[slot >> 6] &= ~(1 << UInt64(slot & 63))
            let due: [Timer] = exchange(&slots[slot], with: [])
            queued -= due.count
            for timer in due {
                // A timer that was moved to an earlier slot has left a trace here.
                guard let queuedTick = timer.queuedTick, queuedTick <= tick else { continue }
                timer.queuedTick = nil
                guard timer.due != .never else { continue }
                if timer.due <= now {
                    timer.due = .never
                    timer.handler?.fired(timer)
                } else {
                    enqueue(timer, tick(of: timer.due))
                }
            }
        }
    }

    private func enqueue(_ timer: Timer, _ due: UInt64) {
        let at = min(max(due, tick + 1), tick + 1023)
        timer.queuedTick = at
        let slot = Int(at & 1023)
        slots[slot].append(timer)
        occupied[slot >> 6] |= 1 << UInt64(slot & 63)
        queued += 1
    }

    /// The tick at whose end the moment has passed.
    private func tick(of moment: Instant) -> UInt64 { moment.nanoseconds / nanosecondsPerTick + 1 }
}

private let nanosecondsPerTick: UInt64 = 4_000_000
