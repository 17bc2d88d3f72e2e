import Bytes

/// The metrics of all processes together, as one moment shows them.
package struct MetricSum {
    /// What a series is of: a family, and the texts of its labels.
    package struct Series: Hashable {
        package let family: MetricFamily
        /// Numbers of ``MetricSum/texts``.
        let labels: [Int32]
    }

    private(set) var values: [Series: [UInt64]] = [:]
    private(set) var texts: [[UInt8]] = [Array("_overflow".utf8)]
    private var numbers: [[UInt8]: Int32] = [Array("_overflow".utf8): 0]
    /// Told of in OpenMetrics alone.
    package var exemplars: [MetricExemplar.Place: MetricExemplar] = [:]
    /// Series that did not find room, here or in a process.
    package private(set) var overflowed: UInt64 = 0

    package init() {}

    /// Adds what a process has counted. What its memory holds is not trusted: it is bounded, and text.
    package mutating func add(_ memory: MetricMemory) {
        overflowed &+= memory.overflowed
        var known: [Int32?] = Array(repeating: nil, count: memory.nameCount + 1)
        known[0] = 0
        for index in 0..<memory.seriesCount {
            let (key, at) = memory.series(index)
            guard let family = key.family else { continue }
            // Of a slot that no process has at the moment.
            if family == .workerMemory || family == .workerHeartbeat, memory.value(at: at) == 0 { continue }
            var labels: [Int32] = []
            for (index, label) in key.labels.prefix(family.definition.labels.count).enumerated() {
                if index == family.numberLabel, label.number > 0 {
                    labels.append(number(of: Array(String(label.number - 1).utf8)))
                    continue
                }
                let place = Int(label.number)
                guard known.indices.contains(place) else { return }
                if known[place] == nil { known[place] = memory.name(label).map { number(of: $0) } ?? 0 }
                labels.append(known[place] ?? 0)
            }
            add(Series(family: family, labels: labels), (0..<family.words).map { memory.value(at: at + $0) })
        }
    }

    /// Sets what is measured at this moment, by the process that answers.
    package mutating func set(_ family: MetricFamily, _ labels: [String] = [], _ value: UInt64) {
        add(Series(family: family, labels: labels.map { number(of: Array($0.utf8)) }), [value], adds: false)
    }

    /// Adds to what the processes have counted.
    package mutating func add(_ family: MetricFamily, _ labels: [String] = [], _ value: UInt64) {
        add(Series(family: family, labels: labels.map { number(of: Array($0.utf8)) }), [value])
    }

    private mutating func add(_ series: Series, _ words: [UInt64], adds: Bool = true) {
        if let known = values[series] {
            values[series] = adds ? zip(known, words).map { $0 &+ $1 } : words
        } else if values.count < MetricMemory.seriesMax || series.labels.allSatisfy({ $0 == 0 }) {
            values[series] = words
        } else {
            overflowed &+= 1
            add(Series(family: series.family, labels: series.labels.map { _ in 0 }), words, adds: adds)
        }
    }

    private mutating func number(of text: [UInt8]) -> Int32 {
        if let known = numbers[text] { return known }
        texts.append(text)
        let number = Int32(texts.count - 1)
        numbers[text] = number
        return number
    }

    // MARK: - Reading

    /// For each text its place among all of them, sorted.
    var order: [Int] {
        var order = Array(repeating: 0, count: texts.count)
        let sorted = texts.indices.sorted { texts[$0].lexicographicallyPrecedes(texts[$1]) }
        for (place, index) in sorted.enumerated() { order[index] = place }
        return order
    }

    /// The series of a family, each with its labels' texts, in their order.
    package func series(of family: MetricFamily) -> [(labels: [String], values: [UInt64])] {
        let own = values.filter { $0.key.family == family }
        return own.map { (labels: $0.key.labels.map { String(decoding: texts[Int($0)], as: UTF8.self) }, values: $0.value) }
            .sorted { $0.labels.lexicographicallyPrecedes($1.labels) }
    }

    package var count: Int { values.count }

    /// The first word of a series; zero where there is none.
    package func value(_ family: MetricFamily, _ labels: [String] = []) -> UInt64 {
        let wanted = labels.map { numbers[Array($0.utf8)] ?? -1 }
        return values[Series(family: family, labels: wanted)]?.first ?? 0
    }
}
