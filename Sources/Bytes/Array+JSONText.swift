extension Array where Element == UInt8 {
    /// Appends a text as it stands between the quotes of a JSON string (RFC 8259 §7), so that no value can end the line or the string that
    /// it stands in.
    package mutating func append(jsonEscaped text: String) {
        for scalar in text.unicodeScalars {
            switch scalar.value {
            case 0x22, 0x5C:
                append(0x5C)
                append(UInt8(scalar.value))
            // Also the controls of Latin-1 and the line separators, which some readers of logs obey.
            case 0..<0x20, 0x7F..<0xA0, 0x2028, 0x2029:
                append("\\u")
                append(hexadecimal: UInt64(scalar.value), digits: 4)
            default: append(contentsOf: UTF8.encode(scalar)!)
            }
        }
    }
}
