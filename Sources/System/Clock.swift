package import Time
import CLinux

/// What a loop takes for the time: the host's clocks, or a test's.
package struct LoopClock {
    package let now: () -> Instant
    /// Nanoseconds since 1970-01-01 UTC.
    package let wall: () -> UInt64

    package init(now: @escaping () -> Instant, wall: @escaping () -> UInt64) {
        self.now = now
        self.wall = wall
    }

    package static var host: LoopClock { LoopClock(now: Clock.now, wall: Clock.wall) }
}

package enum Clock {
    package static func now() -> Instant { Instant(nanoseconds: read(CLOCK_MONOTONIC)) }

    /// Nanoseconds since 1970-01-01 UTC.
    package static func wall() -> UInt64 { read(CLOCK_REALTIME) }

    /// Seconds since 1970-01-01 UTC.
    package static func wallSeconds() -> UInt64 { wall() / 1_000_000_000 }

    /// Milliseconds since 1970-01-01 UTC, at a moment that is now.
    package static func wallMilliseconds(at _: UInt64) -> UInt64 { wall() / 1_000_000 }

    private static func read(_ clock: Int32) -> UInt64 {
        var time = timespec()
        // SAFETY: `time` lives for the call, which only fills it.
        guard unsafe clock_gettime(clock, &time) == 0 else { return 0 }
        return UInt64(clamping: time.tv_sec) * 1_000_000_000 + UInt64(clamping: time.tv_nsec)
    }
}
