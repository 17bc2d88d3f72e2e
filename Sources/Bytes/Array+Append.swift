extension [UInt8] {
    package mutating func append(_ bytes: Span<UInt8>) {
        append(addingCapacity: bytes.count) { free in
            for index in bytes.indices { free.append(bytes[index]) }
        }
    }

    package mutating func append(_ text: String) {
        let utf8 = text.utf8
        append(utf8.span)
    }

    package mutating func append(decimal value: Int) {
        if value < 0 { append(0x2D) }
        append(decimal: UInt64(value.magnitude))
    }

    // Of one type, not of any: what is generic is not specialised for callers in other modules.
    package mutating func append(decimal value: UInt64) {
        let start = count
        var rest = value
        repeat {
            append(0x30 + UInt8(truncatingIfNeeded: rest % 10))
            rest /= 10
        } while rest > 0
        self[start...].reverse()
    }

    package mutating func append(hexadecimal value: UInt64, digits: Int) {
        for place in stride(from: digits - 1, through: 0, by: -1) {
            append(ASCII.hexDigit(UInt8(truncatingIfNeeded: value >> UInt64(place * 4)) & 15))
        }
    }

    package init(_ text: String) { self.init(text.utf8) }
}
