extension Span<UInt8> {
    /// The bytes with every percent-encoding decoded (RFC 3986 §2.1); a percent sign that begins none stays.
    ///
    /// - Parameter plusIsSpace: as in the parameters of a query that a form made.
    package func percentDecoded(plusIsSpace: Bool = false) -> [UInt8] {
        var decoded: [UInt8] = []
        var position = 0
        while position < count {
            let byte = self[position]
            if byte == UInt8(ascii: "%"), position + 2 < count, let high = ASCII.hexValue(self[position + 1]),
                let low = ASCII.hexValue(self[position + 2])
            {
                decoded.append(high << 4 | low)
                position += 3
                continue
            }
            decoded.append(plusIsSpace && byte == UInt8(ascii: "+") ? 0x20 : byte)
            position += 1
        }
        return decoded
    }
}
