import Bytes

/// Writes one span of OpenTelemetry. Source: opentelemetry-proto 1.x, trace/v1/trace.proto.
package struct SpanWriter {
    package enum Kind: UInt64, Sendable {
        case server = 2, client = 3
    }

    private var writer = ProtobufWriter()

    package init() {}

    package var output: [UInt8] { writer.output }

    /// - Parameters:
    ///   - parent: 0 for none.
    ///   - began: in nanoseconds since 1970, as `ended`.
    package mutating func begin(
        _ trace: TraceContext, span: UInt64, parent: UInt64, _ kind: Kind, name: String, began: UInt64, ended: UInt64
    ) {
        writer.removeAll()
        writer.identifier(1, trace.high, trace.low)
        writer.identifier(2, span)
        if parent != 0 { writer.identifier(4, parent) }
        writer.text(5, name)
        writer.number(6, kind.rawValue)
        writer.fixed64(7, began)
        writer.fixed64(8, ended)
    }

    package mutating func attribute(_ name: String, _ value: String) { attribute(name, Array(value.utf8)) }

    /// Bytes that are no UTF-8 become U+FFFD; what is longer than any reader needs is cut.
    package mutating func attribute(_ name: String, _ value: [UInt8]) {
        let text = Array(String(decoding: value.prefix(textBytesMax), as: UTF8.self).utf8)
        writer.message(9) { Self.pair(name, &$0) { $0.bytes(1, text) } }
    }

    package mutating func attribute(_ name: String, number: UInt64) {
        writer.message(9) { Self.pair(name, &$0) { $0.number(3, number) } }
    }

    package mutating func event(_ name: String, at moment: UInt64, _ attributes: [(String, String)] = []) {
        writer.message(11) { event in
            event.fixed64(1, moment)
            event.text(2, name)
            for (name, value) in attributes { event.message(3) { Self.pair(name, &$0) { $0.text(1, value) } } }
        }
    }

    /// The span went wrong.
    package mutating func fail(_ message: String) {
        writer.message(15) { status in
            if !message.isEmpty { status.text(2, message) }
            status.number(3, 2)
        }
    }

    private static func pair(_ name: String, _ writer: inout ProtobufWriter, _ value: (inout ProtobufWriter) -> Void) {
        writer.text(1, name)
        writer.message(2, value)
    }
}

private let textBytesMax = 1_024
