import Bytes

/// A value of JSON that is to be written (RFC 8259).
package enum JSON: Sendable {
    case object([(String, JSON)])
    case array([JSON])
    case text(String)
    case number(UInt64)
    /// A number with a fraction, of so many decimals.
    case decimal(Double, places: Int)
    case bool(Bool)
    case null

    /// On one line, with a line feed at the end.
    package var line: [UInt8] {
        var output: [UInt8] = []
        write(to: &output)
        output.append(0x0A)
        return output
    }

    private func write(to output: inout [UInt8]) {
        switch self {
        case .object(let members):
            output.append(0x7B)
            for (index, member) in members.enumerated() {
                if index > 0 { output.append(0x2C) }
                Self.write(member.0, to: &output)
                output.append(0x3A)
                member.1.write(to: &output)
            }
            output.append(0x7D)
        case .array(let elements):
            output.append(0x5B)
            for (index, element) in elements.enumerated() {
                if index > 0 { output.append(0x2C) }
                element.write(to: &output)
            }
            output.append(0x5D)
        case .text(let text): Self.write(text, to: &output)
        case .number(let number): output.append(decimal: number)
        case .decimal(let number, let places): output.append(Self.text(number, places: places))
        case .bool(let value): output.append(value ? "true" : "false")
        case .null: output.append("null")
        }
    }

    private static func write(_ text: String, to output: inout [UInt8]) {
        output.append(0x22)
        for scalar in text.unicodeScalars {
            switch scalar.value {
            case 0x0A: output.append("\\n")
            case 0x22, 0x5C:
                output.append(0x5C)
                output.append(UInt8(scalar.value))
            case 0..<0x20, 0x7F..<0xA0, 0x2028, 0x2029:
                output.append("\\u")
                output.append(hexadecimal: UInt64(scalar.value), digits: 4)
            default: output.append(contentsOf: UTF8.encode(scalar)!)
            }
        }
        output.append(0x22)
    }

    private static func text(_ number: Double, places: Int) -> String {
        guard number.isFinite else { return "0" }
        var scale = 1.0
        for _ in 0..<places { scale *= 10 }
        let scaled = UInt64(max(0, min(1e15, (number * scale).rounded())))
        let digits = String(scaled % UInt64(scale))
        let fraction = String(repeating: "0", count: places - digits.utf8.count) + digits
        return places == 0 ? String(scaled) : "\(scaled / UInt64(scale)).\(fraction)"
    }
}
