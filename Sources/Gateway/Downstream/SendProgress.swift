import Configuration
import Connection
import RateLimiting
import System

/// Whether a client takes what is sent to it, and fast enough. The system's own buffers may hold megabytes; what has left them is what
/// was taken.
struct SendProgress {
    private var written: UInt64 = 0
    private var acknowledged: UInt64 = 0
    private var movedAt = Instant.never
    private var checkedAt = Instant.never
    /// Runs while the system takes no more for the client, whatever else is awaited. Anyone who has given all to the system clears it; it is
    /// read out for that, so that no call is made while this is looked at (decision 011).
    private(set) var timer: Timer?

    /// Bytes were given to the system.
    mutating func recordWrite(_ count: Int) { written += UInt64(count) }

    /// The system takes no more: from here on the client is waited for.
    mutating func writeBlocked(_ io: ConnectionIO, _ handler: any TimerHandler, _ services: DownstreamServices) {
        guard timer?.deadline ?? .never == .never, let descriptor = io.descriptor else { return }
        acknowledged = acknowledgedBytes(descriptor)
        movedAt = services.loop.now
        checkedAt = services.loop.now
        let timer = timer ?? Timer(handler)
        self.timer = timer
        services.loop.set(timer, after: services.settings.uptakeCheck)
    }

    func owns(_ timer: Timer) -> Bool { self.timer === timer }

    /// Called when the timer fires: whether the client has taken something within the write timeout and, if anything, no less than
    /// `download_rate` asks for. Then it is looked at again after a while.
    mutating func isMakingProgress(_ io: ConnectionIO, _ services: DownstreamServices) -> Bool {
        guard let timer, let descriptor = io.descriptor else { return false }
        let (now, rate, silence) = (services.loop.now, services.settings.clientLimits.downloadRate, services.settings.timeouts.write)
        let current = acknowledgedBytes(descriptor)
        let (count, elapsed) = (current - min(acknowledged, current), now.since(checkedAt))
        acknowledged = current
        checkedAt = now
        if count > 0 {
            movedAt = now
            guard Double(count) * Double(rate.windowNanoseconds) >= Double(rate.count) * Double(elapsed) else { return false }
        } else {
            guard now.since(movedAt) < silence else { return false }
        }
        services.loop.set(timer, after: services.settings.uptakeCheck)
        return true
    }

    private func acknowledgedBytes(_ descriptor: Int32) -> UInt64 {
        written - min(written, UInt64(clamping: Socket.unsentBytes(descriptor)))
    }
}
