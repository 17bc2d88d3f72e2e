import Bytes
import RateLimiting
import System
import Testing
import Time

@testable import Redis

/// Clocks that are set: of a Redis server, of the one that takes its place, and of a gateway.
@Suite struct ClockTests {
    private static let burst: UInt64 = 10
    private static let window: UInt64 = 10_000

    private static func quotas() -> [(name: String, quota: Quota)] {
        let windows: [Windows.Kind] = [.fixed, .sliding]
        return [("rate", Quota(count: burst, window: .milliseconds(window)))]
            + windows.map {
                ("\($0)", Quota(count: burst, window: .milliseconds(window), windows: Windows($0, count: burst, length: window)))
            }
    }

    /// How many of these moments let a request through, in order.
    private func passed(_ server: ScriptServer, _ name: String, _ quota: Quota, at moments: [UInt64]) throws -> [Bool] {
        try moments.map { try server.ask(name, quota, at: $0 * 1_000).isAllowed }
    }

    /// By 5 s as a server that takes another one's place may differ, by an hour as one that was set, and by the second that is counted twice.
    @Test(arguments: [UInt64(1_000), 5_000, 3_600_000], [true, false])
    func aServersClockThatIsSetCostsOrGivesOneQuotaAtMost(by step: UInt64, isForward: Bool) throws {
        let server = try ScriptServer()
        for (name, quota) in Self.quotas() {
            // At the edge of a window, and within one.
            for offset in [UInt64(0), 3_000] {
                let key = "\(name)-\(offset)"
                let start = (Clock.wallSeconds() + 7_200) * 1_000 / Self.window * Self.window + offset
                let first = try passed(server, key, quota, at: (0..<20).map { start + $0 })
                #expect(first.count { $0 } == Self.burst, "\(key)")
                let then = isForward ? start + step : start - step
                // As many as want to, for four windows.
                let later = try passed(server, key, quota, at: (0..<400).map { then + $0 * Self.window / 100 })
                // In four windows there are four quotas, and where the clock went on, what it says to have gone by: one more at most.
                let most = Int(Self.burst) * (4 + (isForward ? 1 : 0)) + 1
                #expect(later.count { $0 } <= most, "\(key): \(later.count { $0 })")
                // Nobody waits for longer than for what was used up, and a window that was begun.
                let wait = later.firstIndex(of: true).map { UInt64($0) * Self.window / 100 }
                let longest = 2 * Self.window + 1_000
                #expect(try #require(wait) <= longest, "\(key): \(String(describing: wait))")
                // What follows is as ever: a quota for each window.
                let end = later.suffix(200)
                #expect(end.count { $0 } >= Int(Self.burst) * 2 - 2, "\(key): \(end.count { $0 })")
            }
        }
    }

    /// A gateway whose clock is a day off counts as all others do: in Redis the server's clock decides, and what a host knows it knows as distances.
    @Test(arguments: [Int64(-86_400), 86_400])
    func aGatewaysClockHasNoSay(by seconds: Int64) throws {
        let server = try ScriptServer()
        for (name, quota) in Self.quotas() {
            func host(_ offset: Int64) throws -> LimitTable {
                let words = LimitTable.words(forKeys: 64)
                return LimitTable(
                    try SharedMemory(words: words), firstWord: 0, words: words, hash: SipHash(key0: 1, key1: 2),
                    wall: { UInt64(Int64($0 / 1_000_000) + offset * 1_000) })
            }
            let start = Clock.wallSeconds() * 1_000 / Self.window * Self.window
            /// A request, as a host decides on it that asks each time, says what it knows, and goes by what it has heard.
            func ask(_ key: String, _ table: LimitTable, at moment: UInt64) throws -> Bool {
                let known = table.known(1, quota, now: moment * 1_000_000)
                let call = RemoteCall(
                    name: Array(key.utf8), fingerprint: 1, quota: quota, floor: known.amount, floorStart: known.start,
                    standIns: table.standIns)
                let reply = try server.run(LimitScript.arguments(deciding: [call]), at: moment * 1_000)
                let decision = try #require(LimitScript.decisions(reply, of: [call])?.first, "\(reply)")
                table.learn(1, quota, decision, standIns: call.standIns, now: moment * 1_000_000)
                return decision.isAllowed
            }
            let (right, off) = (try host(0), try host(seconds))
            for step in 0..<300 {
                let moment = start + UInt64(step) * 137
                let (here, there) = (try ask("\(name)-here", right, at: moment), try ask("\(name)-there", off, at: moment))
                #expect(here == there, "\(name) \(step)")
            }
        }
    }

