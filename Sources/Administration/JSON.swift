import Bytes

/// A value of JSON that is to be written (RFC 8259).
package enum JSON: Sendable {
    case object([(String, JSON)])
    case array([JSON])
    case text(String)
    case number(UInt64)
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
        case .bool(let value): output.append(value ? "true" : "false")
        case .null: output.append("null")
        }
    }

    private static func write(_ text: String, to output: inout [UInt8]) {
        output.append(0x22)
        output.append(jsonEscaped: text)
        output.append(0x22)
    }
}
