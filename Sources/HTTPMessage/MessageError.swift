/// Why what came is not a message of HTTP. In HTTP/1 the connection closes after any of these: where one program sees an
/// error, another may see the start of a second message. In HTTP/2 only the stream ends.
package enum MessageError: String, Error, CaseIterable, Sendable {
    case badRequestLine, badMethod, badTarget, badVersion, badStatusLine
    case badFieldName, badFieldValue, whitespaceBeforeColon, obsoleteFold, bareLineFeed, bareCarriageReturn
    case headTooLarge, tooManyFields, tooManyConnectionOptions, targetTooLong
    case missingHost, repeatedHost, badHost, badForwarded
    case badContentLength, repeatedContentLength, lengthWithCoding, unknownCoding, codingInHTTP10
    case badChunkSize, badChunkExtension, chunkLineTooLong, badChunkEnd, trailersTooLarge, badTrailer
    case unknownExpectation
    case badPseudoField, connectionField, lengthMismatch

    /// The same of a response, whose bounds are not those of requests.
    package var explanationOfResponse: String {
        switch self {
        case .headTooLarge: "its head is larger than \(Limits.responseHeadBytesMax) bytes"
        case .tooManyFields: "its head has more than \(Limits.responseFieldCountMax) fields"
        default: explanation
        }
    }

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
        case .headTooLarge: "the head is larger than client_limits { head_size } allows"
        case .tooManyFields: "there are more fields than client_limits { fields } allows"
        case .tooManyConnectionOptions: "Connection names more than \(Limits.connectionOptionsMax) options"
        case .targetTooLong: "the request target is longer than client_limits { target_size } allows"
        case .missingHost: "there is no Host field"
        case .repeatedHost: "there is more than one Host field"
        case .badHost: "the Host field is not a host"
        case .badForwarded: "the Forwarded field that a proxy has added to is malformed"
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
        case .badPseudoField: "a pseudo-header field is missing, unknown, repeated or malformed"
        case .connectionField: "a field that belongs to one connection stands in a message of HTTP/2"
        case .lengthMismatch: "the body is not as long as Content-Length says"
        case .unknownExpectation: "the expectation is not 100-continue"
        }
    }
}
