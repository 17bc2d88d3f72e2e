import CLinux

/// A moment on the host's monotonic clock, in nanoseconds; the same in all processes of the host.
package struct Instant: Comparable, Hashable, Sendable {
    package var nanoseconds: UInt64

    package init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    package static let past = Instant(nanoseconds: 0)
    package static let never = Instant(nanoseconds: .max)
    package static func < (left: Instant, right: Instant) -> Bool { left.nanoseconds < right.nanoseconds }

    /// Saturates instead of overflowing.
    package func adding(_ nanoseconds: UInt64) -> Instant {
        let (sum, overflow) = self.nanoseconds.addingReportingOverflow(nanoseconds)
        return overflow ? .never : Instant(nanoseconds: sum)
    }

    /// Nanoseconds from `earlier` to here; 0 if `earlier` is later.
    package func since(_ earlier: Instant) -> UInt64 {
        nanoseconds > earlier.nanoseconds ? nanoseconds - earlier.nanoseconds : 0
    }
}

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

    private static func read(_ clock: Int32) -> UInt64 {
        var time = timespec()
        // SAFETY: `time` lives for the call, which only fills it.
        guard unsafe clock_gettime(clock, &time) == 0 else { return 0 }
        return UInt64(clamping: time.tv_sec) * 1_000_000_000 + UInt64(clamping: time.tv_nsec)
    }
}
