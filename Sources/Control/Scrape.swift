import Observability
import System
import Time

/// The metrics of all processes as those who ask are told them: many who ask at once are told the same, which is made once.
final class Scrape {
    private let loop: EventLoop
    private let make: () -> MetricSum
    private var last: (at: Instant, sum: MetricSum)?
    private var texts: [MetricText.Format: [UInt8]] = [:]

    init(on loop: EventLoop, _ make: @escaping () -> MetricSum) {
        self.loop = loop
        self.make = make
    }

    func sum() -> MetricSum {
        if let (at, sum) = last, loop.now.since(at) < kept { return sum }
        let sum = make()
        last = (loop.now, sum)
        texts = [:]
        return sum
    }

    func text(_ format: MetricText.Format) -> [UInt8] {
        let sum = sum()
        if let known = texts[format] { return known }
        let text = MetricText.of(sum, as: format)
        texts[format] = text
        return text
    }
}

private let kept = Nanoseconds.milliseconds(100)
