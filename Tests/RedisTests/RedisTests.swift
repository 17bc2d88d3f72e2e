import Time
import Bytes
import RateLimiting
@testable import Redis
import Testing

@Suite struct RedisReplyReaderTests {
    private func replies(_ text: String, pieces size: Int) throws -> [RedisReply] {
        let reader = RedisReplyReader()
        let bytes = [UInt8](text.utf8)
        var found: [RedisReply] = []
        for start in stride(from: 0, to: bytes.count, by: size) {
            try reader.feed(bytes.span.extracting(start..<min(bytes.count, start + size)))
            while let reply = try reader.next() { found.append(reply) }
        }
        return found
    }

    @Test func readsInPiecesOfEverySize() throws {
        let text = "+OK\r\n-ERR no\r\n:42\r\n$5\r\nhello\r\n$-1\r\n*2\r\n:1\r\n*1\r\n+x\r\n"
        let expected: [RedisReply] = [
            .status("OK"), .error("ERR no"), .integer(42), .string([UInt8]("hello".utf8)), .null,
            .array([.integer(1), .array([.status("x")])]),
        ]
        for size in 1...text.utf8.count { #expect(try replies(text, pieces: size) == expected) }
    }

    @Test(arguments: ["HTTP/1.1 200 OK\r\n", "?\r\n", "*1\r\n!\r\n", "*2000000000\r\n:1\r\n", "*5000\r\n:1\r\n"])
    func refuses(text: String) { #expect(throws: RedisProtocolError.self) { _ = try replies(text, pieces: 64) } }

    @Test func boundsAReply() {
        #expect(throws: RedisProtocolError.self) {
            _ = try replies("$2000000000\r\n" + String(repeating: "x", count: 2 << 20), pieces: 65_536)
        }
    }
}

@Suite struct LimitScriptTests {
    @Test func writesCommandsThatRedisReads() {
        var output = ByteQueue()
        RedisCommand.append([[UInt8]("SET".utf8), [], [0, 13, 10]], to: &output)
        #expect(output.readable.copied() == [UInt8]("*3\r\n$3\r\nSET\r\n$0\r\n\r\n$3\r\n".utf8) + [0, 13, 10, 13, 10])
    }

    @Test func believesOnlyRepliesOfItsShape() {
        func reply(_ values: Int64...) -> RedisReply { .array(values.map { .integer($0) }) }
        #expect(
            LimitScript.decisions(reply(1, 4, 1_000, 0, 5, 0), counts: [1]) == [
                GCRA.Decision(isAllowed: true, arrival: 5_000, remaining: 4, resetAfter: .milliseconds(1), retryAfter: .zero)
            ])
        for wrong in [
            reply(1, 4, 1_000), reply(1, 4, 1_000, 0), reply(1, -4, 1_000, 0, 5, 0), reply(1, 4, .max, 0, 5, 0), reply(1, 4, 0, -1, 5, 0),
            reply(2, 4, 1_000, 0, 5, 0), reply(1, 4, 1_000, 0, -1, 0), reply(1, 4, 1_000, 0, .max, 0), reply(1, 4, 1_000, 0, 5, -1),
            .integer(1), .null,
            .array([.string([]), .null, .null, .null, .null, .null]),
        ] {
            #expect(LimitScript.decisions(wrong, counts: [1]) == nil)
        }
    }

    /// What the keys are called shows no secret, and is never long.
    @Test func keysAreNamedWithoutSecrets() {
        let quota = Quota(count: 1, window: .seconds(1))
        func name(_ key: String, isSecret: Bool = false) -> String {
            String(decoding: LimitScript.name(of: RemoteCall(key: [UInt8](key.utf8), isSecret: isSecret, quota: quota)), as: UTF8.self)
        }
        #expect(name("per_ip/1/1:=192.0.2.1#10") == "portcullis:per_ip/1/1:=192.0.2.1#10")
        let secret = name("per_key/1/1:=s3cret#6", isSecret: true)
        #expect(secret.hasPrefix("portcullis:per_key/1/1:#") && !secret.contains("s3cret"))
        #expect(secret != name("per_key/1/1:=s3creT#6", isSecret: true))
        let long = name("x/1/1:=" + String(repeating: "y", count: 30_000))
        #expect(long.utf8.count < 100)
    }
}
