import Bytes
import Foundation
import Observability
import System
import Testing
import Time

@Suite("Metrics") struct MetricTests {
    private func memory() throws -> MetricMemory { MetricMemory(try SharedMemory(words: MetricMemory.words + 4), firstWord: 4) }

    private func request(_ metrics: Metrics, _ route: String) -> Metrics.Cell {
        metrics.cell(.requests, metrics.name(route), metrics.name("GET"), Metrics.Name(status: 200))
    }

    private func text(_ sum: MetricSum, _ format: MetricText.Format = .prometheus) -> String {
        String(decoding: MetricText.of(sum, as: format), as: UTF8.self)
    }

    @Test("What two processes count is added up, and a third goes on where one ended")
    func sum() throws {
        let (first, second) = (try memory(), try memory())
        let (one, two) = (Metrics(first), Metrics(second))
        // The same texts have other numbers in each.
        two.add(request(two, "/b"), 5)
        one.add(request(one, "/a"), 2)
        one.add(request(one, "/b"))
        let successor = Metrics(first)
        successor.add(request(successor, "/b"))
        var sum = MetricSum()
        sum.add(first)
        sum.add(second)
        #expect(sum.value(.requests, ["/b", "GET", "200"]) == 7)
        #expect(sum.value(.requests, ["/a", "GET", "200"]) == 2)
        #expect(sum.value(.requests, ["/a", "GET", "404"]) == 0)
    }

    @Test("A histogram counts each observation once, in the first bucket whose bound is not less")
    func histogram() throws {
        let memory = try memory()
        let metrics = Metrics(memory)
        let cell = metrics.cell(.overhead, "/a")
        for microseconds: UInt64 in [50, 51, 1_000_000, 2_000_000] { metrics.observe(cell, fine: .microseconds(microseconds)) }
        var sum = MetricSum()
        sum.add(memory)
        let lines = text(sum).split(separator: "\n")
        #expect(lines.contains("portcullis_http_overhead_seconds_bucket{route=\"/a\",le=\"5e-05\"} 1"))
        #expect(lines.contains("portcullis_http_overhead_seconds_bucket{route=\"/a\",le=\"0.0001\"} 2"))
        #expect(lines.contains("portcullis_http_overhead_seconds_bucket{route=\"/a\",le=\"1.0\"} 3"))
        #expect(lines.contains("portcullis_http_overhead_seconds_bucket{route=\"/a\",le=\"+Inf\"} 4"))
        #expect(lines.contains("portcullis_http_overhead_seconds_count{route=\"/a\"} 4"))
        #expect(lines.contains("portcullis_http_overhead_seconds_sum{route=\"/a\"} 3.000101000"))
    }

    @Test("Each length falls into the bucket that the bounds say")
    func buckets() throws {
        for buckets in [MetricBuckets.durations, .fine] {
            for (index, bound) in buckets.bounds.enumerated() {
                for (length, expected) in [(bound, index), (bound + Nanoseconds(1), index + 1)] {
                    let memory = try memory()
                    let metrics = Metrics(memory)
                    switch buckets {
                    case .durations: metrics.observe(metrics.cell(.requestDuration, "/a"), duration: length)
                    case .fine: metrics.observe(metrics.cell(.overhead, "/a"), fine: length)
                    }
                    var sum = MetricSum()
                    sum.add(memory)
                    let values = sum.series(of: buckets == .durations ? .requestDuration : .overhead)[0].values
                    #expect(values.dropFirst().firstIndex(of: 1) == expected + 1)
                }
            }
        }
    }

    @Test("Gauges end with their process, counters do not")
    func gauges() throws {
        let memory = try memory()
        let metrics = Metrics(memory)
        metrics.add(metrics.cell(.requestsInFlight, "/a"), 3)
        metrics.add(metrics.cell(.refusals, "/a", "token_expired"), 4)
        memory.clearGauges()
        var sum = MetricSum()
        sum.add(memory)
        #expect(sum.value(.requestsInFlight, ["/a"]) == 0)
        #expect(sum.value(.refusals, ["/a", "token_expired"]) == 4)
    }

    @Test("Series beyond the bound are counted as _overflow, and none is lost")
    func overflow() throws {
        let memory = try memory()
        let metrics = Metrics(memory)
        let total = MetricMemory.seriesMax + 500
        for number in 0..<total { metrics.add(metrics.cell(.refusals, "/\(number % 7_000)", "reason \(number / 7_000)")) }
        var sum = MetricSum()
        sum.add(memory)
        let series = sum.series(of: .refusals)
        #expect(series.count <= MetricMemory.seriesMax + 1)
        #expect(series.reduce(0) { $0 + $1.values[0] } == UInt64(total))
        #expect(series.contains { $0.labels == ["_overflow", "_overflow"] && $0.values[0] >= 500 })
        #expect(sum.overflowed >= 500)
        // Histograms have room of their own, too.
        metrics.observe(metrics.cell(.requestDuration, "/late"), duration: .seconds(1))
        var after = MetricSum()
        after.add(memory)
        #expect(after.series(of: .requestDuration).map(\.labels) == [["_overflow"]])
    }

