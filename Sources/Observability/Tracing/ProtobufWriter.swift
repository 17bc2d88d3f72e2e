import Bytes

/// Writes messages of Protocol Buffers: the few forms that spans need. Source: protobuf.dev, "Encoding".
package struct ProtobufWriter {
    package private(set) var output: [UInt8] = []

    package init() {}

    package mutating func removeAll() { output.removeAll(keepingCapacity: true) }

    package mutating func number(_ field: Int, _ value: UInt64) {
        varint(UInt64(field) << 3)
        varint(value)
    }

    /// Eight bytes, the lowest first.
    package mutating func fixed64(_ field: Int, _ value: UInt64) {
        varint(UInt64(field) << 3 | 1)
        for place in 0..<8 { output.append(UInt8(truncatingIfNeeded: value >> UInt64(place * 8))) }
    }

    package mutating func bytes(_ field: Int, _ value: Span<UInt8>) {
        varint(UInt64(field) << 3 | 2)
        varint(UInt64(value.count))
        output.append(value)
    }

    package mutating func bytes(_ field: Int, _ value: [UInt8]) { bytes(field, value.span) }

    package mutating func text(_ field: Int, _ value: String) {
        let utf8 = value.utf8
        bytes(field, utf8.span)
    }

    /// Numbers, the highest byte first, as identifiers are.
    package mutating func identifier(_ field: Int, _ words: UInt64...) {
        varint(UInt64(field) << 3 | 2)
        varint(UInt64(words.count * 8))
        for word in words { for place in (0..<8).reversed() { output.append(UInt8(truncatingIfNeeded: word >> UInt64(place * 8))) } }
    }

    /// A message within the message.
    package mutating func message(_ field: Int, _ body: (inout ProtobufWriter) -> Void) {
        var inner = ProtobufWriter()
        body(&inner)
        bytes(field, inner.output.span)
    }

    private mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            output.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        output.append(UInt8(truncatingIfNeeded: rest))
    }
}
