import Bytes
import HTTP2
import HTTPMessage
import Testing

/// Heads of HTTP/2, as they become heads of HTTP/1.
@Suite struct RequestHeadBuilderTests {
    private let builder = RequestHeadBuilder()

    private func add(_ fields: [(String, String)]) {
        builder.reset()
        for (name, value) in fields {
            let (name, value) = ([UInt8](name.utf8), [UInt8](value.utf8))
            builder.add(name.span, value.span)
        }
    }

    private let get = [(":method", "GET"), (":scheme", "https"), (":authority", "a.example"), (":path", "/x?y=1")]

    @Test func putsAHeadTogether() throws {
        var head = RequestHead()
        add(get + [("accept", "*/*"), ("cookie", "a=1"), ("x-a", "b"), ("cookie", "c=2")])
        try builder.finish(into: &head)
        let text = head.bytes.text
        #expect(text == "GET /x?y=1 HTTP/1.1\r\nhost: a.example\r\naccept: */*\r\nx-a: b\r\ncookie: a=1; c=2\r\n\r\n")
        #expect(head.method == .get)
        #expect(head.text(head.methodRange) == "GET" && head.text(head.targetRange) == "/x?y=1")
        #expect(head.fields.lines.map { head.text($0.value) } == ["a.example", "*/*", "b", "a=1; c=2"])
    }

    /// The storage of the head goes round: from the builder to a request, and from an earlier request to the builder.
    @Test func nothingOfOneHeadStandsInAnother() throws {
        var texts: [String] = []
        var one = RequestHead()
        var other = RequestHead()
        for round in 0..<20 {
            let length = (20 - round) * 300 % 4_000
            add(get + [("authorization", "Bearer " + String(repeating: "s", count: length)), ("cookie", "secret=\(round)")])
            if round % 2 == 0 { try builder.finish(into: &one) } else { try builder.finish(into: &other) }
            add(get)
            try builder.finish(into: &one)
            texts.append(one.bytes.text)
            #expect(one.fields.count == 1)
        }
        #expect(Set(texts) == ["GET /x?y=1 HTTP/1.1\r\nhost: a.example\r\n\r\n"])
    }

    /// RFC 8441 §4.
    @Test func anExtendedConnectBecomesAGetAndIsForgotten() throws {
        var head = RequestHead()
        add([(":method", "CONNECT"), (":scheme", "https"), (":authority", "a"), (":path", "/ws"), (":protocol", "websocket")])
        try builder.finish(into: &head)
        #expect(builder.tunnelProtocol == [UInt8]("websocket".utf8))
        let text = head.bytes.text
        #expect(text == "GET /ws HTTP/1.1\r\nhost: a\r\n\r\n")
        #expect(head.method == .get)
        add(get)
        #expect(builder.tunnelProtocol == nil)
    }

    @Test func anErrorLeavesNothing() throws {
        var head = RequestHead()
        add(get)
        try builder.finish(into: &head)
        add(get + [("connection", "close")])
        #expect(throws: MessageError.connectionField) { try builder.finish(into: &head) }
        #expect(head.fields.count == 0)
        let count = head.bytes.count
        #expect(count == 0)
        add(get)
        try builder.finish(into: &head)
        #expect(head.fields.count == 1)
    }

    @Test func hostStandsForAMissingAuthority() throws {
        var head = RequestHead()
        add([(":method", "GET"), (":scheme", "https"), (":path", "/"), ("accept", "*/*"), ("host", "b.example"), ("x-a", "b")])
        try builder.finish(into: &head)
        let text = head.bytes.text
        #expect(text == "GET / HTTP/1.1\r\naccept: */*\r\nx-a: b\r\nhost: b.example\r\n\r\n")
        #expect(head.value(.host).map { head.bytes.extracting($0).text } == "b.example")
    }

    /// Fields, each `name=value`, and what is wrong with them.
    private static let wrong: [(String, MessageError)] = [
        (":method=GET|:scheme=https|:path=/", .missingHost),
        (":method=GET|:scheme=https|:path=/|host=a|host=a", .repeatedHost),
        (":method=GET|:scheme=https|:authority=a|:path=/|host=b", .repeatedHost),
        (":method=GET|:scheme=https|:authority=|:path=/", .badHost),
        (":method=GET|:scheme=https|:authority=a b|:path=/|x=y", .badHost),
        (":method=GET|:scheme=https|:authority=a|x=y|:path=/", .badPseudoField),
        (":method=GET|:scheme=https|:authority=a|:path=/|x=y|:path=/z", .badPseudoField),
        (":method=GET|:scheme=https|:authority=a|:path=/|:path=/z", .badPseudoField),
        (":method=GET|:scheme=https|:authority=a|:path=z", .badTarget),
        (":method=GET|:scheme=https|:authority=a|:path=/\r\nx: y", .badTarget),
        (":method=GE T|:scheme=https|:authority=a|:path=/", .badMethod),
        (":method=GET|:scheme=ftp|:authority=a|:path=/", .badPseudoField),
        (":method=GET|:scheme=https|:authority=a|:path=/|:other=x", .badPseudoField),
        (":method=GET|:scheme=https|:authority=a|:path=/|X=y", .badFieldName),
        (":method=GET|:scheme=https|:authority=a|:path=/|x=y\r\nz: 1", .badFieldValue),
    ]

    @Test func refusesWhatIsWrong() {
        for (text, error) in Self.wrong {
            var head = RequestHead()
            add(
                text.split(separator: "|").map { field in
                    let parts = field.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                    return (String(parts[0]), String(parts[1]))
                })
            var thrown: MessageError?
            do throws(MessageError) { try builder.finish(into: &head) } catch { thrown = error }
            #expect(thrown == error, "\(text)")
        }
    }

    /// A browser with many cookies sends each as a field of its own.
    @Test func crumbsAreBoundedApartFromFields() throws {
        func finish(crumbs: Int, fields: Int) throws {
            let builder = RequestHeadBuilder(HeadLimits(bytes: 65_536, fields: 10))
            func add(_ name: String, _ value: String) {
                let (name, value) = ([UInt8](name.utf8), [UInt8](value.utf8))
                builder.add(name.span, value.span)
            }
            for (name, value) in [(":method", "GET"), (":scheme", "https"), (":authority", "a"), (":path", "/")] { add(name, value) }
            for number in 0..<crumbs { add("cookie", "c\(number)=1") }
            for number in 0..<fields { add("x-\(number)", "1") }
            var head = RequestHead()
            try builder.finish(into: &head)
        }
        try finish(crumbs: 256, fields: 6)
        #expect(throws: MessageError.tooManyFields) { try finish(crumbs: 257, fields: 0) }
        #expect(throws: MessageError.tooManyFields) { try finish(crumbs: 1, fields: 7) }
    }
}
