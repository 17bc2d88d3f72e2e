package import Bytes
package import HTTPMessage

package enum HeadResult: Equatable {
    case needMore
    /// The head is complete and took so many bytes of the input.
    case complete(consumed: Int)
}

/// Reads request heads, as bytes arrive. One parser serves all requests of a connection, one after the other.
///
/// Source: RFC 9112 §2 to §5.
package struct RequestParser {
    /// Where the line that is not yet read begins.
    private var lineStart = 0
    /// Up to here the unfinished line is known to hold no line feed.
    private var scanned = 0
    private var emptyLines = 0
    private var hasRequestLine = false

    private let limits: HeadLimits

    package init(_ limits: HeadLimits = HeadLimits()) { self.limits = limits }

    /// Whether a part of a head has been read.
    package var isInsideHead: Bool { lineStart > 0 || scanned > 0 }

    /// Reads on in `input`: all unread bytes of the connection, oldest first, the same as last time and more.
    ///
    /// - Parameter head: receives method, target and fields; complete when the result says so, and then its ranges index
    ///   into its own copy of the head.
    /// - Throws: ``MessageError``; after any of them the connection closes.
    package mutating func parse(_ input: Span<UInt8>, into head: inout RequestHead) throws(MessageError) -> HeadResult {
        if scanned > lineStart {
            guard input.firstIndex(of: 0x0A, from: scanned) != nil else {
                scanned = input.count
                return try needMore(input.count)
            }
        }
        if !hasRequestLine {
            try skipEmptyLines(input)
            guard let next = try readRequestLine(input, from: lineStart, into: &head) else {
                scanned = input.count
                return try needMore(input.count)
            }
            hasRequestLine = true
            lineStart = next
        }
        while true {
            switch try FieldLineReader.read(input, from: lineStart) {
            case .needMore:
                scanned = input.count
                return try needMore(input.count)
            case .line(let line, let next):
                guard head.fields.count < limits.fields else { throw .tooManyFields }
                head.fields.append(line)
                lineStart = next
            case .end(let next):
                guard next <= limits.bytes else { throw .headTooLarge }
                head.adopt(input.extracting(0..<next))
                self = RequestParser(limits)
                return .complete(consumed: next)
            }
        }
    }

    /// As above, over all that waits in `queue`.
    package mutating func parse(_ queue: borrowing ByteQueue, into head: inout RequestHead) throws(MessageError) -> HeadResult {
        try parse(queue.readable, into: &head)
    }

    /// Leaves in `head` what has come of the request line of a head that was refused, or not finished in time.
    ///
    /// - Parameter queue: as it was last parsed.
    package func keepRefused(_ queue: borrowing ByteQueue, in head: inout RequestHead) {
        head.reset()
        let input = queue.readable
        let start = min(2 * emptyLines, input.count)
        var end = start
        while end < input.count, ASCII.isToken(input[end]) { end += 1 }
        guard end < input.count, input[end] == 0x20, (1...methodBytesMax).contains(end - start) else { return }
        let method = start..<end
        let targetStart = end + 1
        end = targetStart
        while end < input.count, input[end] > 0x20, input[end] < 0x7F { end += 1 }
        head.adoptRefused(method: input.extracting(method), target: input.extracting(targetStart..<end))
    }

    private func needMore(_ count: Int) throws(MessageError) -> HeadResult {
        guard count < limits.bytes else { throw .headTooLarge }
        return .needMore
    }

    /// A server should pass over an empty line before a request line (RFC 9112 §2.2).
    private mutating func skipEmptyLines(_ input: Span<UInt8>) throws(MessageError) {
        while lineStart + 1 < input.count, input[lineStart] == 0x0D, input[lineStart + 1] == 0x0A {
            emptyLines += 1
            guard emptyLines <= Limits.leadingEmptyLinesMax else { throw .badRequestLine }
            lineStart += 2
        }
    }

    /// Reads `method SP target SP version CRLF` and returns where it ends; nil when it is not complete.
    private func readRequestLine(
        _ input: Span<UInt8>, from start: Int, into head: inout RequestHead
    ) throws(MessageError) -> Int? {
        let count = input.count
        var index = start
        while index < count, ASCII.isToken(input[index]) { index += 1 }
        guard index < count else { return index - start > methodBytesMax ? try tooLongMethod() : nil }
        if input[index] == 0x0D, index == start { return index + 1 < count ? try malformed() : nil }
        guard input[index] == 0x20, index > start else { throw index == start ? .badRequestLine : .badMethod }
        guard index - start <= methodBytesMax else { throw .badMethod }
        let method = start..<index
        index += 1
        let targetStart = index
        while index < count, input[index] > 0x20, input[index] < 0x7F { index += 1 }
        guard index - targetStart <= limits.targetBytes else { throw .targetTooLong }
        guard index < count else { return nil }
        guard input[index] == 0x20 else {
            throw input[index] == 0x0D || input[index] == 0x0A ? .badRequestLine : .badTarget
        }
        guard index > targetStart else { throw .badRequestLine }
        let target = targetStart..<index
        index += 1
        // "HTTP/1.1" CR LF
        let version = input.extracting(index..<min(count, index + 10))
        try checkVersionPrefix(version)
        guard version.count == 10 else { return nil }
        guard version[9] == 0x0A else { throw .bareCarriageReturn }
        head.reset()
        head.version = version[7] == 0x31 ? .http11 : .http10
        head.methodRange = ByteRange(method)
        head.method = Method(input.extracting(method))
        head.targetRange = ByteRange(target)
        return index + 10
    }

    /// Refuses as soon as the bytes cannot become `HTTP/1.0` or `HTTP/1.1` and CR.
    private func checkVersionPrefix(_ bytes: Span<UInt8>) throws(MessageError) {
        let expected: [8 of UInt8] = [0x48, 0x54, 0x54, 0x50, 0x2F, 0x31, 0x2E, 0x31]
        for index in 0..<min(8, bytes.count) {
            if bytes[index] == expected[index] || index == 7 && bytes[index] == 0x30 { continue }
            throw .badVersion
        }
        if bytes.count > 8, bytes[8] != 0x0D { throw bytes[8] == 0x0A ? .bareLineFeed : .badVersion }
    }

    private func tooLongMethod() throws(MessageError) -> Int? { throw .badMethod }
    private func malformed() throws(MessageError) -> Int? { throw .badRequestLine }
}

private let methodBytesMax = 32
