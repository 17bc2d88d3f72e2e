/// A moment on the host's monotonic clock, in nanoseconds; the same in all processes of the host.
@usableFromInline package struct Instant: Comparable, Hashable, Sendable {
    @usableFromInline package var nanoseconds: UInt64

    @inlinable package init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    @inlinable package static var past: Instant { Instant(nanoseconds: 0) }
    @inlinable package static var never: Instant { Instant(nanoseconds: .max) }

    @inlinable package static func == (left: Instant, right: Instant) -> Bool { left.nanoseconds == right.nanoseconds }
    @inlinable package static func < (left: Instant, right: Instant) -> Bool { left.nanoseconds < right.nanoseconds }

    @inlinable package func adding(_ length: Nanoseconds) -> Instant {
        Instant(nanoseconds: (Nanoseconds(nanoseconds) + length).count)
    }

    /// How long after `earlier` this is; zero if `earlier` is later.
    @inlinable package func since(_ earlier: Instant) -> Nanoseconds { Nanoseconds(nanoseconds) - Nanoseconds(earlier.nanoseconds) }
}
