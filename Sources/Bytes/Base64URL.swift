/// base64url without padding, as JOSE writes it.
///
/// Strict: no padding, no white space, no other alphabet, and the unused bits of the last character are zero, so that
/// one value has one spelling. Source: RFC 4648 §5, RFC 7515 §2.
package enum Base64URL {
    /// Appends the decoded bytes to `output`; false (with `output` in an unspecified state) when `text` is not base64url.
    package static func decode(_ text: Span<UInt8>, into output: inout [UInt8]) -> Bool {
        guard text.count % 4 != 1 else { return false }
        // Looked at once: a global is asked for through a lock of the language's.
        let table = values
        let whole = text.count / 4 * 4
        // Of all values together; what is no character of the alphabet has the high bit.
        var all: UInt8 = 0
        output.append(addingCapacity: text.count / 4 * 3 + 2) { free in
            var index = 0
            while index < whole {
                let (a, b) = (table[Int(text[index])], table[Int(text[index + 1])])
                let (c, d) = (table[Int(text[index + 2])], table[Int(text[index + 3])])
                all |= a | b | c | d
                free.append(a &<< 2 | b &>> 4)
                free.append(b &<< 4 | c &>> 2)
                free.append(c &<< 6 | d & 63)
                index += 4
            }
            guard index < text.count else { return }
            let (a, b) = (table[Int(text[index])], table[Int(text[index + 1])])
            free.append(a &<< 2 | b &>> 4)
            guard index + 2 < text.count else {
                all |= a | b | (b & 15 == 0 ? 0 : 0x80)
                return
            }
            let c = table[Int(text[index + 2])]
            free.append(b &<< 4 | c &>> 2)
            all |= a | b | c | (c & 3 == 0 ? 0 : 0x80)
        }
        return all < 64
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
