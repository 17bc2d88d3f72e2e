package import Bytes
package import HTTPMessage

/// Reads the heads of an upstream's responses, as bytes arrive. Source: RFC 9112 §4, §5.
package struct ResponseParser {
    private var lineStart = 0
    private var hasStatusLine = false

    private let bytesMax: Int

    package init(bytesMax: Int = Limits.responseHeadBytesMax) { self.bytesMax = bytesMax }

    /// Whether any byte of a head has been taken into account.
    package var isInsideHead: Bool { hasStatusLine }

    /// As ``RequestParser/parse(_:into:)``, for a response.
    package mutating func parse(_ input: Span<UInt8>, into head: inout ResponseHead) throws(MessageError) -> HeadResult {
        if !hasStatusLine {
            guard let next = try readStatusLine(input, into: &head) else { return try needMore(input.count) }
            hasStatusLine = true
            lineStart = next
        }
        let fieldsMax = Limits.responseFieldCountMax
        while true {
            switch try FieldLineReader.read(input, from: lineStart) {
            case .needMore: return try needMore(input.count)
            case .line(let line, let next):
                guard head.fields.count < fieldsMax else { throw .tooManyFields }
                head.fields.append(line)
                lineStart = next
            case .end(let next):
                guard next <= bytesMax else { throw .headTooLarge }
                head.adopt(input.extracting(0..<next))
                self = ResponseParser(bytesMax: bytesMax)
                return .complete(consumed: next)
            }
        }
    }

    /// As above, over all that waits in `queue`.
    package mutating func parse(_ queue: borrowing ByteQueue, into head: inout ResponseHead) throws(MessageError) -> HeadResult {
        try parse(queue.readable, into: &head)
    }

    private func needMore(_ count: Int) throws(MessageError) -> HeadResult {
        guard count < bytesMax else { throw .headTooLarge }
        return .needMore
    }

    /// Reads `HTTP/1.x SP status [SP reason] CRLF`.
    private func readStatusLine(_ input: Span<UInt8>, into head: inout ResponseHead) throws(MessageError) -> Int? {
        let prefix = input.extracting(0..<min(input.count, 7))
        guard prefix.equals("HTTP/1.") || prefix.count < 7 else { throw .badStatusLine }
        guard input.count >= 13 else {
            // What cannot become a status line is refused at once.
            let known = "HTTP/1.".utf8
            guard prefix.equals(known.span.extracting(0..<prefix.count)) else { throw .badStatusLine }
            return nil
        }
        guard input[7] == 0x31 || input[7] == 0x30, input[8] == 0x20 else { throw .badVersion }
        guard let status = input.extracting(9..<12).decimal(max: 999), status >= 100 else { throw .badStatusLine }
        var index = 12
        guard input[index] == 0x20 || input[index] == 0x0D else { throw .badStatusLine }
        index = input.endOfFieldValue(from: index)
        guard index + 1 < input.count else { return nil }
        guard input[index] == 0x0D else { throw input[index] == 0x0A ? .bareLineFeed : .badStatusLine }
        guard input[index + 1] == 0x0A else { throw .bareCarriageReturn }
        head.reset()
        head.version = input[7] == 0x31 ? .http11 : .http10
        head.status = Int(status)
        head.reasonRange = ByteRange(input.trimmed(min(13, index)..<index))
        return index + 2
    }
}
