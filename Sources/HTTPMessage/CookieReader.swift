import Bytes

/// The name-value pairs of a Cookie field. Source: RFC 6265 §4.2.1, read as §5.4 and servers do: pairs at `;`, white space
/// around them dropped, a pair without `=` passed over.
package struct CookieReader {
    package struct Pair {
        package let name: Range<Int>
        /// Without the double quotes around it.
        package let value: Range<Int>
        /// Name and value with what stands between them.
        package let whole: Range<Int>
    }

    private var position: Int
    private let end: Int

    package init(range: Range<Int>) {
        position = range.lowerBound
        end = range.upperBound
    }

    package mutating func next(in bytes: Span<UInt8>) -> Pair? {
        while position < end {
            var semicolon = position
            while semicolon < end, bytes[semicolon] != 0x3B { semicolon += 1 }
            let whole = bytes.trimmed(position..<semicolon)
            position = semicolon + 1
            var equals = whole.lowerBound
            while equals < whole.upperBound, bytes[equals] != 0x3D { equals += 1 }
            guard equals < whole.upperBound else { continue }
            let name = bytes.trimmed(whole.lowerBound..<equals)
            guard !name.isEmpty else { continue }
            var value = bytes.trimmed((equals + 1)..<whole.upperBound)
            if value.count >= 2, bytes[value.lowerBound] == 0x22, bytes[value.upperBound - 1] == 0x22 {
                value = (value.lowerBound + 1)..<(value.upperBound - 1)
            }
            return Pair(name: name, value: value, whole: whole)
        }
        return nil
    }
}
