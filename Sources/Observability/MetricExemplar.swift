package import Time

/// A request that fell into a bucket, by its trace (OpenMetrics 1.0, "Exemplars").
package struct MetricExemplar: Sendable {
    /// A bucket of a series.
    package struct Place: Hashable, Sendable {
        let family: MetricFamily
        let labels: [[UInt8]]
        let bucket: Int

        package init(_ family: MetricFamily, _ labels: [[UInt8]], bucket: Int) {
            self.family = family
            self.labels = labels
            self.bucket = bucket
        }
    }

    let high: UInt64
    let low: UInt64
    let value: Nanoseconds
    /// Nanoseconds since 1970.
    let wall: UInt64

    package init(high: UInt64, low: UInt64, value: Nanoseconds, wall: UInt64) {
        self.high = high
        self.low = low
        self.value = value
        self.wall = wall
    }
}
