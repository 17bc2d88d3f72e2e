import Bytes
import Forwarding
import HTTP1
@testable import HTTP2
import HTTPMessage
import Testing

/// What a client of HTTP/1 gets of an upstream's head, before the gateway adds its own.
@Suite struct ResponseHeadWriterTests {
    /// The lines that reach the client.
    ///
    /// - Parameter sent: how the body is sent on; as it comes where nothing else is said.
    private func lines(_ answer: [String], to method: Method = .get, sent: BodyFraming? = nil) throws -> [String] {
        var head = ResponseHead()
        var parser = ResponseParser()
        let bytes = [UInt8]((answer + ["", ""]).joined(separator: "\r\n").utf8)
        guard case .complete = try parser.parse(bytes.span, into: &head) else { throw MessageError.badStatusLine }
        return write(head, try sent ?? BodyFraming.of(head, to: method))
    }

    private func write(_ head: borrowing ResponseHead, _ framing: BodyFraming) -> [String] {
        var output = ByteQueue()
        ResponseHeadWriter.write(head, framing: framing, nil, to: &output)
        ResponseHeadWriter.end(keepAlive: true, .http11, to: &output)
        let text = output.readable.text
        #expect(text.hasSuffix("\r\n\r\n"))
        // An empty line within would be the end of the head.
        return text.dropLast(2).split(separator: "\r\n", omittingEmptySubsequences: false).map(String.init)
    }

    @Test(arguments: [
        ("HTTP/1.1 200 OK", "HTTP/1.1 200 OK"),
        ("HTTP/1.1 200 ", "HTTP/1.1 200 "),
        ("HTTP/1.1 299 A  reason\tof its own", "HTTP/1.1 299 A  reason\tof its own"),
        // Anything but the usual form is written again.
        ("HTTP/1.0 200 OK", "HTTP/1.1 200 OK"),
        ("HTTP/1.1 200", "HTTP/1.1 200 "),
        ("HTTP/1.1 200   OK", "HTTP/1.1 200 OK"),
        ("HTTP/1.1 200 OK  ", "HTTP/1.1 200 OK"),
    ])
    func theStatusLineIsOurVersions(line: String, expected: String) throws {
        #expect(try lines([line, "Content-Length: 0"]).first == expected)
        #expect(try lines([line, "Content-Length: 0", "A: b"]).contains("A: b"))
    }

    @Test(arguments: [
        ("Content-Length: 12", "Content-Length: 12"),
        ("content-length: 12", "content-length: 12"),
        ("Content-Length: 0", "Content-Length: 0"),
        ("Content-Length: 9223372036854775807", "Content-Length: 9223372036854775807"),
        // One spelling of a number, and of the line, for all who read it.
        ("content-length:12", "Content-Length: 12"),
        ("Content-Length:  12", "Content-Length: 12"),
        ("Content-Length:\t12", "Content-Length: 12"),
        ("Content-Length: 12 ", "Content-Length: 12"),
        ("Content-Length: 0012", "Content-Length: 12"),
        ("Content-Length: 00", "Content-Length: 0"),
    ])
    func theLengthIsToldOnce(line: String, expected: String) throws {
        for answer in [[line], [line, "A: b"], ["A: b", line], ["A: b", line, "C: d"]] {
            let told = try lines(["HTTP/1.1 200 OK"] + answer)
            #expect(told.filter { $0.lowercased().hasPrefix("content-length") } == [expected])
            #expect(told.filter { !$0.lowercased().hasPrefix("content-length") } == ["HTTP/1.1 200 OK"] + answer.filter { $0 != line })
        }
    }

