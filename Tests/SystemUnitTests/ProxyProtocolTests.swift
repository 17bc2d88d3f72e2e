import Bytes
import System
import Testing

@Suite struct ProxyProtocolTests {
    private static func addresses(_ source: String, _ destination: String) -> ProxyProtocol.Addresses {
        ProxyProtocol.Addresses(
            source: IPAddress(source)!, sourcePort: 56_324, destination: IPAddress(destination)!, destinationPort: 443)
    }

    /// Feeds a header as the reader asks for it; what it leaves of `input`, and what it says.
    private func read(_ input: [UInt8], atMost: Int = 10_000) throws -> (rest: Int, addresses: ProxyProtocol.Addresses?) {
        var given = 0
        while true {
            let part = Array(input[..<given])
            switch try ProxyProtocol.read(part.span) {
            case .complete(let addresses): return (input.count - given, addresses)
            case .needs(let count):
                #expect(count > given)
                if given == input.count { throw ProxyProtocol.Malformed() }
                given = min(count, given + atMost, input.count)
            }
        }
    }

    @Test(
        arguments: [ProxyProtocol.Version.v1, .v2], [("203.0.113.7", "192.0.2.1"), ("2001:db8::7", "2001:db8::1"), ("203.0.113.7", "::1")])
    func comesBackAsItWasWrittenAndTakesNotAByteMore(version: ProxyProtocol.Version, pair: (String, String)) throws {
        let told = Self.addresses(pair.0, pair.1)
        let header = ProxyProtocol.header(version, told)
        for atMost in [1, 2, 3, 7, 1_000] {
            let outcome = try read(header + Array("GET / HTTP/1.1".utf8), atMost: atMost)
            #expect(outcome.addresses == told)
            #expect(outcome.rest == 14)
        }
        for count in header.indices { #expect(throws: ProxyProtocol.Malformed.self) { try read(Array(header[..<count])) } }
    }

    @Test(arguments: [ProxyProtocol.Version.v1, .v2]) func whatIsNotKnownIsLeftOpen(version: ProxyProtocol.Version) throws {
        let outcome = try read(ProxyProtocol.header(version, nil) + [1, 2, 3])
        #expect(outcome.addresses == nil)
        #expect(outcome.rest == 3)
    }

    @Test func passesOverExtensions() throws {
        var header = ProxyProtocol.header(.v2, Self.addresses("203.0.113.7", "192.0.2.1"))
        header[15] += 7
        let outcome = try read(header + [3, 0, 4, 1, 2, 3, 4] + [9])
        #expect(outcome.addresses == Self.addresses("203.0.113.7", "192.0.2.1"))
        #expect(outcome.rest == 1)
    }

    @Test(arguments: [
        "PROXY TCP4 203.0.113.7 192.0.2.1 56324 443\n", "PROXY TCP4 203.0.113.7 192.0.2.1 56324\r\n",
        "PROXY TCP4 203.0.113.7 ::1 56324 443\r\n", "PROXY TCP6 203.0.113.7 192.0.2.1 56324 443\r\n",
        "PROXY TCP4 203.0.113.7 192.0.2.1 56324 65536\r\n", "PROXY TCP4 203.0.113.7 192.0.2.1 +6324 443\r\n",
        "PROXY TCP4  203.0.113.7 192.0.2.1 56324 443\r\n", "PROXY UDP4 203.0.113.7 192.0.2.1 56324 443\r\n",
        "PROXY TCP4 203.0.113.7 192.0.2.1 56324 443 \r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "PROXY TCP4 203.0.113.7 192.0.2.1 56324 443" + String(repeating: " ", count: 100) + "\r\n",
        "\r\n\r\n\0\r\nQUIT\n\u{31}\u{11}\0\u{0C}0123456789ab", "\r\n\r\n\0\r\nQUIT\n\u{21}\u{11}\0\u{05}01234",
        "\r\n\r\n\0\r\nQUIT\n\u{22}\u{11}\0\u{0C}0123456789ab", "\r\n\r\n\0\r\nQUIT\n\u{21}\u{11}\u{7F}\u{7F}0123456789ab",
    ])
    func refuses(text: String) { #expect(throws: ProxyProtocol.Malformed.self) { try read(Array(text.utf8)) } }
}
