import Bytes
import HTTPMessage
import Testing

@Suite struct AuthorityTests {
    /// The host as it is compared, and the port; nil where no authority stands.
    private func read(_ text: String) -> String? {
        let bytes = [UInt8](text.utf8)
        guard let authority = Authority(bytes.span) else { return nil }
        var host: [UInt8] = []
        authority.appendHost(of: bytes.span, to: &host)
        return String(decoding: host, as: UTF8.self) + (authority.port.map { " \($0)" } ?? "")
    }

    @Test(arguments: [
        ("example.com", "example.com"), ("API.Example.COM.", "api.example.com"), ("a:80", "a 80"), ("a.:65535", "a 65535"), ("a:", "a"),
        ("a:0", "a 0"), ("x_y-z.1", "x_y-z.1"), ("192.0.2.1:8080", "192.0.2.1 8080"), ("[::1]", "[::1]"), ("[::]:443", "[::] 443"),
        ("[2001:DB8:0:0:0:0:0:1]", "[2001:db8::1]"), ("[0:0:0:0:0:0:0:0]", "[::]"), ("[1:0:0:2:0:0:0:3]", "[1:0:0:2::3]"),
        ("[1:2:3:4:5:6:7:8]", "[1:2:3:4:5:6:7:8]"), ("[1:2:3:4:5:6:7::]", "[1:2:3:4:5:6:7:0]"), ("[::ffff:192.0.2.1]", "[::ffff:c000:201]"),
        ("[1:2:3:4:5:6:1.2.3.4]", "[1:2:3:4:5:6:102:304]"), ("[fe80::1:0:0:0]", "[fe80::1:0:0:0]"),
    ])
    func readsHosts(text: String, expected: String) { #expect(read(text) == expected) }

    @Test(arguments: [
        "", ".", ":80", "a..b", ".a", "a,admin.example.com", "a b", "a;b", "a=b", "a&b", "a!b", "a$b", "a'b", "a(b)", "a*b", "a+b", "a~b",
        "a@b", "a/b", "a?b", "a#b", "a\\b", "a%2eb", "a%41", "ä", "a\u{0}", "a:b", "a:80:90", "a:65536", "a:000080", "a:-1", "a:+1",
        "[", "[]", "[::1", "::1", "[::1]x", "[::1]:x", "[1::2::3]", "[1:2:3]", "[1:2:3:4:5:6:7:8:9]", "[12345::]", "[::g]",
        "[fe80::1%25eth0]",
        "[v1.a]", "[::1.2.3]", "[::1.2.3.256]", "[::01.2.3.4]", "[1:2:3:4:5:6:7:1.2.3.4]", "[:1:2:3:4:5:6:7]", "[1:2:3:4:5:6:7:]",
        "[1:2:3:4:5:6:7:8::]",
        String(repeating: "a", count: 262),
    ])
    func refusesWhatIsNone(text: String) { #expect(read(text) == nil) }

    /// What is read is a fixed point, and the same without regard to case and a final dot.
    @Test func theNormalFormIsOne() {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<20_000 {
            let count = Int.random(in: 1...24, using: &random)
            let alphabet = Array((Bool.random() ? "aB1-_.:" : "aF09:.[]").utf8)
            let text = String(decoding: (0..<count).compactMap { _ in alphabet.randomElement(using: &random) }, as: UTF8.self)
            guard let once = read(text)?.split(separator: " ").first.map(String.init) else { continue }
            #expect(read(once) == once, "\(text)")
            #expect(read(once.uppercased()) == once)
            if !once.hasSuffix("]") { #expect(read(once + ".") == once) }
        }
    }
}

@Suite struct ForwardedReaderTests {
    private func read(_ text: String) -> [String]? {
        let bytes = [UInt8](text.utf8)
        var reader = ForwardedReader(range: 0..<bytes.count)
        var elements: [String] = []
        while let element = reader.next(in: bytes.span) {
            elements.append(
                [element.node, element.scheme, element.host].map { $0.map { bytes.span.extracting($0).text } ?? "-" }.joined(separator: " ")
            )
        }
        return reader.isMalformed ? nil : elements
    }

    @Test(arguments: [
        ("for=192.0.2.1", ["192.0.2.1 - -"]), ("For=\"[2001:db8::1]:4711\";proto=https;by=203.0.113.43", ["[2001:db8::1]:4711 https -"]),
        ("for=192.0.2.1;host=\"a.example:8443\", for=unknown", ["192.0.2.1 - a.example:8443", "unknown - -"]),
        ("for=1.2.3.4 ; proto=http,, for=_hidden;secret=x", ["1.2.3.4 http -", "_hidden - -"]), ("for=[::1]:80", ["[::1]:80 - -"]),
        ("", []),
        ("for=\"\";", [" - -"]), ("proto=https;", ["- https -"]),
    ])
    func readsElements(text: String, expected: [String]) { #expect(read(text) == expected) }

    @Test(arguments: [
        "for", "for=a for=b", "for=a;for=b", "for=\"a", "for=\"a\\\"b\"", "=a", "for = a", "for=a;;host=b x", "host=a;host=b",
    ])
    func refusesOtherForms(text: String) { #expect(read(text) == nil) }
}