    @Test func aLengthThatIsNotTheBodysIsNotPassedOn() throws {
        let answer = ["HTTP/1.1 200 OK", "Content-Length: 12", "A: b"]
        #expect(try lines(answer, sent: .length(13)) == ["HTTP/1.1 200 OK", "A: b", "Content-Length: 13"])
        #expect(try lines(answer, sent: .chunked) == ["HTTP/1.1 200 OK", "A: b", "Transfer-Encoding: chunked"])
        #expect(try lines(answer, sent: .close) == ["HTTP/1.1 200 OK", "A: b"])
        // Of the resource, not of this response.
        #expect(try lines(answer, to: .head) == answer)
        #expect(try lines(["HTTP/1.1 304 Not Modified", "Content-Length: 12"]) == ["HTTP/1.1 304 Not Modified", "Content-Length: 12"])
        #expect(try lines(["HTTP/1.1 204 No Content", "Content-Length: 12"]) == ["HTTP/1.1 204 No Content"])
    }

    @Test(arguments: [
        ("Connection: keep-alive", true), ("Connection: close", true), ("Connection: Keep-Alive, CLOSE", true), ("Connection: a", true),
        ("Connection: close, x-mine", false), ("Connection: X-Mine", false), ("Connection: ,, x-mine ,", false),
        ("Connection: close\r\nConnection: x-mine", false),
    ])
    func whatConnectionNamesStaysOnIt(line: String, passes: Bool) throws {
        for answer in [[line, "X-Mine: 1"], ["X-Mine: 1", line]] {
            let told = try lines(["HTTP/1.1 200 OK"] + answer + ["Content-Length: 0"])
            #expect(told == ["HTTP/1.1 200 OK"] + (passes ? ["X-Mine: 1"] : []) + ["Content-Length: 0"])
        }
    }

    @Test func holdsInterimResponsesToTheSameRules() throws {
        var head = ResponseHead()
        var parser = ResponseParser()
        let answer =
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: x-mine\r\nX-Mine: 1\r\nContent-Length: 3\r\nX-Request-Id: theirs\r\nA: b\r\n\r\n"
        let bytes = [UInt8](answer.utf8)
        _ = try parser.parse(bytes.span, into: &head)
        var output = ByteQueue()
        ResponseHeadWriter.writeInterim(head, to: &output)
        let text = output.readable.text
        #expect(text == "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nA: b\r\n\r\n")
        var block = FieldBlock()
        ResponseHeadWriter.writeInterim(head, to: &block)
        let fields = block.bytes.text
        #expect(fields == ":status103link</a>ab")
    }

    /// A head is used again: nothing of the one before may decide about the next.
    @Test func theHeadBeforeIsForgotten() throws {
        var head = ResponseHead()
        var parser = ResponseParser()
        for (answer, expected, isKept) in [
            (["HTTP/1.1 200 OK", "Connection: close, x-mine", "X-Mine: 1"], ["HTTP/1.1 200 OK"], false),
            (["HTTP/1.1 200 OK", "X-Mine: 2"], ["HTTP/1.1 200 OK", "X-Mine: 2"], true),
            (["HTTP/1.0 200 OK", "X-Mine: 3"], ["HTTP/1.1 200 OK", "X-Mine: 3"], false),
            (["HTTP/1.0 200 OK", "Connection: keep-alive"], ["HTTP/1.1 200 OK"], true),
        ] {
            let bytes = [UInt8]((answer + ["", ""]).joined(separator: "\r\n").utf8)
            _ = try parser.parse(bytes.span, into: &head)
            #expect(write(head, .none) == expected)
            #expect(head.allowsReuse == isKept)
        }
    }

    /// In the form in which HTTP/1 would have brought it.
    @Test func writesAResponseOfHTTP2Alike() throws {
        var builder = ResponseHeadBuilder()
        for (name, value) in [(":status", "201"), ("content-length", "5"), ("a", "b")] {
            let (name, value) = ([UInt8](name.utf8), [UInt8](value.utf8))
            builder.add(name.span, value.span)
        }
        var head = ResponseHead()
        try builder.finish(into: &head)
        #expect(write(head, .length(5)) == ["HTTP/1.1 201 ", "content-length: 5", "a: b"])
    }
}