    /// A server that has never seen a charge, because another took its place or it lost its data, gives nothing for having it taken back.
    @Test func whatIsTakenBackOfAServerThatNeverHadItIsWorthNothing() throws {
        let server = try ScriptServer()
        let now = Clock.wallSeconds() * 1_000_000 / 10_000_000 * 10_000_000
        let held = Windows.concurrent(Self.burst)
        let quotas =
            Self.quotas() + [("concurrent", Quota(count: Self.burst, window: .milliseconds(held.length), windows: held))]
        for (name, quota) in quotas {
            for usedAfterwards in [UInt64(0), 3] {
                let key = Array("\(name)-\(usedAfterwards)".utf8)
                func ask() throws -> (RemoteCall, GCRA.Decision) {
                    let call = RemoteCall(name: key, fingerprint: 1, quota: quota)
                    let reply = try server.run(LimitScript.arguments(deciding: [call]), at: now)
                    return (call, try #require(LimitScript.decisions(reply, of: [call])?.first, "\(reply)"))
                }
                let charges = try (0..<4).map { _ in try ask() }
                #expect(charges.allSatisfy { $0.1.isAllowed })
                #expect(try server.command(["FLUSHALL"]) == .status("OK"))
                for _ in 0..<usedAfterwards { #expect(try ask().1.isAllowed) }
                for (call, decision) in charges {
                    _ = try server.run(LimitScript.arguments([.refund([RemoteRefund(call: call, charge: decision.charge)])]), at: now)
                }
                let left = try (0..<30).count { _ in try ask().1.isAllowed }
                // All charges were lost, so of those that came afterwards at most as many are given back as were taken back.
                #expect(left >= Int(Self.burst - usedAfterwards) && left <= Int(Self.burst), "\(name): \(left) after \(usedAfterwards)")
            }
        }
    }

    /// A full server that gives up keys by their time gives up those that are nearly whole, not those that are used up.
    @Test func whatIsUsedUpIsEvictedLast() throws {
        let server = try ScriptServer()
        let quota = Quota(count: 5, window: .seconds(3_600))
        let now = Clock.wallSeconds() * 1_000_000
        for key in 0..<100 { for _ in 0..<5 { #expect(try server.ask("used-\(key)", quota, at: now).isAllowed) } }
        guard case .string(let bytes) = try server.command(["INFO", "memory"]) else { throw ScriptServer.Failure() }
        let used = String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isNewline).first { $0.hasPrefix("used_memory:") }
        let most = try #require(used.flatMap { Int($0.dropFirst("used_memory:".count)) }) + 400_000
        for words in [["maxmemory-policy", "volatile-ttl"], ["maxmemory", "\(most)"]] {
            #expect(try server.command(["CONFIG", "SET"] + words) == .status("OK"))
        }
        for key in 0..<10_000 { _ = try server.ask("fresh-\(key)", quota, at: now) }
        guard case .string(let stats) = try server.command(["INFO", "stats"]) else { throw ScriptServer.Failure() }
        #expect(!String(decoding: stats, as: UTF8.self).contains("evicted_keys:0\r"))
        let kept = try (0..<100).count { try server.command(["EXISTS", "used-\($0)"]) == .integer(1) }
        #expect(kept >= 95, "\(kept) of 100")
    }
}
