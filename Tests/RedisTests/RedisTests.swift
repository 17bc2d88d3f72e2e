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

    @Test(arguments: ["HTTP/1.1 200 OK\r\n", "?\r\n", "*1\r\n!\r\n", "*2000000000\r\n:1\r\n", "*20000\r\n:1\r\n"])
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

    private func call(count: UInt64 = 1) -> RemoteCall {
        RemoteCall(name: [UInt8]("k".utf8), fingerprint: 1, quota: Quota(count: 5, window: .seconds(5)), count: count)
    }

    private func reply(_ values: Int64...) -> RedisReply { .array(values.map { .integer($0) }) }

    @Test func readsWhatTheScriptSays() throws {
        let charged = try #require(LimitScript.decisions(reply(7_000_000, 1_000_000), of: [call()])?.first)
        #expect(
            charged
                == GCRA.Decision(
                    isAllowed: true, arrival: 8_000_000_000, remaining: 4, resetAfter: .seconds(1), retryAfter: .zero))
        let refused = try #require(LimitScript.decisions(reply(7_000_000, -300_000), of: [call()])?.first)
        #expect(!refused.isAllowed && refused.remaining == 0 && refused.retryAfter == .milliseconds(300))
        #expect(refused.resetAfter == .milliseconds(4_300))
        // Several at once, one of them a lease; and what has been taken back.
        let all = try #require(LimitScript.decisions(reply(7_000_000, 1_000_000, 3_000_000, 3, 0, 9), of: [call(), call(count: 4)]))
        #expect(all.map(\.granted) == [1, 3] && all.map(\.refundedBefore) == [0, 9_000])
        #expect(all[1].remaining == 2)
    }

    @Test func believesOnlyRepliesOfItsShape() {
        for wrong in [
            reply(), reply(1), reply(1, 2, 3, 4), reply(-1, 1_000), reply(.max, 1_000), reply(1, .max), reply(1, .min), reply(1, 1_000, -1),
            reply(1, 1_000, .max), .integer(1), .null, .array([.string([]), .null]), .array([.integer(1), .null]),
        ] {
            #expect(LimitScript.decisions(wrong, of: [call()]) == nil, "\(wrong)")
        }
        // More granted than asked for, a grant with a wait, none without one.
        for wrong in [reply(1, 1_000, 5), reply(1, -1_000, 1), reply(1, 1_000, 0), reply(1, 1_000, -1)] {
            #expect(LimitScript.decisions(wrong, of: [call(count: 4)]) == nil, "\(wrong)")
        }
    }

    /// What the keys are called shows nothing of what is counted, is always of one length, and has no byte of a client's.
    @Test func keysAreNamedWithoutSecrets() {
        let names = KeyNames(prefix: "pc", secret: nil)
        func name(_ key: String, _ limit: String, _ names: KeyNames) -> String {
            String(decoding: names.name(ofKey: [UInt8](key.utf8), limit: limit), as: UTF8.self)
        }
        var seen: Set<String> = []
        let keys = ["=192.0.2.1#10", "={a}#3", "={b}#3", "", "=\u{0}\r\n#2", "=" + String(repeating: "y", count: 30_000)]
        for key in keys {
            for limit in ["a", "b"] {
                let name = name(key, limit, names)
                #expect(name.utf8.count == 35 && name.hasPrefix("pc2:") && !name.contains("{"), "\(name)")
                seen.insert(name)
            }
        }
        #expect(seen.count == keys.count * 2)
        // Nobody who has not the secret can tell which key is which.
        let secret = KeyNames(prefix: "pc", secret: Array("secret".utf8))
        #expect(
            name("k", "l", names) != name("k", "l", secret)
                && name("k", "l", secret) == name("k", "l", KeyNames(prefix: "pc", secret: Array("secret".utf8))))
    }
}

