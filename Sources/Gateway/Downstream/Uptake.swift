import Configuration
import RateLimiting
import System

/// How a client takes what is sent to it. The system's own buffers may hold megabytes; what has left them is what was taken.
struct Uptake {
    private var handed: UInt64 = 0
    private var taken: UInt64 = 0
    private var movedAt = Instant.never
    private var lookedAt = Instant.never

    /// Bytes were given to the system.
    mutating func hand(_ count: Int) { handed += UInt64(count) }

    /// The system takes no more: from here on the client is waited for.
    mutating func begin(_ descriptor: Int32, at now: Instant) {
        taken = takenNow(descriptor)
        movedAt = now
        lookedAt = now
    }

    /// Whether the client has taken something within the write timeout and, if anything, no less than `download_rate` asks for.
    mutating func goesOn(_ descriptor: Int32?, _ services: DownstreamServices) -> Bool {
        guard let descriptor else { return false }
        let (now, rate, silence) = (services.loop.now, services.settings.clientLimits.downloadRate, services.settings.timeouts.write)
        let current = takenNow(descriptor)
        let (count, elapsed) = (current - min(taken, current), now.since(lookedAt))
        taken = current
        lookedAt = now
        guard count > 0 else { return now.since(movedAt) < silence }
        movedAt = now
        return Double(count) * Double(rate.windowNanoseconds) >= Double(rate.count) * Double(elapsed)
    }

    private func takenNow(_ descriptor: Int32) -> UInt64 { handed - min(handed, UInt64(clamping: Socket.unsentBytes(descriptor))) }
}
