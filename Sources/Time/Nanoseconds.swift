/// A length of time in whole nanoseconds. Never negative; what would overflow is as long as can be.
///
/// Inlined everywhere, as ``Instant`` is: timers are set several times for each request.
@usableFromInline package struct Nanoseconds: Comparable, Hashable, Sendable {
    @usableFromInline package let count: UInt64

    @inlinable package init(_ count: UInt64) { self.count = count }

    /// Zero for a negative length.
    package init(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        self = .seconds(UInt64(clamping: seconds)) + Nanoseconds(UInt64(clamping: attoseconds / 1_000_000_000))
    }

    @inlinable package static var zero: Nanoseconds { Nanoseconds(0) }
    @inlinable package static var longest: Nanoseconds { Nanoseconds(.max) }

    @inlinable package static func seconds(_ count: UInt64) -> Nanoseconds { Nanoseconds(1_000_000_000) * count }
    @inlinable package static func microseconds(_ count: UInt64) -> Nanoseconds { Nanoseconds(1_000) * count }
    @inlinable package static func milliseconds(_ count: UInt64) -> Nanoseconds { Nanoseconds(1_000_000) * count }

    /// Rounded down.
    @inlinable package var seconds: UInt64 { count / 1_000_000_000 }
    /// Rounded down.
    @inlinable package var milliseconds: UInt64 { count / 1_000_000 }
    /// Rounded up: for fields that count in seconds.
    @inlinable package var secondsUp: UInt64 { seconds + (count % 1_000_000_000 > 0 ? 1 : 0) }

    @inlinable package static func == (left: Nanoseconds, right: Nanoseconds) -> Bool { left.count == right.count }
    @inlinable package static func < (left: Nanoseconds, right: Nanoseconds) -> Bool { left.count < right.count }

    @inlinable package static func + (left: Nanoseconds, right: Nanoseconds) -> Nanoseconds {
        let (sum, overflow) = left.count.addingReportingOverflow(right.count)
        return overflow ? .longest : Nanoseconds(sum)
    }

    @inlinable package static func += (left: inout Nanoseconds, right: Nanoseconds) { left = left + right }

    /// Zero where the right one is longer.
    @inlinable package static func - (left: Nanoseconds, right: Nanoseconds) -> Nanoseconds {
        Nanoseconds(left.count > right.count ? left.count - right.count : 0)
    }

    @inlinable package static func * (left: Nanoseconds, right: UInt64) -> Nanoseconds {
        let (product, overflow) = left.count.multipliedReportingOverflow(by: right)
        return overflow ? .longest : Nanoseconds(product)
    }

    @inlinable package static func / (left: Nanoseconds, right: UInt64) -> Nanoseconds { Nanoseconds(left.count / right) }
}
