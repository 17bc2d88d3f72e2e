extension [UInt8] {
    package mutating func append(_ bytes: Span<UInt8>) {
        // A few bytes cost less one by one than the making of room for them all.
        guard bytes.count > 8 else {
            for index in bytes.indices { append(bytes[index]) }
            return
        }
        append(addingCapacity: bytes.count) { free in
            free.append(repeating: 0, count: bytes.count)
            var added = free.mutableSpan
            added.copy(bytes)
        }
    }

    package mutating func append(_ text: String) {
        let utf8 = text.utf8
        append(utf8.span)
    }

    /// Appends `name: value` and the end of the line.
    package mutating func append(field name: Span<UInt8>, _ value: Span<UInt8>) {
        append(name)
        append(": ")
        append(value)
        append("\r\n")
    }

    /// As one component of a URL: what is not unreserved as a percent sign and two digits (RFC 3986 §2.1, §2.3).
    package mutating func append(percentEncoded byte: UInt8) {
        guard !ASCII.isUnreserved(byte) else { return append(byte) }
        append(0x25)
        append(ASCII.hexDigit(byte >> 4, uppercase: true))
        append(ASCII.hexDigit(byte & 15, uppercase: true))
    }

    package mutating func append(decimal value: Int) {
        if value < 0 { append(0x2D) }
        append(decimal: UInt64(value.magnitude))
    }

    // Of one type, not of any: what is generic is not specialised for callers in other modules.
    package mutating func append(decimal value: UInt64) {
        var digits = DecimalDigits()
        digits.write(value)
        append(digits.span)
    }

    package mutating func append(hexadecimal value: UInt64, digits: Int) {
        append(addingCapacity: digits) { free in
            for place in stride(from: digits &* 4 &- 4, through: 0, by: -4) {
                free.append(ASCII.hexDigit(UInt8(truncatingIfNeeded: value &>> UInt64(truncatingIfNeeded: place)) & 15))
            }
        }
    }

    package init(_ text: String) { self.init(text.utf8) }
}

/// A number in decimal digits, on the stack.
package struct DecimalDigits {
    private var digits = [20 of UInt8](repeating: 0)
    private var start = 20

    package init() {}

    package var span: Span<UInt8> {
        @_lifetime(borrow self) get { digits.span.extracting(start..<20) }
    }

    package mutating func write(_ value: UInt64) {
        start = 20
        var rest = value
        repeat {
            start -= 1
            digits[start] = 0x30 + UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        } while rest > 0
    }
}
