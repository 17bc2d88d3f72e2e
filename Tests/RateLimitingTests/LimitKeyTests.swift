import ConfigFile
import HTTPMessage
import Routing
import System
import TestSupport
import Testing
import Time

@testable import RateLimiting

/// What requests are counted together, and what clients can do about it.
@Suite struct LimitKeyTests {
    private func limit(_ key: [Template], name: String = "one") -> Limit {
        Limit(
            name: name, quota: Quota(count: 2, window: .seconds(60)), key: key, store: .memory, whenStoreFails: .local, lease: 1,
            countedStatuses: [])
    }

    private func header(_ names: String...) -> [Template] { names.map { Template(parts: [.variable(.header($0))]) } }

    private func context(_ lines: String..., client: String = "192.0.2.1") throws -> RequestContext {
        let context = RequestContext()
        context.begin(clientIP: [UInt8](client.utf8), isHTTPS: true)
        let bytes = [UInt8](("GET / HTTP/1.1\r\nHost: a.example\r\n" + lines.map { $0 + "\r\n" }.joined() + "\r\n").utf8)
        context.head = try Heads.request(bytes)
        return context
    }

    private func key(_ limit: Limit, _ context: RequestContext) -> [UInt8] {
        var bytes: [UInt8] = []
        limit.renderKey(nil, in: context, into: &bytes)
        return bytes
    }

    /// Values that have in them what stands between the parts, or are divided otherwise, are other keys.
    @Test func noValueIsTakenForAnotherOne() throws {
        let two = limit(header("x-a", "x-b"))
        let values = [
            ("a", "bc"), ("ab", "c"), ("abc", ""), ("", "abc"), ("a:=b", "c"), ("a", "=b:=c"), ("a#1:=b", "c"), ("a#2", "b#2"),
            ("a#2:=b#2", ""),
            ("=a", "bc"), ("~a", "bc"), ("*1,a", "bc"), ("a", "bc#3"), ("192.0.2.1", "bc"), ("1", "1"), ("11", ""),
        ]
        var keys: Set<[UInt8]> = []
        for (first, second) in values {
            let isNew = keys.insert(key(two, try context("X-A: \(first)", "X-B: \(second)"))).inserted
            #expect(isNew, "\(first) \(second)")
        }
        // Variables of one part stand side by side, as the file has them: it is what they say together that counts.
        let joined = limit([Template(parts: [.variable(.header("x-a")), .variable(.header("x-b"))])])
        let parts = try [("a", "=bc"), ("a=b", "c"), ("a=", "bc")].map { try key(joined, context("X-A: \($0)", "X-B: \($1)")) }
        #expect(parts[0] == parts[2] && parts[0] != parts[1])
        // Two limits whose names run into the value.
        let same = try context("X-A: b")
        #expect(key(limit(header("x-a"), name: "a"), same) != key(limit(header("x-a"), name: "a:=b"), same))
    }

    /// Bytes that end a text elsewhere, or are no text, are as others; a head with NUL is refused before.
    @Test func bytesThatAreNoTextAreTold() throws {
        let one = limit(header("x-a"))
        func raw(_ value: [UInt8]) throws -> [UInt8] {
            let context = RequestContext()
            context.begin(clientIP: [UInt8]("192.0.2.1".utf8), isHTTPS: true)
            context.head = try Heads.request([UInt8]("GET / HTTP/1.1\r\nHost: a\r\nX-A: ".utf8) + value + [UInt8]("\r\n\r\n".utf8))
            return key(one, context)
        }
        let keys = try [[0xFF], [0xFE], [0xFF, 0xFF], [0xC3, 0xBC], [0xC3], [0xEF, 0xBF, 0xBD], [0x61]].map { try raw($0) }
        #expect(Set(keys).count == keys.count)
        #expect(throws: MessageError.self) { try raw([0x61, 0x00, 0x62]) }
    }

    /// A field that comes twice counts where both say the same; one that says two things counts as none, for which the client's address stands.
    @Test func fieldsThatComeTwiceOrNotAtAll() throws {
        let one = limit(header("x-a"))
        let missing = key(one, try context())
        #expect(try key(one, context("X-A: a", "X-A: b")) == missing)
        #expect(try key(one, context("X-A: a", "x-a: a")) == key(one, context("X-A: a")))
        // An empty value is one, and all who send it share it; it is not the quota of those who send none.
        let empty = try key(one, context("X-A:"))
        #expect(try empty != missing && empty == key(one, context("X-A:   ", client: "192.0.2.9")))
        #expect(try missing != key(one, context(client: "192.0.2.9")))
        // Who sends an address as a value is not who has it.
        #expect(try missing != key(one, context("X-A: 192.0.2.1")) && missing != key(one, context("X-A: ~192.0.2.1")))
    }

    /// One subscriber has a network of 64 bits, and IPv4 that came over an IPv6 socket is IPv4.
    @Test func addressesOfOneSubscriberAreOneKey() throws {
        let one = limit([Template(parts: [.variable(.clientIP)])])
        func of(_ text: String) throws -> [UInt8] {
            let address = try #require(IPAddress(text))
            return try key(one, context(client: address.text))
        }
        let home = try of("2001:db8:1:2::1")
        #expect(try home == of("2001:db8:1:2:ffff:ffff:ffff:ffff") && home == of("2001:DB8:1:2:0:0:0:9"))
        #expect(try home != of("2001:db8:1:3::1"))
        #expect(try of("::ffff:192.0.2.1") == of("192.0.2.1") && of("::ffff:c000:201") == of("192.0.2.1"))
        #expect(try of("192.0.2.1") != of("192.0.2.2"))
        // An IPv4 address that is embedded in another way is another one.
        #expect(try of("64:ff9b::c000:201") != of("192.0.2.1"))
    }

    /// However a client spells the name of a host, it is one.
    @Test func spellingsOfAHostAreOneKey() throws {
        let one = limit([Template(parts: [.variable(.requestHost)])])
        func of(_ text: String) throws -> [UInt8] {
            let context = RequestContext()
            context.begin(clientIP: [UInt8]("192.0.2.1".utf8), isHTTPS: true)
            // As a name stands in a request's head.
            let bytes = [UInt8](text.utf8)
            let named = Authority(bytes.span)
            let authority = try #require(named)
            context.serve(authority, at: ByteRange(0..<bytes.count), of: bytes.span)
            return key(one, context)
        }
        let plain = try of("shop.example")
        for spelling in ["SHOP.example", "shop.EXAMPLE.", "shop.example.", "shop.example:443", "Shop.Example.:443"] {
            #expect(try of(spelling) == plain, "\(spelling)")
        }
        #expect(try of("other.example") != plain)
    }
}
