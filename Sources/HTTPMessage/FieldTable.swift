import Bytes

/// The fields of one head, in order: ranges into the head's own bytes.
package struct FieldTable: ~Copyable {
    /// One field line.
    package struct Line: Sendable {
        package let id: FieldName
        package let name: ByteRange
        package let value: ByteRange

        package init(id: FieldName, name: ByteRange, value: ByteRange) {
            self.id = id
            self.name = name
            self.value = value
        }
    }

    package private(set) var lines: [Line] = []
    /// A bit for each name that is there, so that no line is looked at for one that is not.
    private var names: UInt64 = 0

    package init() {}

    package var count: Int { lines.count }

    package mutating func append(_ line: Line) {
        if lines.isEmpty { lines.reserveCapacity(linesUsual) }
        lines.append(line)
        names |= 1 << UInt64(line.id.rawValue)
    }

    package mutating func removeAll() {
        lines.removeAll(keepingCapacity: true)
        names = 0
    }

    package func has(_ id: FieldName) -> Bool { names >> UInt64(id.rawValue) & 1 != 0 }

    /// Whether a field is there that names a place: Location, Content-Location or Refresh.
    package var namesPlaces: Bool { names & Self.places != 0 }
    /// Whether one is there that may: cookies have a path.
    package var mayNamePlaces: Bool { names & (Self.places | bit(.setCookie)) != 0 }

    private static var places: UInt64 { bit(.location) | bit(.contentLocation) | bit(.refresh) }

    package func first(_ id: FieldName) -> Line? {
        guard has(id) else { return nil }
        for line in lines where line.id == id { return line }
        return nil
    }

    package func count(of id: FieldName) -> Int {
        guard has(id) else { return 0 }
        var found = 0
        for line in lines where line.id == id { found += 1 }
        return found
    }

    /// The first field of this name, compared without regard to case.
    package func first(named name: Span<UInt8>, in bytes: Span<UInt8>) -> Line? {
        for line in lines where bytes.extracting(line.name.range).equalsIgnoringCase(name) { return line }
        return nil
    }

    /// Whether a list-valued field (such as Connection) names `token`, over all its lines. Source: RFC 9110 §5.6.1.
    package func list(_ id: FieldName, contains token: String, in bytes: Span<UInt8>) -> Bool {
        guard has(id) else { return false }
        for line in lines where line.id == id {
            var elements = ListElements(range: line.value.range)
            while let element = elements.next(in: bytes) {
                if bytes.extracting(element).equalsIgnoringCase(token) { return true }
            }
        }
        return false
    }
}

private func bit(_ id: FieldName) -> UInt64 { 1 << UInt64(id.rawValue) }

private let linesUsual = 32

/// The elements of a comma-separated field value, without surrounding white space; empty elements are passed over.
package struct ListElements {
    private var position: Int
    private let end: Int

    package init(range: Range<Int>) {
        position = range.lowerBound
        end = range.upperBound
    }

    package mutating func next(in bytes: Span<UInt8>) -> Range<Int>? {
        while position < end {
            var comma = position
            while comma < end, bytes[comma] != 0x2C { comma += 1 }
            let element = bytes.trimmed(position..<comma)
            position = comma + 1
            if !element.isEmpty { return element }
        }
        return nil
    }
}
