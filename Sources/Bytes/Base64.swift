/// base64 with padding (RFC 4648 §4).
package enum Base64 {
    package static func encode(_ bytes: [UInt8]) -> [UInt8] {
        var text = Base64URL.encode(bytes).map { $0 == 0x2D ? 0x2B : $0 == 0x5F ? 0x2F : $0 }
        while text.count % 4 != 0 { text.append(0x3D) }
        return text
    }

    /// Decodes text of one spelling: with its padding or without any.
    package static func decode(_ text: Span<UInt8>) -> [UInt8]? {
        var end = text.count
        while end > 0, text.count - end < 2, text[end - 1] == 0x3D { end -= 1 }
        guard end == text.count || text.count % 4 == 0 else { return nil }
        var plain: [UInt8] = []
        plain.reserveCapacity(end)
        for index in 0..<end {
            switch text[index] {
            case 0x2B: plain.append(0x2D)
            case 0x2F: plain.append(0x5F)
            case 0x2D, 0x5F: return nil
            default: plain.append(text[index])
            }
        }
        return Base64URL.decode(plain.span)
    }
}
