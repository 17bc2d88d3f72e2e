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
            LimitScript.decisions(reply(1, 4, 1_000, 0), counts: [1]) == [
                Quota.Decision(isAllowed: true, arrival: 0, remaining: 4, resetAfter: 1_000_000, retryAfter: 0)
            ])
        for wrong in [
            reply(1, 4, 1_000), reply(1, -4, 1_000, 0), reply(1, 4, .max, 0), reply(1, 4, 0, -1), reply(2, 4, 1_000, 0), .integer(1), .null,
            .array([.string([]), .null, .null, .null]),
        ] {
            #expect(LimitScript.decisions(wrong, counts: [1]) == nil)
        }
    }
}
