import Bytes
import HTTP1
import HTTPMessage
import Testing

/// What reading a whole head gives.
private func parse(_ text: String) throws -> (result: HeadResult, summary: String) {
    let bytes = [UInt8](text.utf8)
    var parser = RequestParser()
    var head = RequestHead()
    let result = try parser.parse(bytes.span, into: &head)
    return (result, summary(head))
}

private func summary(_ head: borrowing RequestHead) -> String {
    var text = head.text(head.methodRange) + " " + head.text(head.targetRange) + " " + (head.version == .http11 ? "1.1" : "1.0")
    for line in head.fields.lines { text += "|\(head.text(line.name)):\(head.text(line.value))" }
    return text
}

@Suite struct RequestParserTests {
    private let whole = "POST /a/b?c=d HTTP/1.1\r\nHost: example.com\r\nX-Empty:\r\nX-Tab:\t v \t\r\nContent-Length: 3\r\n\r\n"

    @Test func readsAHead() throws {
        let (result, summary) = try parse(whole)
        #expect(result == .complete(consumed: whole.utf8.count))
        #expect(summary == "POST /a/b?c=d 1.1|Host:example.com|X-Empty:|X-Tab:v|Content-Length:3")
    }

    @Test func yieldsTheSameHeadAtEverySplitPoint() throws {
        let expected = try parse(whole).summary
        let bytes = [UInt8](whole.utf8)
        for split in 0...bytes.count {
            var parser = RequestParser()
            var head = RequestHead()
            if split < bytes.count { #expect(try parser.parse(bytes.span.extracting(0..<split), into: &head) == .needMore) }
            #expect(try parser.parse(bytes.span, into: &head) == .complete(consumed: bytes.count))
            #expect(summary(head) == expected)
        }
    }

    @Test func readsByteByByte() throws {
        let bytes = [UInt8](whole.utf8)
        var parser = RequestParser()
        var head = RequestHead()
        for end in 1..<bytes.count { #expect(try parser.parse(bytes.span.extracting(0..<end), into: &head) == .needMore) }
        #expect(try parser.parse(bytes.span, into: &head) == .complete(consumed: bytes.count))
    }

    @Test func servesOneRequestAfterTheOther() throws {
        let bytes = [UInt8]("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: b\r\n\r\n".utf8)
        var parser = RequestParser()
        var head = RequestHead()
        guard case .complete(let first) = try parser.parse(bytes.span, into: &head) else { return #expect(Bool(false)) }
        #expect(summary(head) == "GET /1 1.1|Host:a")
        let rest = bytes.span.extracting(first..<bytes.count)
        #expect(try parser.parse(rest, into: &head) == .complete(consumed: bytes.count - first))
        #expect(summary(head) == "GET /2 1.1|Host:b")
    }

    @Test(arguments: [
        ("GET / HTTP/1.1\nHost: a\r\n\r\n", MessageError.bareLineFeed), ("GET / HTTP/1.1\r\nHost: a\n\r\n", .bareLineFeed),
        ("GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", .bareCarriageReturn), ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", .obsoleteFold),
        ("GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", .obsoleteFold), ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", .whitespaceBeforeColon),
        ("GET / HTTP/1.1\r\n: a\r\n\r\n", .badFieldName), ("GET / HTTP/1.1\r\nH[]: a\r\n\r\n", .badFieldName),
        ("GET / HTTP/1.1\r\nHost: a\u{0}b\r\n\r\n", .badFieldValue), ("GET / HTTP/1.1\r\nHost: a\u{7}\r\n\r\n", .badFieldValue),
        ("GET  / HTTP/1.1\r\n\r\n", .badRequestLine), ("GET / HTTP/1.1 \r\n\r\n", .badVersion), ("GET /\r\n\r\n", .badRequestLine),
        ("GET / HTTP/2.0\r\n\r\n", .badVersion), ("GET / HTTP/1.2\r\n\r\n", .badVersion), ("GET / http/1.1\r\n\r\n", .badVersion),
        (" GET / HTTP/1.1\r\n\r\n", .badRequestLine), ("G(T / HTTP/1.1\r\n\r\n", .badMethod),
        ("\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n", .badRequestLine),
        ("GET /\u{1} HTTP/1.1\r\n\r\n", .badTarget), ("GET /\u{7f} HTTP/1.1\r\n\r\n", .badTarget),
    ])
    func refuses(text: String, expected: MessageError) { #expect(throws: expected) { _ = try parse(text) } }

    @Test func refusesWhatGrowsWithoutEnd() {
        let long = "GET / HTTP/1.1\r\nX: " + String(repeating: "a", count: Limits.requestHeadBytesMax)
        #expect(throws: MessageError.headTooLarge) { _ = try parse(long) }
        let many = "GET / HTTP/1.1\r\n" + String(repeating: "a: b\r\n", count: Limits.fieldCountMax + 1) + "\r\n"
        #expect(throws: MessageError.tooManyFields) { _ = try parse(many) }
        #expect(throws: MessageError.targetTooLong) {
            _ = try parse("GET /" + String(repeating: "a", count: Limits.targetBytesMax) + " HTTP/1.1\r\n\r\n")
        }
        #expect(throws: MessageError.badMethod) { _ = try parse(String(repeating: "A", count: 40)) }
    }

    @Test func neverTrapsOnRandomBytes() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<20_000 {
            let bytes = (0..<Int.random(in: 0..<60, using: &generator)).map { _ in
                "GET / HTTP/1.1\r\n:aX \t\u{0}".utf8.randomElement(using: &generator)!
            }
            var parser = RequestParser()
            var head = RequestHead()
            for end in stride(from: 0, through: bytes.count, by: 7) {
                guard (try? parser.parse(bytes.span.extracting(0..<end), into: &head)) == .needMore else { break }
            }
        }
    }
}

@Suite struct ConnectionOptionsTests {
    /// A head is used again: nothing of the one before may decide about the next.
    @Test func theHeadBeforeIsForgotten() throws {
        var head = RequestHead()
        var parser = RequestParser()
        for (field, isKept, named) in [
            ("Connection: close, X-Mine", false, true), ("A: b", true, false), ("Connection: x-mine\r\nConnection: Keep-Alive", true, true),
            ("Connection: keep-alive", true, false), ("Connection:", true, false), ("Connection: CLOSE", false, false),
        ] {
            let bytes = [UInt8]("GET / HTTP/1.1\r\nHost: a\r\n\(field)\r\n\r\n".utf8)
            _ = try parser.parse(bytes.span, into: &head)
            #expect(try head.envelope().wantsKeepAlive == isKept)
            let (name, holds) = ([UInt8]("x-mine".utf8), head.connection.namesFields)
            let says = head.connection.names(name.span, in: head.bytes)
            #expect(says == named && holds == named)
        }
        head.reset()
        let left = head.connection.count
        #expect(left == 0)
    }

    /// What is refused for their number is not kept either: it would take many times the head's own bytes.
    @Test func moreOptionsThanAnybodyHasAreOnlyCounted() throws {
        var head = RequestHead()
        var parser = RequestParser()
        let names = (0..<5_000).map { "a\($0)" }
        let bytes = [UInt8]("GET / HTTP/1.1\r\nHost: a\r\nConnection: \(names.joined(separator: ","))\r\n\r\n".utf8)
        _ = try parser.parse(bytes.span, into: &head)
        #expect(throws: MessageError.tooManyConnectionOptions) { _ = try head.envelope() }
        let count = head.connection.count
        #expect(count == 5_000)
        for (index, name) in names.enumerated() {
            let text = [UInt8](name.utf8)
            let isKept = head.connection.names(text.span, in: head.bytes)
            #expect(isKept == (index < Limits.connectionOptionsMax))
        }
    }
}

@Suite struct FramingTests {
    private func framing(_ fields: String, version: String = "1.1") throws -> BodyFraming {
        let bytes = [UInt8]("POST / HTTP/\(version)\r\nHost: a\r\n\(fields)\r\n".utf8)
        var parser = RequestParser()
        var head = RequestHead()
        _ = try parser.parse(bytes.span, into: &head)
        return try head.envelope().framing
    }

    @Test func takesOneWayOfTellingTheEnd() throws {
        #expect(try framing("") == .none)
        #expect(try framing("Content-Length: 12\r\n") == .length(12))
        #expect(try framing("Transfer-Encoding: Chunked\r\n") == .chunked)
    }

    @Test(arguments: [
        ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", MessageError.lengthWithCoding),
        ("Transfer-Encoding: chunked\r\nContent-Length: 1\r\n", .lengthWithCoding),
        ("Content-Length: 1\r\nContent-Length: 1\r\n", .repeatedContentLength),
        ("Content-Length: 1, 1\r\n", .badContentLength), ("Content-Length: +1\r\n", .badContentLength),
        ("Content-Length: -1\r\n", .badContentLength),
        ("Content-Length: 0x1\r\n", .badContentLength), ("Content-Length:\r\n", .badContentLength),
        ("Content-Length: 9223372036854775808\r\n", .badContentLength), ("Transfer-Encoding: gzip, chunked\r\n", .unknownCoding),
        ("Transfer-Encoding: chunked, chunked\r\n", .unknownCoding), ("Transfer-Encoding: identity\r\n", .unknownCoding),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", .unknownCoding),
        ("Transfer-Encoding: x-chunked\r\n", .unknownCoding),
    ])
    func refusesWhatIsInDoubt(fields: String, expected: MessageError) { #expect(throws: expected) { _ = try framing(fields) } }

    @Test func http10HasNoCoding() {
        #expect(throws: MessageError.codingInHTTP10) { _ = try framing("Transfer-Encoding: chunked\r\n", version: "1.0") }
    }
}

@Suite struct ResponseParserTests {
    private func parse(_ text: String, to method: Method = .get) throws -> (Int, BodyFraming, Bool) {
        let bytes = [UInt8](text.utf8)
        var parser = ResponseParser()
        var head = ResponseHead()
        guard case .complete = try parser.parse(bytes.span, into: &head) else { throw MessageError.badStatusLine }
        return (head.status, try BodyFraming.of(head, to: method), head.allowsReuse)
    }

    @Test func knowsWhereTheBodyEnds() throws {
        #expect(try parse("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n") == (200, .length(5), true))
        #expect(try parse("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n") == (200, .chunked, true))
        #expect(try parse("HTTP/1.1 200\r\n\r\n") == (200, .close, true))
        #expect(try parse("HTTP/1.1 204 No Content\r\n\r\n") == (204, .none, true))
        #expect(try parse("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n") == (304, .none, true))
        #expect(try parse("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", to: .head) == (200, .none, true))
        #expect(try parse("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n") == (200, .length(5), false))
        #expect(try parse("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: Close\r\n\r\n") == (200, .length(5), false))
    }

    @Test(arguments: [
        "HTTP/2 200 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 099 X\r\n\r\n", "ICY 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\nA: b\r\n\r\n", "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
    ])
    func refuses(text: String) { #expect(throws: MessageError.self) { _ = try parse(text) } }

    @Test func yieldsTheSameAtEverySplitPoint() throws {
        let bytes = [UInt8]("HTTP/1.1 206 Partial Content\r\nA: b\r\nContent-Length: 7\r\n\r\n".utf8)
        for split in 0..<bytes.count {
            var parser = ResponseParser()
            var head = ResponseHead()
            #expect(try parser.parse(bytes.span.extracting(0..<split), into: &head) == .needMore)
            #expect(try parser.parse(bytes.span, into: &head) == .complete(consumed: bytes.count))
            #expect(head.status == 206)
        }
    }
}

@Suite struct ChunkedDecoderTests {
    /// The body, the trailers and what is left, feeding pieces of `size` bytes.
    private func decode(_ text: String, pieces size: Int) throws -> (body: String, trailers: [String], isDone: Bool, rest: Int) {
        var decoder = ChunkedDecoder()
        var queue = ByteQueue()
        var (body, trailers): ([UInt8], [String]) = ([], [])
        let bytes = [UInt8](text.utf8)
        var fed = 0
        while true {
            switch try decoder.next(queue.readable) {
            case .needMore(let consumed):
                queue.drop(consumed)
                guard fed < bytes.count else { return (String(decoding: body, as: UTF8.self), trailers, false, queue.count) }
                let end = min(bytes.count, fed + size)
                queue.append(bytes.span.extracting(fed..<end))
                fed = end
            case .data(let range, let consumed):
                body.append(queue.readable.extracting(range))
                queue.drop(consumed)
            case .trailer(let line, let consumed):
                trailers.append("\(queue.readable.extracting(line.name.range).text)=\(queue.readable.extracting(line.value.range).text)")
                queue.drop(consumed)
            case .end(let consumed):
                queue.drop(consumed)
                return (String(decoding: body, as: UTF8.self), trailers, true, queue.count + bytes.count - fed)
            }
        }
    }

    @Test func readsTheSameInPiecesOfEverySize() throws {
        let text = "5\r\nhello\r\n6;name=\"v\"\r\n world\r\n0\r\nX-Sum: 1\r\nX-B: 2\r\n\r\nGET"
        for size in 1...text.utf8.count {
            let result = try decode(text, pieces: size)
            #expect(result.body == "hello world")
            #expect(result.trailers == ["X-Sum=1", "X-B=2"])
            #expect(result.isDone && result.rest == 3)
        }
    }

    @Test(arguments: [
        ("\r\n", MessageError.badChunkSize), ("g\r\n", .badChunkSize), ("-1\r\n", .badChunkSize), ("0x5\r\n", .badChunkSize),
        (" 5\r\n", .badChunkSize),
        ("5 \r\n", .badChunkSize), ("5\nhello", .bareLineFeed), ("5\r\nhelloX", .badChunkEnd), ("5\r\nhello\rX", .badChunkEnd),
        ("5\r\nhello\n", .badChunkEnd), ("1000000000000000\r\n", .badChunkSize), ("5;\u{1}\r\n", .badChunkExtension),
        ("5;a\n", .bareLineFeed),
        ("5\rX", .bareCarriageReturn), ("0\r\nbad line\r\n\r\n", .whitespaceBeforeColon),
    ])
    func refuses(text: String, expected: MessageError) { #expect(throws: expected) { _ = try decode(text, pieces: 3) } }

    @Test func boundsExtensionsAndTrailers() {
        #expect(throws: MessageError.chunkLineTooLong) {
            _ = try decode("5;" + String(repeating: "a", count: Limits.chunkLineBytesMax) + "\r\n", pieces: 100)
        }
        let trailers = "0\r\n" + String(repeating: "x: " + String(repeating: "y", count: 500) + "\r\n", count: 20) + "\r\n"
        #expect(throws: MessageError.trailersTooLarge) { _ = try decode(trailers, pieces: 1_000) }
    }
}
