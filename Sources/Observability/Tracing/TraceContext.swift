import Bytes

/// To which trace a request belongs, and which of its spans is the gateway's. Source: W3C Trace Context (2021), version 00.
package struct TraceContext: Equatable, Sendable {
    /// The trace's 16 bytes.
    package let high: UInt64
    package let low: UInt64
    /// The span that the request comes from; 0 where there is none.
    package var parent: UInt64
    /// The gateway's own; never 0.
    package var span: UInt64
    /// Whether the spans are kept.
    package var isSampled: Bool

    package init(high: UInt64, low: UInt64, parent: UInt64, span: UInt64, isSampled: Bool) {
        self.high = high
        self.low = low
        self.parent = parent
        self.span = span == 0 ? 1 : span
        self.isSampled = isSampled
    }

    /// Reads the value of a `traceparent` field; nil for anything that is none. Of versions to come the known part is read (§4.1 there).
    package init?(traceparent value: Span<UInt8>) {
        guard value.count >= 55, value[2] == dash, value[35] == dash, value[52] == dash else { return nil }
        guard let version = Self.hexadecimal(value, 0..<2), version != 0xFF, value.count == 55 || version > 0 && value[55] == dash,
            let high = Self.hexadecimal(value, 3..<19), let low = Self.hexadecimal(value, 19..<35), high | low != 0,
            let parent = Self.hexadecimal(value, 36..<52), parent != 0, let flags = Self.hexadecimal(value, 53..<55)
        else { return nil }
        self.init(high: high, low: low, parent: parent, span: parent, isSampled: flags & 1 == 1)
    }

    /// Capital letters are none of the format's.
    private static func hexadecimal(_ value: Span<UInt8>, _ range: Range<Int>) -> UInt64? {
        var number: UInt64 = 0
        for index in range {
            let digit: UInt8
            switch value[index] {
            case 0x30...0x39: digit = value[index] - 0x30
            case 0x61...0x66: digit = value[index] - 0x61 + 10
            default: return nil
            }
            number = number << 4 | UInt64(digit)
        }
        return number
    }

    /// The span of a request to an upstream, by how often the request has gone out before.
    package func spanOfTry(_ number: Int) -> UInt64 {
        let span = self.span &+ UInt64(number) &+ 1
        return span == 0 ? 1 : span
    }

    /// The value of a `traceparent` field whose parent is this span.
    package func append(parent span: UInt64, to output: inout [UInt8]) {
        output.append("00-")
        appendTrace(to: &output)
        output.append(dash)
        output.append(hexadecimal: span, digits: 16)
        output.append(isSampled ? "-01" : "-00")
    }

    /// The trace's 32 digits.
    package func appendTrace(to output: inout [UInt8]) {
        output.append(hexadecimal: high, digits: 16)
        output.append(hexadecimal: low, digits: 16)
    }
}

private let dash = UInt8(ascii: "-")
