package import Time
import Bytes

/// One line of a log: a JSON object, written member by member into bytes that are used again.
///
/// Control characters and quotes are escaped, so that no value can end the line or the string that it stands in; bytes
/// that are not UTF-8 become U+FFFD.
package struct JSONLine {
    package private(set) var bytes: [UInt8] = []
    private var isEmpty = true

    package init() { bytes.reserveCapacity(1_024) }

    package mutating func begin() {
        bytes.removeAll(keepingCapacity: true)
        bytes.append(0x7B)
        isEmpty = true
    }

    package mutating func end() { bytes.append(0x7D) }

    /// A value that is longer than any log needs is cut, and ends with `…`.
    package mutating func member(_ name: String, _ value: Span<UInt8>) {
        open(name)
        string(value.count <= valueBytesMax ? value : value.extracting(0..<valueBytesMax), isCut: value.count > valueBytesMax)
    }

    package mutating func member(_ name: String, _ value: [UInt8]) { member(name, value.span) }

    package mutating func member(_ name: String, _ value: String) {
        let utf8 = value.utf8
        member(name, utf8.span)
    }

    /// A member whose value is an array of texts.
    package mutating func member(_ name: String, texts: [String]) {
        open(name)
        bytes.append(0x5B)
        for (index, text) in texts.enumerated() {
            if index > 0 { bytes.append(0x2C) }
            let utf8 = text.utf8
            let span = utf8.span
            string(span.count <= valueBytesMax ? span : span.extracting(0..<valueBytesMax), isCut: span.count > valueBytesMax)
        }
        bytes.append(0x5D)
    }

    package mutating func member(_ name: String, number value: UInt64) {
        open(name)
        bytes.append(decimal: value)
    }

    /// Milliseconds with three decimals.
    package mutating func member(_ name: String, milliseconds length: Nanoseconds) {
        open(name)
        let microseconds = length.count / 1_000
        bytes.append(decimal: microseconds / 1_000)
        bytes.append(0x2E)
        let fraction = microseconds % 1_000
        bytes.append(0x30 + UInt8(fraction / 100))
        bytes.append(0x30 + UInt8(fraction / 10 % 10))
        bytes.append(0x30 + UInt8(fraction % 10))
    }

    /// A member whose value is itself an array of objects, each written by `body`.
    package mutating func array<Elements: Collection>(
        _ name: String, of elements: Elements, _ body: (inout JSONLine, Elements.Element) -> Void
    ) {
        open(name)
        bytes.append(0x5B)
        for (index, element) in elements.enumerated() {
            bytes.append(index == 0 ? 0x7B : 0x2C)
            if index > 0 { bytes.append(0x7B) }
            isEmpty = true
            body(&self, element)
            bytes.append(0x7D)
        }
        isEmpty = false
        bytes.append(0x5D)
    }

    /// `2026-01-31T12:34:56.789Z` (RFC 3339).
    package mutating func member(_ name: String, time nanoseconds: UInt64) {
        open(name)
        bytes.append(0x22)
        TimeText.append(nanoseconds, to: &bytes)
        bytes.append(0x22)
    }

    private mutating func open(_ name: String) {
        if !isEmpty { bytes.append(0x2C) }
        isEmpty = false
        bytes.append(0x22)
        bytes.append(name)
        bytes.append(0x22)
        bytes.append(0x3A)
    }

    private mutating func string(_ value: Span<UInt8>, isCut: Bool) {
        bytes.append(0x22)
        var isPlain = true
        for index in value.indices where value[index] < 0x20 || value[index] >= 0x7F || value[index] == 0x22 || value[index] == 0x5C {
            isPlain = false
            break
        }
        if isPlain { bytes.append(value) } else { bytes.append(jsonEscaped: value.text) }
        if isCut { bytes.append("…") }
        bytes.append(0x22)
    }
}

private let valueBytesMax = 1_024
