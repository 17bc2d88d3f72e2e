/// base64url without padding, as JOSE writes it.
///
/// Strict: no padding, no white space, no other alphabet, and the unused bits of the last character are zero, so that
/// one value has one spelling. Source: RFC 4648 §5, RFC 7515 §2.
package enum Base64URL {
    /// Appends the decoded bytes to `output`; false (with `output` in an unspecified state) when `text` is not base64url.
    package static func decode(_ text: Span<UInt8>, into output: inout [UInt8]) -> Bool {
        guard text.count % 4 != 1 else { return false }
        var bits: UInt32 = 0
        var held = 0
        output.reserveCapacity(output.count + text.count / 4 * 3 + 2)
        for index in text.indices {
            let value = values[Int(text[index])]
            guard value < 64 else { return false }
            bits = bits << 6 | UInt32(value)
            held += 6
            if held >= 8 {
                held -= 8
                output.append(UInt8(truncatingIfNeeded: bits >> UInt32(held)))
            }
        }
        return bits & ((1 << UInt32(held)) - 1) == 0
    }

    package static func decode(_ text: Span<UInt8>) -> [UInt8]? {
        var output: [UInt8] = []
        return decode(text, into: &output) ? output : nil
    }

    package static func decode(_ text: String) -> [UInt8]? {
        let bytes = [UInt8](text)
        return decode(bytes.span)
    }

    package static func encode(_ bytes: [UInt8]) -> [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(bytes.count / 3 * 4 + 4)
        var bits: UInt32 = 0
        var held = 0
        for byte in bytes {
            bits = bits << 8 | UInt32(byte)
            held += 8
            while held >= 6 {
                held -= 6
                output.append(alphabet[Int(bits >> UInt32(held)) & 63])
            }
        }
        if held > 0 { output.append(alphabet[Int(bits << UInt32(6 - held)) & 63]) }
        return output
    }

    private static let alphabet = [UInt8]("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")

    private static let values: [256 of UInt8] = {
        var table = [256 of UInt8](repeating: 0xFF)
        for (value, character) in alphabet.enumerated() { table[Int(character)] = UInt8(value) }
        return table
    }()
}
