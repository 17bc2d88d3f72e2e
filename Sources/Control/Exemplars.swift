import Observability
import Time

/// For each bucket of each route's durations the last request in it whose trace is kept: from a slow one leads the way to its spans.
struct Exemplars {
    private(set) var known: [MetricExemplar.Place: MetricExemplar] = [:]

    /// - Parameter wall: in nanoseconds since 1970.
    mutating func take(_ message: SpanMessage.Reading, at wall: UInt64) {
        let bucket = MetricBuckets.durations.index(of: message.duration)
        let place = MetricExemplar.Place(.requestDuration, [message.route], bucket: bucket)
        // No more than there are series of routes.
        guard known[place] != nil || known.count < MetricMemory.seriesMax else { return }
        known[place] = MetricExemplar(high: message.high, low: message.low, value: message.duration, wall: wall)
    }
}
