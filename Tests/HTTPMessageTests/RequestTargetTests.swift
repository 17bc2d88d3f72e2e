import Bytes
import HTTPMessage
import Testing

@Suite struct RequestTargetTests {
    private func normalized(_ text: String) throws -> (path: String, query: String, segments: [String]) {
        let bytes = [UInt8](text.utf8)
        var target = RequestTarget()
        try target.normalize(0..<bytes.count, of: bytes.span)
        return (
            target.pathSpan.text, bytes.span.extracting(target.query.range).text,
            target.segments.map { target.pathSpan.extracting($0.range).text }
        )
    }

    @Test(arguments: [
        ("/", "/"), ("/a", "/a"), ("/a/", "/a/"), ("/a/b", "/a/b"), ("/%61", "/a"), ("/%7euser", "/~user"), ("/a%20b", "/a%20b"),
        ("/%c3%a9", "/%C3%A9"), ("/a;x=1", "/a;x=1"), ("/...", "/..."), ("/.well-known/x", "/.well-known/x"), ("/%252e", "/%252e"),
        ("/a%2fb", "/a%2Fb"), ("/a%5cb", "/a%5Cb"), ("/a\\b", "/a%5Cb"), ("//a", "//a"), ("/a//b", "/a//b"), ("/a//", "/a//"), ("//", "//"),
        ("/a/./b", "/a/b"), ("/a/%2e", "/a/"), ("/.", "/"), ("/./", "/"), ("/./a", "/a"), ("/a/.//b", "/a//b"), ("/a/.?x", "/a/"),
        ("/[slug]/a|b^`{}\"<>", "/%5Bslug%5D/a%7Cb%5E%60%7B%7D%22%3C%3E"), ("http://h/a", "/a"), ("http://h", "/"), ("HTTPS://h/%41", "/A"),
    ])
    func hasOneForm(raw: String, expected: String) throws { #expect(try normalized(raw).path == expected) }

    @Test(arguments: [
        ("/..", TargetError.dotSegment),
        ("/a/../b", .dotSegment), ("/a/%2e%2e/b", .dotSegment), ("/a/.%2E/b", .dotSegment),
        ("/a/..;x/b", .dotSegment), ("/a/..%3bx/b", .dotSegment), ("/a/.;/b", .dotSegment), ("/%00", .encodedControl),
        ("/a%0d%0a", .encodedControl), ("/%7f", .encodedControl),
        ("/%", .badPercentEncoding),
        ("/%4", .badPercentEncoding), ("/%zz", .badPercentEncoding), ("/a b", .badCharacter), ("/é", .badCharacter),
        ("/a#b", .fragment), ("/a?b#c", .fragment), ("a", .notAbsolute), ("*", .notAbsolute), ("", .notAbsolute),
        ("ftp://h/", .notAbsolute),
        ("http:///a", .badAuthority), ("http://u@h@/a", .badAuthority),
    ])
    func refusesWhatCouldMeanTwoThings(raw: String, expected: TargetError) {
        #expect(throws: expected) { _ = try normalized(raw) }
    }

    @Test func aNormalFormIsItsOwnNormalForm() throws {
        for raw in ["/a/b%20c/%C3%A9/", "/x;y=1/z", "/%25/%2A", "/~a/-_.", "//a/.//b/./", "/a%2f%5c\\[b]", "/%25%32%65"] {
            let once = try normalized(raw).path
            #expect(try normalized(once).path == once)
        }
    }

    @Test func keepsTheQueryAsItIs() throws {
        let target = try normalized("/a?x=%2e%2e/&y=[1]?")
        #expect(target.path == "/a")
        #expect(target.query == "?x=%2e%2e/&y=[1]?")
    }

    @Test func cutsThePathIntoSegments() throws {
        #expect(try normalized("/a/b/").segments == ["a", "b"])
        #expect(try normalized("/").segments == [])
        #expect(try normalized("//a//").segments == ["", "a", ""])
    }

    @Test func boundsTheDepth() {
        #expect(throws: TargetError.tooManySegments) { _ = try normalized(String(repeating: "/a", count: Limits.pathSegmentsMax + 1)) }
    }

    @Test func decodesSegmentsForComparison() throws {
        let bytes = [UInt8]("/a%20b/%C3%A9".utf8)
        var target = RequestTarget()
        try target.normalize(0..<bytes.count, of: bytes.span)
        #expect(target.decodedSegment(0) == [UInt8]("a b".utf8))
        #expect(target.decodedSegment(1) == [UInt8]("é".utf8))
    }

    @Test func neverTrapsOnRandomBytes() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<20_000 {
            let bytes = (0..<Int.random(in: 0..<40, using: &generator)).map { _ in
                "/.%2eFf5c;?#ab:\\".utf8.randomElement(using: &generator)!
            }
            var target = RequestTarget()
            try? target.normalize(0..<bytes.count, of: bytes.span)
        }
    }
}

@Suite struct FieldNameTests {
    @Test func knowsItsNamesInEveryCase() {
        for name in FieldName.allCases where name != .other {
            let upper = [UInt8](name.text.uppercased().utf8)
            #expect(FieldName(upper.span) == name)
        }
        let unknown = [UInt8]("x-unknown".utf8)
        #expect(FieldName(unknown.span) == .other)
    }

    @Test func foldsAliases() {
        #expect(FieldIdentity.fold("X_User~Id") == [UInt8]("x-user-id".utf8))
    }
}

@Suite struct CookieReaderTests {
    @Test func readsPairs() {
        let bytes = [UInt8]("a=1; b=\"2\";c = 3 ; novalue; =x; d=; e==f".utf8)
        var reader = CookieReader(range: 0..<bytes.count)
        var found: [String] = []
        while let pair = reader.next(in: bytes.span) {
            found.append("\(bytes.span.extracting(pair.name).text)|\(bytes.span.extracting(pair.value).text)")
        }
        #expect(found == ["a|1", "b|2", "c|3", "d|", "e|=f"])
    }
}
