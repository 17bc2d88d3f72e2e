import Bytes
package import HTTPMessage

/// Fields to be sent, with names in lower case. Source: RFC 9113 §8.2.
package struct FieldBlock: ~Copyable {
    struct Field {
        let name: Range<Int>
        let value: Range<Int>
        /// Whether the value is another one each time: then it is kept out of the compression's table, where the others would be
        /// pushed out for it, and each next one compared with all that came before.
        let isFleeting: Bool
    }

    private var queue = ByteQueue()
    private(set) var fields: [Field] = []
    /// Of the field that ``begin(_:)`` began.
    private var nameStart = 0
    private var valueStart = 0
    private var isFleeting = false

    /// What the ranges of the fields index into.
    var bytes: Span<UInt8> {
        @_lifetime(borrow self) get { queue.readable }
    }

    package init() {}

    package var isEmpty: Bool { fields.isEmpty }

    package mutating func removeAll() {
        queue.removeAll()
        fields.removeAll(keepingCapacity: true)
    }

    package mutating func append(_ name: Span<UInt8>, _ value: Span<UInt8>) {
        append(name, value, isFleeting: false)
    }

    private mutating func append(_ name: Span<UInt8>, _ value: Span<UInt8>, isFleeting: Bool) {
        let start = queue.count
        let end = start + name.count
        queue.append(lowercased: name, then: value)
        fields.append(Field(name: start..<end, value: end..<queue.count, isFleeting: isFleeting))
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
            let name = span.extracting(start..<colon)
            // The only fleeting one among whole lines.
            let isFleeting = name.equalsIgnoringCase("x-request-id")
            append(name, span.extracting(span.trimmed((colon + 1)..<end)), isFleeting: isFleeting)
            start = end + 2
        }
    }
}

extension FieldBlock: FieldOutput {
    package mutating func begin(_ field: FieldStart) {
        nameStart = queue.count
        valueStart = nameStart + field.name.count
        isFleeting = field.isFleeting
        queue.append(field.name)
        queue.append(field.value)
    }

    package mutating func append(_ bytes: Span<UInt8>) { queue.append(bytes) }
    package mutating func append(_ text: String) { queue.append(text) }
    package mutating func append(decimal value: UInt64) { queue.append(decimal: value) }

    package mutating func end() {
        fields.append(Field(name: nameStart..<valueStart, value: valueStart..<queue.count, isFleeting: isFleeting))
    }
}