/// When a server is asked, and when it is left alone: on a test's clock.
@Suite struct StoreBreakerTests {
    private let start = Instant(nanoseconds: 1_000_000_000_000)
    private func breaker() -> StoreBreaker { StoreBreaker(timeout: .milliseconds(50)) { 0.5 } }

    @Test func opensAfterThreeTimeoutsInARow() {
        var breaker = breaker()
        for round in 0..<10 {
            let now = start.adding(.seconds(UInt64(round) * 2))
            let opens = (0..<2).map { _ in breaker.timedOut(at: now) }
            #expect(opens == [false, false])
            _ = breaker.answered(after: .milliseconds(1), at: now)
            #expect(breaker.isClosed)
        }
        var another = self.breaker()
        let opens = (0..<3).map { _ in another.timedOut(at: start) }
        #expect(opens == [false, false, true])
        #expect(!another.isClosed)
    }

    /// Many were under way when it opened: what becomes of them makes the pause no longer, and closes nothing.
    @Test func thoseUnderWayTellNothing() {
        var breaker = breaker()
        for _ in 0..<20 { _ = breaker.timedOut(at: start) }
        #expect(breaker.probeAt.since(start) == .milliseconds(50))
        for _ in 0..<20 { _ = breaker.refused(at: start) }
        for _ in 0..<20 { _ = breaker.answered(after: .milliseconds(1), at: start) }
        #expect(!breaker.isClosed && breaker.probeAt.since(start) == .milliseconds(50))
    }

    @Test func opensWhereHalfOfManyAreLate() {
        var breaker = breaker()
        var opened = false
        for number in 0..<40 where !opened {
            let now = start.adding(.milliseconds(UInt64(number)))
            if number % 2 == 0 { _ = breaker.answered(after: .milliseconds(1), at: now) } else { opened = breaker.timedOut(at: now) }
        }
        #expect(opened)
    }

    @Test func probesWithGrowingPausesAndClosesAfterThreeGoodOnes() {
        var breaker = breaker()
        let opens = breaker.refused(at: start)
        #expect(opens)
        var now = start
        var pauses: [UInt64] = []
        for _ in 0..<10 {
            pauses.append(breaker.probeAt.since(now).milliseconds)
            now = breaker.probeAt
            breaker.probed()
            #expect(breaker.probeAt == .never)
            let is3 = breaker.refused(at: now, isProbe: true)
            #expect(is3 == false)
        }
        #expect(pauses == [50, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000])
        // An answer that is only just in time is none of the good ones.
        for (length, closes) in [(1, false), (1, false), (40, false), (1, false), (1, false), (1, true)] as [(UInt64, Bool)] {
            breaker.probed()
            let hasClosed = breaker.answered(after: .milliseconds(length), at: now, isProbe: true)
            #expect(hasClosed == closes)
        }
        #expect(breaker.isClosed && breaker.probeAt == .never)
    }

    @Test func repliesAreOwedInOrder() {
        var queue = CallQueue<Int>()
        for number in 0..<5 { queue.add(number, at: start.adding(.milliseconds(UInt64(number)))) }
        #expect(queue.makeLate(sentBy: start.adding(.milliseconds(1))) == 0)
        #expect(queue.makeLate(sentBy: start.adding(.milliseconds(1))) == 1)
        #expect(queue.makeLate(sentBy: start.adding(.milliseconds(1))) == nil)
        #expect(queue.lateCount == 2 && queue.oldestInTime == start.adding(.milliseconds(2)) && queue.oldest == start)
        #expect(queue.take()?.isLate == true)
        #expect(queue.lateCount == 1)
        #expect(queue.take()?.isLate == true)
        #expect(queue.take()?.call == 2)
        #expect(queue.removeAll() == [3, 4])
        #expect(queue.isEmpty)
        let none = queue.take()
        #expect(none == nil)
        for number in 0..<5_000 {
            queue.add(number, at: start)
            queue.add(number, at: start)
            #expect(queue.take()?.isLate == false)
        }
        #expect(queue.count == 5_000)
    }
}
