import Bytes
package import System

/// The metrics of one process, in memory that outlives it: what it counts, and the texts of the labels that it counts it under. So the
/// memory tells all about itself, also where an earlier configuration or an earlier version of the program has written it.
///
/// One process writes (``Metrics``), the control process reads. What is behind a count of the header is complete before the
/// count says so: a writer that dies leaves a whole list.
///
/// Words: a header; for each text its place and length; for each series its key and the place of its values; the values; the
/// bytes of the texts; the series that the writer has asked for last, which are its own business.
package struct MetricMemory {
    /// Bounds on what a file with thousands of routes, or a worker in wrong hands, takes.
    package static let seriesMax = 10_000
    package static let namesMax = 8_192
    package static let nameBytesMax = 256
    static let valueWords = 1 << 17
    static let nameBytes = 1 << 19

    package static let words = headerWords + namesMax + 2 * seriesTableMax + valueWords + nameBytes / 8 + 2 * recentCount

    static let recentBits: UInt64 = 10
    static let recentCount = 1 << 10

    /// What one series is of: a family, and the numbers of its labels' texts.
    package struct Key: Hashable, Sendable {
        let word: UInt64

        init(word: UInt64) { self.word = word }

        init(_ family: MetricFamily, _ first: NameID, _ second: NameID, _ third: NameID) {
            word =
                UInt64(family.rawValue) << 48 | UInt64(third.number) << 32 | UInt64(second.number) << 16 | UInt64(first.number)
        }

        var family: MetricFamily? { MetricFamily(rawValue: UInt8(truncatingIfNeeded: word >> 48)) }
        var labels: [NameID] { (0..<3).map { NameID(number: UInt16(truncatingIfNeeded: word >> UInt64($0 * 16))) } }
    }

    /// A text of this memory. 0 is what is counted where there was no room for the text itself.
    package struct NameID: Hashable, Sendable {
        let number: UInt16

        /// A label that is a number, such as a status, and needs no text: of up to 65,534.
        package init(status: Int) { number = UInt16(clamping: status + 1) }

        init(number: UInt16) { self.number = number }

        package static let overflow = NameID(number: 0)
        /// Of a label that the family does not have.
        package static let none = NameID(number: 0)
    }

    let memory: SharedMemory
    private let firstWord: Int

    package init(_ memory: SharedMemory, firstWord: Int) {
        self.memory = memory
        self.firstWord = firstWord
    }

    // MARK: - The header

    private static let headerWords = 32
    /// Series of the families' own `_overflow` come on top.
    private static let seriesTableMax = seriesMax + 256
    /// Goes up whenever the meaning of a word changes.
    private static let layout: UInt64 = 1

    /// Whether the memory can be read, or is new.
    package var isUsable: Bool { memory.load(firstWord) == 0 || memory.load(firstWord) == Self.layout }

    func prepare() { memory.store(firstWord, Self.layout) }

    var nameCount: Int { Int(clamping: min(memory.load(firstWord + 1), UInt64(Self.namesMax))) }
    var seriesCount: Int { Int(clamping: min(memory.load(firstWord + 2), UInt64(Self.seriesTableMax))) }
    /// Series that were counted as overflow.
    package var overflowed: UInt64 { memory.load(firstWord + 3) }
    private var usedValueWords: Int { Int(clamping: min(memory.load(firstWord + 4), UInt64(Self.valueWords))) }
    private var usedNameBytes: Int { Int(clamping: min(memory.load(firstWord + 5), UInt64(Self.nameBytes))) }

    private var namesAt: Int { firstWord + Self.headerWords }
    private var seriesAt: Int { namesAt + Self.namesMax }
    private var valuesAt: Int { seriesAt + 2 * Self.seriesTableMax }
    private var textsAt: Int { valuesAt + Self.valueWords }
    var recentAt: Int { textsAt + Self.nameBytes / 8 }

    // MARK: - Writing

    /// Appends a text; nil when there is no room.
    func append(name: [UInt8]) -> NameID? {
        let (count, used) = (nameCount, usedNameBytes)
        guard count < Self.namesMax, name.count <= Self.nameBytesMax, name.count <= Self.nameBytes - used else { return nil }
        memory.write(name.span, at: textsAt * 8 + used)
        memory.store(namesAt + count, UInt64(used) << 16 | UInt64(name.count))
        memory.store(firstWord + 5, UInt64(used + name.count))
        memory.store(firstWord + 1, UInt64(count + 1))
        return NameID(number: UInt16(count + 1))
    }

    /// Appends a series whose values are zero.
    ///
    /// - Parameter isOverflow: whether it may have the room that is kept for that.
    /// - Returns: the place of its values; nil when there is no room.
    func append(_ key: Key, words: Int, isOverflow: Bool) -> Int? {
        let (count, used) = (seriesCount, usedValueWords)
        guard count < (isOverflow ? Self.seriesTableMax : Self.seriesMax) else { return nil }
        guard words <= Self.valueWords - used - (isOverflow ? 0 : Self.wordsForOverflow) else { return nil }
        for word in 0..<words { memory.store(valuesAt + used + word, 0) }
        memory.store(seriesAt + 2 * count, key.word)
        memory.store(seriesAt + 2 * count + 1, UInt64(used))
        memory.store(firstWord + 4, UInt64(used + words))
        memory.store(firstWord + 2, UInt64(count + 1))
        return valuesAt + used
    }

    private static let wordsForOverflow = 4_096

    /// For what there is no room for at all: words that nobody reads, as many as a histogram has.
    var nowhere: Int { firstWord + 8 }

    func countOverflow() { memory.add(firstWord + 3, 1) }

    /// What is measured at the moment is no more, because the process is not.
    package func clearGauges() {
        for index in 0..<seriesCount {
            let (key, at) = series(index)
            if let family = key.family, family.isGauge, at < textsAt { memory.store(at, 0) }
        }
    }

    // MARK: - Reading

    /// The text of a number; nil when there is none.
    func name(_ id: NameID) -> [UInt8]? {
        guard id.number > 0, id.number <= nameCount else { return nil }
        let place = memory.load(namesAt + Int(id.number) - 1)
        let (start, count) = (place >> 16, Int(place & 0xFFFF))
        guard count <= Self.nameBytesMax, start <= UInt64(Self.nameBytes - count) else { return nil }
        var text: [UInt8] = []
        memory.read(at: textsAt * 8 + Int(start), count: count, into: &text)
        return text
    }

    /// A series, and the word at which its values begin.
    func series(_ index: Int) -> (key: Key, at: Int) {
        let key = Key(word: memory.load(seriesAt + 2 * index))
        let place = memory.load(seriesAt + 2 * index + 1)
        let words = key.family?.words ?? 1
        guard place <= UInt64(Self.valueWords - words) else { return (Key(word: 0), valuesAt) }
        return (key, valuesAt + Int(place))
    }

    func value(at word: Int) -> UInt64 { memory.load(word) }
}
