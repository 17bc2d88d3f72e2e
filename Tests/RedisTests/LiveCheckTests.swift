import System
import Testing

@testable import Redis

@Suite struct LiveCheckTests {
    private func info(_ lines: String) -> RedisReply { .string(Array("# Section\r\n\(lines)\r\n".utf8)) }

    @Test(arguments: [
        ("redis_version:6.0.16", LiveFinding.Severity.error), ("redis_version:6.2.5", .warning), ("redis_version:6.2.20", .good),
        ("redis_version:7.0.15", .warning), ("redis_version:7.2.11", .good), ("redis_version:7.4.5", .warning),
        ("redis_version:7.4.6", .good),
        ("redis_version:8.0.3", .warning), ("redis_version:8.2.2", .good), ("redis_version:8.4.0", .good), ("redis_version:9.0.0", .good),
        ("redis_version:7.2.4\r\nvalkey_version:8.1.3", .warning), ("redis_version:7.2.4\r\nvalkey_version:8.1.8", .good),
        ("redis_version:7.2.4\r\nvalkey_version:9.1.2", .good), ("redis_version:x", .good), ("what:ever", .good),
    ])
    func versions(_ lines: String, _ severity: LiveFinding.Severity) {
        let findings = LiveCheck.version(info(lines))
        #expect(findings.map(\.severity) == [severity], "\(findings)")
    }

    @Test func memory() {
        #expect(LiveCheck.memory(info("maxmemory:0\r\nmaxmemory_policy:noeviction")).map(\.severity) == [.warning])
        #expect(LiveCheck.memory(info("maxmemory:1000\r\nmaxmemory_policy:noeviction")).map(\.severity) == [.warning])
        #expect(LiveCheck.memory(info("maxmemory:1000\r\nmaxmemory_policy:allkeys-lru")).first?.text.contains("give keys up") == true)
        #expect(LiveCheck.memory(info("maxmemory:1000\r\nmaxmemory_policy:volatile-ttl")).map(\.severity) == [.good])
        #expect(LiveCheck.memory(info("maxmemory:1000\r\nmaxmemory_policy:volatile-lru")).first?.text.contains("give keys up") == true)
        #expect(LiveCheck.memory(.error("NOPERM")).isEmpty)
    }

    /// A password that goes over a network in clear is told of; one that stays on the host is not.
    @Test func plaintext() throws {
        func place(_ text: String) throws -> SocketAddress { try #require(SocketAddress(text)) }
        #expect(LiveCheck.plaintext(try place("10.0.0.1:6379"), isTLS: false).map(\.severity) == [.warning])
        #expect(LiveCheck.plaintext(try place("[2001:db8::1]:6379"), isTLS: false).map(\.severity) == [.warning])
        for (text, isTLS) in [("10.0.0.1:6379", true), ("127.0.0.1:6379", false), ("[::1]:6379", false), ("127.3.2.1:6379", false)] {
            #expect(LiveCheck.plaintext(try place(text), isTLS: isTLS).isEmpty, "\(text)")
        }
    }
}