    @Test("Texts beyond the bound are _overflow, and a long one is cut")
    func names() throws {
        let memory = try memory()
        let metrics = Metrics(memory)
        for number in 0..<(MetricMemory.namesMax + 10) { metrics.add(metrics.cell(.authDuration, "\(number)")) }
        metrics.add(metrics.cell(.logLinesDropped, String(repeating: "x", count: 1_000)))
        var sum = MetricSum()
        sum.add(memory)
        #expect(sum.series(of: .logLinesDropped).map(\.labels) == [["_overflow"]])
        let other = try self.memory()
        let second = Metrics(other)
        second.add(second.cell(.logLinesDropped, String(repeating: "x", count: 1_000)))
        var sumOfOther = MetricSum()
        sumOfOther.add(other)
        #expect(sumOfOther.series(of: .logLinesDropped).first?.labels.first?.utf8.count == MetricMemory.nameBytesMax)
    }

    @Test("Memory that holds nonsense gives text, and an end")
    func nonsense() throws {
        var generator = SystemRandomNumberGenerator()
        for round in 0..<20 {
            let shared = try SharedMemory(words: MetricMemory.words)
            let memory = MetricMemory(shared, firstWord: 0)
            let metrics = Metrics(memory)
            metrics.add(request(metrics, "/a"))
            // The header, the texts' places and the series are spoiled; half of the time with small numbers, which may look right.
            for _ in 0..<5_000 {
                let word = Int.random(in: 1..<30_000, using: &generator)
                shared.store(
                    word, round % 2 == 0 ? .random(in: 0...UInt64.max, using: &generator) : .random(in: 0...300, using: &generator))
            }
            shared.store(1, .max)
            shared.store(2, .max)
            var sum = MetricSum()
            sum.add(memory)
            #expect(String(validating: MetricText.of(sum, as: .openMetrics), as: UTF8.self) != nil)
            memory.clearGauges()
            _ = request(Metrics(memory), "/b")
        }
    }

    @Test("Labels are escaped, and OpenMetrics has its own names and end")
    func formats() throws {
        var sum = MetricSum()
        sum.add(.refusals, ["a\"b\\c\nd", "no_route"], 2)
        sum.set(.workers, ["running"], 4)
        #expect(text(sum).contains("portcullis_http_refusals_total{route=\"a\\\"b\\\\c\\nd\",reason=\"no_route\"} 2\n"))
        #expect(text(sum).contains("# TYPE portcullis_http_refusals_total counter\n"))
        let open = text(sum, .openMetrics)
        #expect(open.contains("# TYPE portcullis_http_refusals counter\n"))
        #expect(open.contains("portcullis_http_refusals_total{"))
        #expect(open.hasSuffix("# EOF\n"))
        #expect(!text(sum).contains("# EOF"))
        #expect(MetricText.Format(accept: "application/openmetrics-text;version=1.0.0,text/plain;q=0.5") == .openMetrics)
        #expect(MetricText.Format(accept: "*/*") == .prometheus)
    }

    @Test("docs/metrics.md has every metric with its kind and labels, and no other")
    func documentation() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let text = try String(contentsOf: root.appendingPathComponent("docs/metrics.md"), encoding: .utf8)
        let rows = text.split(separator: "\n").filter { $0.hasPrefix("| `portcullis_") }.map(String.init)
        let expected = MetricFamily.allCases.map { family in
            let definition = family.definition
            let kind =
                switch definition.kind {
                case .counter: "counter"
                case .gauge: "gauge"
                case .histogram(.durations): "histogram D"
                case .histogram(.fine): "histogram F"
                }
            let labels = definition.labels.map { "`\($0)`" }.joined(separator: ", ")
            return "| `portcullis_\(definition.name)` | \(kind) | \(labels) | \(definition.help) |"
        }
        #expect(Set(rows) == Set(expected))
        #expect(rows.count == expected.count)
    }

    @Test("Every family has a definition of its own, with as many labels as a key holds")
    func definitions() {
        let definitions = MetricFamily.allCases.map(\.definition)
        #expect(Set(definitions.map(\.name)).count == MetricFamily.allCases.count)
        for (family, definition) in zip(MetricFamily.allCases, definitions) {
            #expect(definition.labels.count <= 3 && !definition.help.isEmpty && definition.name != "unknown")
            if case .counter = definition.kind { #expect(definition.name.hasSuffix("_total"), "\(family)") }
        }
    }
}
