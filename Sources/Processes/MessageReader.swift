/// Reads what ``MessageWriter`` wrote; answers nil at anything else.
package struct MessageReader {
    private let input: [UInt8]
    private var index = 0

    package init(_ input: [UInt8]) { self.input = input }

    package mutating func kind() -> MessageKind? {
        guard index < input.count else { return nil }
        index += 1
        return MessageKind(rawValue: input[index - 1])
    }

    package mutating func number() -> UInt64? {
        guard input.count - index >= 8 else { return nil }
        var value: UInt64 = 0
        for place in 0..<8 { value |= UInt64(input[index + place]) << UInt64(place * 8) }
        index += 8
        return value
    }

    package mutating func bytes() -> [UInt8]? {
        guard let count = number(), count <= UInt64(input.count - index) else { return nil }
        index += Int(count)
        return Array(input[index - Int(count)..<index])
    }

    package mutating func text() -> String? { bytes().map { String(decoding: $0, as: UTF8.self) } }
}
