import Bytes
import System
package import Time

/// What one process counts and measures. Finding a series takes a look into a table; a series that is asked for at every request
/// is found once and kept as a ``Cell``.
///
/// Where there is no room for another series, or for the text of a label, it is counted as `_overflow` of its family.
package final class Metrics {
    /// Where a series has its values.
    package struct Cell: Sendable {
        fileprivate let word: Int
    }

    /// The text of a label, by the number that it has here.
    package typealias Name = MetricMemory.NameID

    private let memory: MetricMemory
    private let shared: SharedMemory
    private var names: [[UInt8]: Name] = [:]
    private var series: [MetricMemory.Key: Cell] = [:]
    /// Where the series stand that were asked for last, each at the place that its key leads to.
    private let recentAt: Int

    /// Goes on with what an earlier process has counted in this memory.
    package init(_ memory: MetricMemory) {
        self.memory = memory
        shared = memory.memory
        recentAt = memory.recentAt
        memory.prepare()
        // What the process before left there is not believed: it may have been in wrong hands.
        for word in 0..<2 * MetricMemory.recentCount { shared.store(recentAt + word, 0) }
        for number in 0..<memory.nameCount {
            let id = Name(number: UInt16(number + 1))
            if let text = memory.name(id) { names[text] = id }
        }
        for index in 0..<memory.seriesCount {
            let (key, at) = memory.series(index)
            if key.family != nil { series[key] = Cell(word: at) }
        }
    }

    /// The number of a label's text: of a name of the file, or of a word of a closed set. Never of what a client has sent.
    package func name(_ text: String) -> Name {
        let bytes = Array(text.utf8.prefix(MetricMemory.nameBytesMax))
        if let known = names[bytes] { return known }
        let added = memory.append(name: bytes) ?? .overflow
        names[bytes] = added
        return added
    }

    /// The series of a family with these labels, which is begun at zero where there is none yet.
    package func cell(_ family: MetricFamily, _ first: Name = .none, _ second: Name = .none, _ third: Name = .none) -> Cell {
        let key = MetricMemory.Key(family, first, second, third)
        let place = recentAt + 2 * Int(truncatingIfNeeded: (key.word &* spread) >> (64 - MetricMemory.recentBits))
        if shared.load(place) == key.word { return Cell(word: Int(truncatingIfNeeded: shared.load(place + 1))) }
        let cell = series[key] ?? begin(key, family)
        // In this order: a process that dies between the two leaves nothing wrong.
        shared.store(place, 0)
        shared.store(place + 1, UInt64(cell.word))
        shared.store(place, key.word)
        return cell
    }

    package func cell(_ family: MetricFamily, _ first: String, _ second: String? = nil, _ third: String? = nil) -> Cell {
        cell(family, name(first), second.map { name($0) } ?? .none, third.map { name($0) } ?? .none)
    }

    private func begin(_ key: MetricMemory.Key, _ family: MetricFamily) -> Cell {
        let overflowKey = MetricMemory.Key(family, .overflow, .overflow, .overflow)
        if let at = memory.append(key, words: family.words, isOverflow: key == overflowKey) {
            let cell = Cell(word: at)
            series[key] = cell
            return cell
        }
        memory.countOverflow()
        guard key != overflowKey else { return Cell(word: memory.nowhere) }
        let cell = series[overflowKey] ?? begin(overflowKey, family)
        // Remembered as long as there is no end of such keys in sight.
        if series.count < 4 * MetricMemory.seriesMax { series[key] = cell }
        return cell
    }

    // MARK: - Counting

    @inline(__always)
    package func add(_ cell: Cell) { shared.addAlone(cell.word, 1) }

    @inline(__always)
    package func add(_ cell: Cell, _ count: UInt64) { shared.addAlone(cell.word, count) }

    @inline(__always)
    package func subtract(_ cell: Cell) { shared.addAlone(cell.word, .max) }

    package func set(_ cell: Cell, _ value: UInt64) { shared.store(cell.word, value) }

    /// Counts a length of time in a histogram of ``MetricBuckets/durations``.
    package func observe(_ cell: Cell, duration: Nanoseconds) { observe(cell, duration, MetricBuckets.index(duration: duration)) }

    /// Counts a length of time in a histogram of ``MetricBuckets/fine``.
    package func observe(_ cell: Cell, fine duration: Nanoseconds) { observe(cell, duration, MetricBuckets.index(fine: duration)) }

    @inline(__always)
    private func observe(_ cell: Cell, _ duration: Nanoseconds, _ bucket: Int) {
        shared.addAlone(cell.word, duration.count)
        shared.addAlone(cell.word + 1 + bucket, 1)
    }
}

/// Odd, with its bits well mixed: 2 to the 64th by the golden ratio.
private let spread: UInt64 = 0x9E37_79B9_7F4A_7C15
