import Bytes

/// Reads the fields of a message of Protocol Buffers one after the other. Source: protobuf.dev, "Encoding".
package struct ProtobufReader {
    package enum Value: Sendable {
        case number(UInt64)
        case fixed64(UInt64)
        /// Where they stand among the message's bytes.
        case bytes(Range<Int>)
    }

    private var index = 0

    package init() {}

    /// The next field's number and value; nil at the end.
    ///
    /// - Throws: ``Malformed`` where the bytes are no message, or hold a kind of field that no message of ours has.
    package mutating func next(in bytes: Span<UInt8>) throws(Malformed) -> (field: UInt64, value: Value)? {
        guard index < bytes.count else { return nil }
        let key = try varint(bytes)
        guard 1..<(1 << 29) ~= key >> 3 else { throw Malformed() }
        switch key & 7 {
        case 0: return (key >> 3, .number(try varint(bytes)))
        case 1:
            guard bytes.count - index >= 8 else { throw Malformed() }
            defer { index += 8 }
            return (key >> 3, .fixed64((0..<8).reduce(0) { $0 | UInt64(bytes[index + $1]) << UInt64($1 * 8) }))
        case 2:
            let count = try varint(bytes)
            guard count <= UInt64(bytes.count - index) else { throw Malformed() }
            defer { index += Int(count) }
            return (key >> 3, .bytes(index..<index + Int(count)))
        default: throw Malformed()
        }
    }

    package struct Malformed: Error {}

    private mutating func varint(_ bytes: Span<UInt8>) throws(Malformed) -> UInt64 {
        var value: UInt64 = 0
        for place in 0..<10 {
            guard index < bytes.count else { throw Malformed() }
            let byte = bytes[index]
            index += 1
            // The tenth byte has room for one bit.
            guard place < 9 || byte < 2 else { throw Malformed() }
            value |= UInt64(byte & 0x7F) << UInt64(place * 7)
            if byte < 0x80 { return value }
        }
        throw Malformed()
    }
}
