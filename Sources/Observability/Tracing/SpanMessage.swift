import Bytes
package import Time

/// The spans of one request on their way from a worker to the control process: what an exemplar needs, then span after span.
///
/// Bytes: the trace's two words, the duration in nanoseconds, the length and the text of the route, then each span with its length; numbers
/// of eight bytes, the lowest first.
package struct SpanMessage {
    package private(set) var bytes: [UInt8] = []

    package init(_ trace: TraceContext, _ duration: Nanoseconds, route: String) {
        append(trace.high)
        append(trace.low)
        append(duration.count)
        append(Array(route.utf8.prefix(MetricMemory.nameBytesMax)))
    }

    /// Adds a span, or the text.
    package mutating func append(_ part: [UInt8]) {
        append(UInt64(part.count))
        bytes += part
    }

    private mutating func append(_ word: UInt64) {
        for place in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: word >> UInt64(place * 8))) }
    }

    /// What stands in such bytes.
    package struct Reading {
        package let high: UInt64
        package let low: UInt64
        package let duration: Nanoseconds
        package let route: [UInt8]
        package let spans: [[UInt8]]

        /// Nil for bytes that are none, or whose spans are none.
        package init?(_ bytes: [UInt8]) {
            var index = 0
            func word() -> UInt64? {
                guard bytes.count - index >= 8 else { return nil }
                defer { index += 8 }
                return (0..<8).reduce(0) { $0 | UInt64(bytes[index + $1]) << UInt64($1 * 8) }
            }
            func part() -> [UInt8]? {
                guard let count = word(), count <= UInt64(bytes.count - index) else { return nil }
                defer { index += Int(count) }
                return Array(bytes[index..<index + Int(count)])
            }
            guard let high = word(), let low = word(), let duration = word(), let route = part(),
                route.count <= MetricMemory.nameBytesMax
            else { return nil }
            var spans: [[UInt8]] = []
            while index < bytes.count {
                guard let span = part(), SpanShape.fits(span.span) else { return nil }
                spans.append(span)
            }
            self.high = high
            self.low = low
            self.duration = Nanoseconds(duration)
            self.route = route
            self.spans = spans
        }
    }
}
