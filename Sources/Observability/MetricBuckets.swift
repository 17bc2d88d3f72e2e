package import Time

/// The upper bounds of a histogram's buckets.
package enum MetricBuckets: Sendable {
    /// From a millisecond to a minute: what a client waits for.
    case durations
    /// From 50 microseconds to a second: what the gateway itself takes.
    case fine

    package var bounds: [Nanoseconds] { self == .durations ? durationBounds : fineBounds }

    /// The bounds in seconds, as they stand in an exposition.
    package var texts: [String] { self == .durations ? durationTexts : fineTexts }

    /// The first bucket whose bound is not less. Written out: it is asked for several times for each request.
    @inline(__always)
    static func index(duration: Nanoseconds) -> Int {
        let length = duration.count
        if length <= 1_000_000 { return 0 }
        if length <= 2_500_000 { return 1 }
        if length <= 5_000_000 { return 2 }
        if length <= 10_000_000 { return 3 }
        return durationBounds.firstIndex { duration <= $0 } ?? durationBounds.count
    }

    @inline(__always)
    static func index(fine duration: Nanoseconds) -> Int {
        let length = duration.count
        if length <= 50_000 { return 0 }
        if length <= 100_000 { return 1 }
        if length <= 250_000 { return 2 }
        if length <= 500_000 { return 3 }
        return fineBounds.firstIndex { duration <= $0 } ?? fineBounds.count
    }

    /// The bucket that a length falls into.
    package func index(of length: Nanoseconds) -> Int { bounds.firstIndex { length <= $0 } ?? bounds.count }

    /// The sum of what was observed, each bucket, and what is above the last bound.
    package var words: Int { bounds.count + 2 }
}

private let durationTexts = [
    "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.075", "0.1", "0.25", "0.5", "0.75", "1.0", "2.5", "5.0", "7.5", "10.0", "30.0",
    "60.0",
]
private let fineTexts = ["5e-05", "0.0001", "0.00025", "0.0005", "0.001", "0.0025", "0.01", "0.05", "0.25", "1.0"]
private let durationBounds: [Nanoseconds] = [
    .microseconds(1_000), .microseconds(2_500), .milliseconds(5), .milliseconds(10), .milliseconds(25), .milliseconds(50),
    .milliseconds(75),
    .milliseconds(100), .milliseconds(250), .milliseconds(500), .milliseconds(750), .seconds(1), .milliseconds(2_500), .seconds(5),
    .milliseconds(7_500), .seconds(10), .seconds(30), .seconds(60),
]
private let fineBounds: [Nanoseconds] = [
    .microseconds(50), .microseconds(100), .microseconds(250), .microseconds(500), .milliseconds(1), .microseconds(2_500),
    .milliseconds(10),
    .milliseconds(50), .milliseconds(250), .seconds(1),
]
