import Bytes

/// Fields to be sent, with names in lower case. Source: RFC 9113 §8.2.
package struct FieldBlock: ~Copyable {
    private(set) var bytes: [UInt8] = []
    private(set) var fields: [(name: Range<Int>, value: Range<Int>)] = []

    package init() {}

    package var isEmpty: Bool { fields.isEmpty }

    package mutating func removeAll() {
        bytes.removeAll(keepingCapacity: true)
        fields.removeAll(keepingCapacity: true)
    }

    package mutating func append(_ name: Span<UInt8>, _ value: Span<UInt8>) {
        let start = bytes.count
        let end = start + name.count
        bytes.append(addingCapacity: name.count) { free in
            for index in name.indices { free.append(ASCII.lowercased(name[index])) }
        }
        bytes.append(value)
        fields.append((start..<end, end..<bytes.count))
    }

    package mutating func append(_ name: String, _ value: Span<UInt8>) {
        let utf8 = name.utf8
        append(utf8.span, value)
    }

    package mutating func append(_ name: String, _ value: String) {
        let utf8 = value.utf8
        append(name, utf8.span)
    }

    package mutating func append(_ name: String, decimal value: UInt64) {
        var digits = DecimalDigits()
        digits.write(value)
        append(name, digits.span)
    }

    /// Appends whole field lines, as HTTP/1 writes them.
    package mutating func append(lines: [UInt8]) { append(lines: lines.span) }

    package mutating func append(lines span: Span<UInt8>) {
        var start = 0
        while start < span.count, let colon = span.firstIndex(of: 0x3A, from: start), let end = span.firstIndex(of: 0x0D, from: colon) {
            append(span.extracting(start..<colon), span.extracting(span.trimmed((colon + 1)..<end)))
            start = end + 2
        }
    }
}
