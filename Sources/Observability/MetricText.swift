import Time
import Bytes

/// An exposition of metrics as text: version 0.0.4 of Prometheus' own format, or OpenMetrics 1.0.
package struct MetricText {
    package enum Format: Sendable {
        case prometheus, openMetrics

        /// By an Accept field: OpenMetrics for who names it.
        package init(accept: String) { self = accept.contains("application/openmetrics-text") ? .openMetrics : .prometheus }

        package var contentType: String {
            switch self {
            case .prometheus: "text/plain; version=0.0.4; charset=utf-8"
            case .openMetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8"
            }
        }
    }

    private let format: Format
    private var output: [UInt8] = []

    /// The exposition of a sum.
    package static func of(_ sum: MetricSum, as format: Format) -> [UInt8] {
        var text = MetricText(format: format)
        var byFamily: [MetricFamily: [(MetricSum.Series, [UInt64])]] = [:]
        for (series, values) in sum.values { byFamily[series.family, default: []].append((series, values)) }
        let order = sum.order
        for family in MetricFamily.allCases {
            guard let own = byFamily[family] else { continue }
            text.head(family)
            let sorted = own.sorted { left, right in
                left.0.labels.lexicographicallyPrecedes(right.0.labels) { order[Int($0)] < order[Int($1)] }
            }
            let names = family.definition.labels
            for (series, values) in sorted {
                var labels: [UInt8] = []
                for (name, number) in zip(names, series.labels) {
                    if !labels.isEmpty { labels.append(0x2C) }
                    Self.label(name, sum.texts[Int(number)], &labels)
                }
                let texts = series.labels.map { sum.texts[Int($0)] }
                text.sample(family, labels, values) {
                    format == .openMetrics ? sum.exemplars[MetricExemplar.Place(family, texts, bucket: $0)] : nil
                }
            }
        }
        if format == .openMetrics { text.output.append("# EOF\n") }
        return text.output
    }

    private init(format: Format) {
        self.format = format
        output.reserveCapacity(1 << 20)
    }

    private mutating func head(_ family: MetricFamily) {
        let definition = family.definition
        var name = prefix + definition.name
        let kind =
            switch definition.kind {
            case .counter: "counter"
            case .gauge: "gauge"
            case .histogram: "histogram"
            }
        // In OpenMetrics a counter's family is named without the ending of its sample.
        if format == .openMetrics, kind == "counter" { name = String(name.dropLast("_total".utf8.count)) }
        output.append("# HELP \(name) \(definition.help)\n# TYPE \(name) \(kind)\n")
    }

    private mutating func sample(
        _ family: MetricFamily, _ labels: [UInt8], _ values: [UInt64], exemplar: (_ bucket: Int) -> MetricExemplar?
    ) {
        let definition = family.definition
        let name = Array((prefix + definition.name).utf8)
        guard case .histogram(let buckets) = definition.kind else {
            return line(name, "", labels, nil) { $0.append(decimal: values.first ?? 0) }
        }
        var total: UInt64 = 0
        for (index, (bound, count)) in zip(buckets.texts + ["+Inf"], values.dropFirst()).enumerated() {
            total &+= count
            let exemplar = exemplar(index)
            line(name, "_bucket", labels, bound) { output in
                output.append(decimal: total)
                if let exemplar { Self.append(exemplar, to: &output) }
            }
        }
        line(name, "_sum", labels, nil) { Self.append(seconds: values.first ?? 0, to: &$0) }
        line(name, "_count", labels, nil) { $0.append(decimal: total) }
    }

    private mutating func line(_ name: [UInt8], _ ending: String, _ labels: [UInt8], _ bound: String?, _ value: (inout [UInt8]) -> Void) {
        output += name
        output.append(ending)
        if !labels.isEmpty || bound != nil {
            output.append(0x7B)
            output += labels
            if let bound {
                if !labels.isEmpty { output.append(0x2C) }
                output.append("le=\"")
                output.append(bound)
                output.append(0x22)
            }
            output.append(0x7D)
        }
        output.append(0x20)
        value(&output)
        output.append(0x0A)
    }

    /// `name="text"`, with what the format escapes.
    private static func label(_ name: String, _ text: [UInt8], _ output: inout [UInt8]) {
        output.append(name)
        output.append("=\"")
        for byte in String(decoding: text, as: UTF8.self).utf8 {
            switch byte {
            case 0x0A: output.append("\\n")
            case 0x22: output.append("\\\"")
            case 0x5C: output.append("\\\\")
            default: output.append(byte)
            }
        }
        output.append(0x22)
    }

    private static func append(_ exemplar: MetricExemplar, to output: inout [UInt8]) {
        output.append(" # {trace_id=\"")
        output.append(hexadecimal: exemplar.high, digits: 16)
        output.append(hexadecimal: exemplar.low, digits: 16)
        output.append("\"} ")
        append(seconds: exemplar.value.count, to: &output)
        output.append(0x20)
        append(seconds: exemplar.wall, to: &output)
    }

    /// Nanoseconds as seconds, with all their decimals.
    private static func append(seconds nanoseconds: UInt64, to output: inout [UInt8]) {
        output.append(decimal: nanoseconds / 1_000_000_000)
        output.append(0x2E)
        var divisor: UInt64 = 100_000_000
        while divisor > 0 {
            output.append(0x30 + UInt8(nanoseconds / divisor % 10))
            divisor /= 10
        }
    }
}

private let prefix = "portcullis_"
