import Bytes

/// What a span of ours is made of: bytes that are anything else come from a worker in wrong hands, and would have the collector refuse the
/// spans of the other workers that go with them. Source: opentelemetry-proto 1.x, trace/v1/trace.proto and common/v1/common.proto.
package enum SpanShape {
    private indirect enum Shape: Sendable {
        case number, fixed64, text
        case bytes(Int)
        case message([UInt64: Shape])
    }

    private static let value = Shape.message([1: .text, 3: .number])
    private static let attribute = Shape.message([1: .text, 2: value])
    private static let event = Shape.message([1: .fixed64, 2: .text, 3: attribute])
    private static let status = Shape.message([2: .text, 3: .number])
    private static let span = Shape.message([
        1: .bytes(16), 2: .bytes(8), 4: .bytes(8), 5: .text, 6: .number, 7: .fixed64, 8: .fixed64, 9: attribute, 11: event, 15: status,
    ])

    /// Whether bytes are one span.
    package static func fits(_ bytes: Span<UInt8>) -> Bool { !bytes.isEmpty && fits(bytes, span) }

    /// No deeper than the shape.
    private static func fits(_ bytes: Span<UInt8>, _ shape: Shape) -> Bool {
        switch shape {
        case .number, .fixed64: return false
        case .text: return String(validating: bytes.copied(), as: UTF8.self) != nil
        case .bytes(let count): return bytes.count == count
        case .message(let fields):
            var reader = ProtobufReader()
            do {
                while let (field, value) = try reader.next(in: bytes) {
                    switch (fields[field], value) {
                    case (.number, .number), (.fixed64, .fixed64): break
                    case (.some(let inner), .bytes(let range)): guard fits(bytes.extracting(range), inner) else { return false }
                    default: return false
                    }
                }
                return true
            } catch {
                return false
            }
        }
    }
}
