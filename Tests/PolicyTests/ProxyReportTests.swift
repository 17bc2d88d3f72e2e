import System
import Forwarding
import Policy
import HTTPMessage
import TestSupport
import Testing

/// What a trusted proxy may tell, and by which rule.
@Suite struct ProxyReportTests {
    private let trusted = ["10.0.0.0/8", "2001:db8:1::/48"].compactMap { IPNetwork($0) }

    private func report(_ lines: String..., in fields: TrustedFields = .any) throws -> String {
        let head = try Heads.request((["GET / HTTP/1.1", "Host: inner"] + lines).joined(separator: "\r\n"))
        let told = ProxyReport(head, trusted: trusted, in: fields)
        let scheme = told.isHTTPS.map { $0 ? "https" : "http" } ?? "-"
        return "\(told.address?.text ?? "-") \(scheme) \(told.host.map { head.text($0) } ?? "-")"
    }

    @Test func goesBackToTheFirstThatIsNotTrusted() throws {
        #expect(try report() == "- - -")
        #expect(try report("X-Forwarded-For: 6.6.6.6, 203.0.113.9, 10.1.2.3") == "203.0.113.9 - -")
        #expect(try report("X-Forwarded-For: 203.0.113.9", "X-Forwarded-For: 10.1.2.3") == "203.0.113.9 - -")
        #expect(try report("X-Forwarded-For: 10.1.2.3") == "10.1.2.3 - -")
        #expect(try report("X-Forwarded-For: 6.6.6.6, nonsense, 10.1.2.3") == "10.1.2.3 - -")
        for spelling in ["2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:4711"] {
            #expect(try report("X-Forwarded-For: \(spelling)") == "2001:db8::1 - -")
        }
        #expect(try report("X-Forwarded-For: 192.0.2.1:80") == "192.0.2.1 - -")
    }

    @Test func takesSchemeAndHostOfTheSameHop() throws {
        #expect(try report("X-Forwarded-Proto: https, https") == "- https -")
        #expect(try report("X-Forwarded-Proto: http, https") == "- https -")
        #expect(try report("X-Forwarded-For: 203.0.113.9, 10.1.2.3", "X-Forwarded-Proto: https, http") == "203.0.113.9 https -")
        #expect(try report("X-Forwarded-For: 203.0.113.9, 10.1.2.3", "X-Forwarded-Proto: https") == "203.0.113.9 https -")
        #expect(try report("X-Forwarded-For: 6.6.6.6, 203.0.113.9", "X-Forwarded-Host: evil, outer") == "203.0.113.9 - outer")
        #expect(try report("X-Forwarded-Proto: gopher") == "- - -")
        #expect(try report("X-Forwarded-Proto: wss") == "- https -")
    }

    @Test func readsForwardedWhereThereIsNothingElse() throws {
        #expect(try report("Forwarded: for=203.0.113.9;proto=https;host=outer.example") == "203.0.113.9 https outer.example")
        #expect(try report("Forwarded: for=6.6.6.6;host=evil, for=\"[2001:db8::1]:99\";proto=http, for=10.1.2.3") == "2001:db8::1 http -")
        #expect(try report("Forwarded: for=unknown") == "- - -")
        #expect(try report("Forwarded: for=203.0.113.9;x", "Forwarded: for=10.0.0.9") == "10.0.0.9 - -")
        #expect(try report("Forwarded: for=203.0.113.9", "X-Forwarded-For: 192.0.2.1") == "192.0.2.1 - -")
    }

    /// What the proxy does not write itself is anybody's, and decides nothing.
    @Test func readsTheNamedFieldsAlone() throws {
        let both = [
            "Forwarded: for=203.0.113.9;proto=https;host=outer", "X-Forwarded-For: 192.0.2.1", "X-Forwarded-Host: evil",
            "X-Forwarded-Proto: http",
        ]
        #expect(try report(both[0], both[1], both[2], both[3], in: .forwarded) == "203.0.113.9 https outer")
        #expect(try report(both[1], both[2], both[3], in: .forwarded) == "- - -")
        #expect(try report("Forwarded: for=203.0.113.9", both[2], in: .forwarded) == "203.0.113.9 - -")
        #expect(try report(both[0], both[1], in: .xForwarded) == "192.0.2.1 - -")
        #expect(try report(both[0], in: .xForwarded) == "- - -")
        #expect(try report("Forwarded: for=\"", both[1], in: .xForwarded) == "192.0.2.1 - -")
    }
}
