package import Time
package import System

/// Whether a client takes what is sent to it, and fast enough. The system's own buffers may hold megabytes; what has left them is what
/// was taken.
package final class SendProgress {
    private var written: UInt64 = 0
    private var acknowledged: UInt64 = 0
    private var movedAt = Instant.never
    private var checkedAt = Instant.never
    /// Runs while the system takes no more for the client, whatever else is awaited.
    private var timer: Timer?
    private let pace: Pace

    /// What is asked of a peer that has to take what is sent.
    package struct Pace: Sendable {
        let rate: TransferRate
        /// How long it may take nothing.
        let silence: Nanoseconds
        /// How often it is looked at.
        let interval: Nanoseconds

        package init(rate: TransferRate, silence: Nanoseconds) {
            self.rate = rate
            self.silence = silence
            interval = min(silence, rate.window)
        }
    }

    package init(_ pace: Pace) { self.pace = pace }

    /// Bytes were given to the system.
    package func recordWrite(_ count: Int) { written += UInt64(count) }

    /// The system has taken all.
    package func writeCompleted() { timer?.clear() }

    /// The connection is closed.
    package func end() {
        timer?.cancel()
        timer = nil
    }

    /// The system takes no more: from here on the client is waited for.
    package func writeBlocked(_ io: ConnectionIO, _ handler: any TimerHandler, on loop: EventLoop) {
        guard timer?.deadline ?? .never == .never, let descriptor = io.descriptor else { return }
        acknowledged = acknowledgedBytes(descriptor)
        movedAt = loop.now
        checkedAt = loop.now
        let timer = timer ?? Timer(handler)
        self.timer = timer
        loop.set(timer, after: pace.interval)
    }

    package func owns(_ timer: Timer) -> Bool { self.timer === timer }

    /// Called when the timer fires: whether the client has taken something within the write timeout and, if anything, no less than
    /// the rate asks for. Then it is looked at again after a while.
    package func isMakingProgress(_ io: ConnectionIO, on loop: EventLoop) -> Bool {
        guard let timer, let descriptor = io.descriptor else { return false }
        let now = loop.now
        let current = acknowledgedBytes(descriptor)
        let (count, elapsed) = (current - min(acknowledged, current), now.since(checkedAt))
        acknowledged = current
        checkedAt = now
        if count > 0 {
            movedAt = now
            guard pace.rate.isReached(by: count, in: elapsed) else { return false }
        } else {
            guard now.since(movedAt) < pace.silence else { return false }
        }
        loop.set(timer, after: pace.interval)
        return true
    }

    private func acknowledgedBytes(_ descriptor: Int32) -> UInt64 {
        written - min(written, UInt64(clamping: Socket.unsentBytes(descriptor)))
    }
}
