import Bytes
import ConfigFile
import HTTPMessage
import Routing
import TestSupport
import Testing

private func word(_ text: String) -> Word { Word(text: text, position: Position(file: 0, offset: 0, length: 1), isQuoted: false) }
private func pattern(_ text: String) throws -> PathPattern { try #require(PathPattern(word(text), Diagnostics())) }

private func target(_ path: String) throws -> RequestTarget {
    let bytes = [UInt8](path.utf8)
    var target = RequestTarget()
    try target.normalize(0..<bytes.count, of: bytes.span)
    return target
}

@Suite struct RouteTableTests {
    static let patterns = ["/", "/a", "/a/b", "/a/*", "/a/{x}/c", "/a/**", "/a/b/**", "/x/*/z", "/x/y/**", "/%C3%A9", "/v1:purge"]

    @Test(arguments: [
        ("/", "/"), ("/a", "/a"), ("/a/", "/a"), ("/a/b", "/a/b"), ("/a/q", "/a/*"), ("/a/q/c", "/a/{x}/c"), ("/a/b/c", "/a/b/**"),
        ("/a/q/d", "/a/**"),
        ("/a/q/c/d", "/a/**"), ("/x/y/z", "/x/y/**"), ("/x/q/z", "/x/*/z"), ("/x/y", "/x/y/**"), ("/x/q", ""), ("/b", ""),
        ("/%c3%a9", "/%C3%A9"), ("/v1%3apurge", "/v1:purge"),
    ])
    func theMostSpecificPatternWins(path: String, expected: String) throws {
        for order in [Self.patterns, Self.patterns.reversed()] {
            var table = RouteTable()
            for text in order { #expect(table.insert(try pattern(text), hosts: [], PathDemand()) == nil) }
            let found = try table.find(host: [], try target(path))
            #expect(found.map { order[$0] } ?? "" == expected)
        }
    }

    @Test func tellsCollisions() throws {
        var table = RouteTable()
        #expect(table.insert(try pattern("/a/{x}"), hosts: [], PathDemand()) == nil)
        #expect(table.insert(try pattern("/a/*"), hosts: [], PathDemand()) == 0)
        #expect(table.insert(try pattern("/a/%62"), hosts: [], PathDemand()) == nil)
        #expect(table.insert(try pattern("/a/b"), hosts: [], PathDemand()) == 2)
    }

    @Test func hostsComeBeforePaths() throws {
        func host(_ text: String) throws -> HostPattern { try #require(HostPattern(word(text), Diagnostics())) }
        var table = RouteTable()
        _ = table.insert(try pattern("/**"), hosts: [], PathDemand())
        _ = table.insert(try pattern("/**"), hosts: [try host("*.example.com")], PathDemand())
        _ = table.insert(try pattern("/only"), hosts: [try host("API.example.com")], PathDemand())
        func find(_ host: String, _ path: String) throws -> Int? { try table.find(host: [UInt8](host.utf8), try target(path)) }
        #expect(try find("api.example.com", "/only") == 2)
        #expect(try find("api.example.com", "/else") == 1)
        #expect(try find("a.b.example.com", "/") == 1)
        #expect(try find("example.com", "/") == 0)
        #expect(try find("evilexample.com", "/") == 0)
        #expect(try find("", "/") == 0)
    }

    @Test func findsAmongTenThousand() throws {
        var table = RouteTable()
        for index in 0..<10_000 { #expect(table.insert(try pattern("/api/service-\(index)/{id}/**"), hosts: [], PathDemand()) == nil) }
        for index in stride(from: 0, to: 10_000, by: 777) {
            #expect(try table.find(host: [], try target("/api/service-\(index)/7/x")) == index)
        }
        #expect(try table.find(host: [], try target("/api/service-10000/7/x")) == nil)
    }

    @Test(arguments: [
        "a", "/a/**/b", "/{x}/{x}", "/a*b", "/a/../b", "/a%2fb", "/a?b", "/a//b", "/a;b", "/a+b", "/{x}y", "/a%5cb", "/%2541", "/./a",
        "/%c0%af",
    ])
    func refusesPatterns(text: String) {
        let diagnostics = Diagnostics()
        #expect(PathPattern(word(text), diagnostics) == nil)
        #expect(diagnostics.count == 1)
    }
}
