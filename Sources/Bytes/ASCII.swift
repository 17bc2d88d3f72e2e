/// The character classes of the protocols.
///
/// Each is a mask of the bytes below 128, one bit for each, written down and not worked out at the start: what is worked out
/// is asked for through a lock of the language's at every byte. They are inlined into the loops of other modules.
@usableFromInline package enum ASCII {
    /// RFC 9110 §5.6.2 `tchar`.
    @inlinable package static func isToken(_ byte: UInt8) -> Bool { isIn(0x03FF_6CFA_0000_0000, 0x57FF_FFFF_C7FF_FFFE, byte) }
    /// RFC 9110 §5.5 `field-vchar`, SP, HTAB; obs-text is let through as opaque bytes.
    @inlinable package static func isFieldValue(_ byte: UInt8) -> Bool { byte >= 0x20 && byte != 0x7F || byte == 0x09 }
    /// RFC 3986 §3.3 `pchar` without `%`, and without `\`; the characters that a path segment may hold as they are.
    @inlinable package static func isPathCharacter(_ byte: UInt8) -> Bool { isIn(0x2FFF_7FD2_0000_0000, 0x47FF_FFFE_87FF_FFFF, byte) }
    /// What browsers and other clients leave as it is in a path, though it has no place there (RFC 3986 §3.3).
    @inlinable package static func isLooseInPath(_ byte: UInt8) -> Bool { isIn(0x5000_0004_0000_0000, 0x3800_0001_7800_0000, byte) }
    /// RFC 3986 §2.3 `unreserved`.
    @inlinable package static func isUnreserved(_ byte: UInt8) -> Bool { isIn(0x03FF_6000_0000_0000, 0x47FF_FFFE_87FF_FFFE, byte) }
    /// What a query may hold as it is: `pchar`, `/`, `?`, and the brackets, bars and quotes that clients send unencoded.
    @inlinable package static func isQueryCharacter(_ byte: UInt8) -> Bool { isIn(0xFFFF_FFD6_0000_0000, 0x7FFF_FFFF_FFFF_FFFF, byte) }
    /// What a label of a host name may hold: letters, digits, `-` and `_`.
    @inlinable package static func isHostCharacter(_ byte: UInt8) -> Bool { isIn(0x03FF_2000_0000_0000, 0x07FF_FFFE_87FF_FFFE, byte) }

    /// - Parameters:
    ///   - low: the bits of the bytes 0 to 63.
    ///   - high: those of 64 to 127.
    @inlinable static func isIn(_ low: UInt64, _ high: UInt64, _ byte: UInt8) -> Bool {
        byte < 128 && (byte < 64 ? low : high) &>> UInt64(byte & 63) & 1 != 0
    }

    @inlinable package static func isDigit(_ byte: UInt8) -> Bool { byte &- 0x30 < 10 }

    @inlinable package static func lowercased(_ byte: UInt8) -> UInt8 { byte &- UInt8(ascii: "A") < 26 ? byte | 0x20 : byte }

    /// The value of a hexadecimal digit.
    @inlinable package static func hexValue(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        default: nil
        }
    }

    @inlinable package static func hexDigit(_ value: UInt8, uppercase: Bool = false) -> UInt8 {
        value &+ (value < 10 ? UInt8(ascii: "0") : (uppercase ? UInt8(ascii: "A") : UInt8(ascii: "a")) - 10)
    }
}

extension Span<UInt8> {
    @inlinable package func equals(_ other: [UInt8]) -> Bool { equals(other.span) }

    @inlinable package func equals(_ text: String) -> Bool {
        let utf8 = text.utf8
        return equals(utf8.span)
    }

    @inlinable package func equalsIgnoringCase(_ text: String) -> Bool {
        let utf8 = text.utf8
        return equalsIgnoringCase(utf8.span)
    }

    @inlinable package func hasPrefix(_ text: String) -> Bool {
        let utf8 = text.utf8
        return count >= utf8.count && extracting(0..<utf8.count).equals(utf8.span)
    }

    @inlinable package func firstIndex(of byte: UInt8, from start: Int = 0) -> Int? {
        var index = start
        while index < count {
            if self[index] == byte { return index }
            index += 1
        }
        return nil
    }

    /// Where the bytes end, from `start` on, that a field's value may hold; the end of the span if all are such.
    package func endOfFieldValue(from start: Int) -> Int {
        var index = start
        // Many at once without a way out in between, of which the compiler makes vector instructions. A tab ends this part too.
        while count - index >= 64, areFieldValue(index, 64) { index += 64 }
        while count - index >= 16, areFieldValue(index, 16) { index += 16 }
        while index < count, ASCII.isFieldValue(self[index]) { index += 1 }
        return index
    }

    @inline(__always) private func areFieldValue(_ start: Int, _ length: Int) -> Bool {
        let part = extracting(start..<start + length)
        var isOther: UInt8 = 0
        for place in part.indices {
            let byte = part[place]
            isOther |= (byte < 0x20 ? 1 : 0) | (byte == 0x7F ? 1 : 0)
        }
        return isOther == 0
    }

    /// A decimal number of digits alone, without sign or white space; nil when it is none or above `max`.
    @inlinable package func decimal(max: UInt64) -> UInt64? {
        guard count > 0 else { return nil }
        var value: UInt64 = 0
        for index in indices {
            let digit = self[index] &- 0x30
            guard digit < 10 else { return nil }
            let (scaled, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = scaled.addingReportingOverflow(UInt64(digit))
            guard !overflow, !carry, sum <= max else { return nil }
            value = sum
        }
        return value
    }

    /// The range left when SP and HTAB are taken from both ends of `range` (RFC 9110 §5.6.3 `OWS`).
    @inlinable package func trimmed(_ range: Range<Int>) -> Range<Int> {
        var start = range.lowerBound
        var end = range.upperBound
        while start < end, self[start] == 0x20 || self[start] == 0x09 { start += 1 }
        while end > start, self[end - 1] == 0x20 || self[end - 1] == 0x09 { end -= 1 }
        return start..<end
    }

    package func copied() -> [UInt8] { [UInt8](capacity: count) { free in for index in indices { free.append(self[index]) } } }

    /// As text; bytes that are not UTF-8 become U+FFFD.
    package var text: String { String(decoding: copied(), as: UTF8.self) }
}
