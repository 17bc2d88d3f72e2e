import Bytes

/// One element of a Forwarded field: what one proxy tells. Ranges of the field's bytes, without quotes.
package struct ForwardedElement {
    /// The value of `for`.
    package fileprivate(set) var node: Range<Int>?
    package fileprivate(set) var scheme: Range<Int>?
    package fileprivate(set) var host: Range<Int>?
}

/// The elements of a Forwarded field's value. Source: RFC 7239 §4.
///
/// A quoted value with a backslash is malformed here: no address, scheme or host needs one.
package struct ForwardedReader {
    private var position: Int
    private let end: Int
    /// What follows is not in the form of the field.
    package private(set) var isMalformed = false

    package init(range: Range<Int>) {
        position = range.lowerBound
        end = range.upperBound
    }

    /// The next element; nil at the end, and where it is malformed.
    package mutating func next(in bytes: Span<UInt8>) -> ForwardedElement? {
        guard !isMalformed else { return nil }
        skip(0x2C, bytes)
        guard position < end else { return nil }
        var element = ForwardedElement()
        while position < end {
            guard readPair(into: &element, bytes) else {
                isMalformed = true
                return nil
            }
            skipSpace(bytes)
            guard position < end, bytes[position] == 0x3B else { break }
            position += 1
            skipSpace(bytes)
        }
        if position < end, bytes[position] != 0x2C {
            isMalformed = true
            return nil
        }
        return element
    }

    private mutating func readPair(into element: inout ForwardedElement, _ bytes: Span<UInt8>) -> Bool {
        let start = position
        while position < end, ASCII.isToken(bytes[position]) { position += 1 }
        // An empty pair, as after a last semicolon, says nothing.
        if position == start { return position == end || bytes[position] == 0x2C || bytes[position] == 0x3B }
        let name = bytes.extracting(start..<position)
        guard position < end, bytes[position] == 0x3D else { return false }
        position += 1
        guard let value = readValue(bytes) else { return false }
        if name.equalsIgnoringCase("for") {
            guard element.node == nil else { return false }
            element.node = value
        } else if name.equalsIgnoringCase("proto") {
            guard element.scheme == nil else { return false }
            element.scheme = value
        } else if name.equalsIgnoringCase("host") {
            guard element.host == nil else { return false }
            element.host = value
        }
        return true
    }

    private mutating func readValue(_ bytes: Span<UInt8>) -> Range<Int>? {
        guard position < end, bytes[position] == 0x22 else {
            let start = position
            // A host with a port, and an IPv6 address, want quotes; many write them without.
            while position < end,
                ASCII.isToken(bytes[position]) || bytes[position] == 0x3A || bytes[position] == 0x5B || bytes[position] == 0x5D
            {
                position += 1
            }
            return start..<position
        }
        position += 1
        let start = position
        while position < end, bytes[position] != 0x22 {
            guard bytes[position] != 0x5C else { return nil }
            position += 1
        }
        guard position < end else { return nil }
        position += 1
        return start..<position - 1
    }

    private mutating func skipSpace(_ bytes: Span<UInt8>) {
        while position < end, bytes[position] == 0x20 || bytes[position] == 0x09 { position += 1 }
    }

    private mutating func skip(_ separator: UInt8, _ bytes: Span<UInt8>) {
        while position < end, bytes[position] == separator || bytes[position] == 0x20 || bytes[position] == 0x09 { position += 1 }
    }
}
