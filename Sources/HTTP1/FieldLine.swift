import Bytes
import HTTPMessage

/// Why bytes are not a message of HTTP/1. After any of these the connection closes: where one program sees an error,
/// another may see the start of a second message.
package enum HTTP1Error: String, Error, CaseIterable, Sendable {
    case badRequestLine, badMethod, badTarget, badVersion, badStatusLine
    case badFieldName, badFieldValue, whitespaceBeforeColon, obsoleteFold, bareLineFeed, bareCarriageReturn
    case headTooLarge, tooManyFields, tooManyConnectionOptions, targetTooLong
    case missingHost, repeatedHost, badHost
    case badContentLength, repeatedContentLength, lengthWithCoding, unknownCoding, codingInHTTP10
    case badChunkSize, badChunkExtension, chunkLineTooLong, badChunkEnd, trailersTooLarge, badTrailer
    case unknownExpectation

    package var explanation: String {
        switch self {
        case .badRequestLine: "the request line is malformed"
        case .badMethod: "the method is not a token"
        case .badTarget: "the request target holds a character that it must not"
        case .badVersion: "the HTTP version is not 1.0 or 1.1"
        case .badStatusLine: "the status line is malformed"
        case .badFieldName: "a field name is not a token"
        case .badFieldValue: "a field value holds a control character"
        case .whitespaceBeforeColon: "there is white space before a field's colon"
        case .obsoleteFold: "a field is folded over several lines"
        case .bareLineFeed: "a line ends without carriage return"
        case .bareCarriageReturn: "a carriage return is not followed by a line feed"
        case .headTooLarge: "the head is larger than allowed"
        case .tooManyFields: "there are more than \(Limits.fieldCountMax) fields"
        case .tooManyConnectionOptions: "Connection names more than \(Limits.connectionOptionsMax) options"
        case .targetTooLong: "the request target is longer than \(Limits.targetBytesMax) bytes"
        case .missingHost: "there is no Host field"
        case .repeatedHost: "there is more than one Host field"
        case .badHost: "the Host field is not a host"
        case .badContentLength: "Content-Length is not a number"
        case .repeatedContentLength: "there is more than one Content-Length"
        case .lengthWithCoding: "both Content-Length and Transfer-Encoding are given"
        case .unknownCoding: "the transfer coding is not chunked alone"
        case .codingInHTTP10: "HTTP/1.0 has no Transfer-Encoding"
        case .badChunkSize: "a chunk size is malformed"
        case .badChunkExtension: "a chunk extension is malformed"
        case .chunkLineTooLong: "a chunk-size line is too long"
        case .badChunkEnd: "a chunk does not end where it said"
        case .trailersTooLarge: "the trailers are larger than allowed"
        case .badTrailer: "a trailer holds a field that must not be one"
        case .unknownExpectation: "the expectation is not 100-continue"
        }
    }
}

/// Reads one field line, or the empty line that ends a section. Source: RFC 9112 §5, RFC 9110 §5.
enum FieldLineReader {
    enum Result {
        case needMore
        case line(FieldTable.Line, next: Int)
        case end(next: Int)
    }

    static func read(_ input: Span<UInt8>, from start: Int) throws(HTTP1Error) -> Result {
        let count = input.count
        guard start < count else { return .needMore }
        var index = start
        switch input[index] {
        case 0x0D:
            guard index + 1 < count else { return .needMore }
            guard input[index + 1] == 0x0A else { throw .bareCarriageReturn }
            return .end(next: index + 2)
        case 0x0A: throw .bareLineFeed
        case 0x20, 0x09: throw .obsoleteFold
        default: break
        }
        while index < count, ASCII.isToken(input[index]) { index += 1 }
        guard index < count else { return .needMore }
        guard input[index] == 0x3A else {
            throw input[index] == 0x20 || input[index] == 0x09 ? .whitespaceBeforeColon : .badFieldName
        }
        guard index > start else { throw .badFieldName }
        let name = start..<index
        index += 1
        let valueStart = index
        while index < count, ASCII.isFieldValue(input[index]) { index += 1 }
        guard index < count else { return .needMore }
        guard input[index] == 0x0D else { throw input[index] == 0x0A ? .bareLineFeed : .badFieldValue }
        guard index + 1 < count else { return .needMore }
        guard input[index + 1] == 0x0A else { throw .bareCarriageReturn }
        let value = input.trimmed(valueStart..<index)
        let line = FieldTable.Line(id: FieldName(input.extracting(name)), name: ByteRange(name), value: ByteRange(value))
        return .line(line, next: index + 2)
    }
}
