import Bytes
import ConfigFile
import System
import TestSockets
import TestSupport
import Testing
import Time

@testable import RateLimiting
@testable import Redis

/// What several requests ask in one turn goes out as one call, and each of them is told what it would have been told by itself.
@Suite struct WorkTests {
    private static func call(_ key: UInt64, _ quota: Quota, _ trace: Int = 0) -> RemoteCall {
        RemoteCall(name: Array("many:\(trace):\(key)".utf8), fingerprint: key, quota: quota)
    }

    @Test func decidesOnManyAsOnOneAfterTheOther() throws {
        let server = try ScriptServer()
        var random = SystemRandomNumberGenerator()
        for trace in 0..<60 {
            let count = UInt64.random(in: 1...9, using: &random)
            let windows: Windows? = trace % 3 == 2 ? Windows(.fixed, count: count, length: 10_000) : nil
            let quota = Quota(count: count, window: .seconds(10), windows: windows)
            let words = LimitTable.words(forKeys: 64)
            let table = LimitTable(
                try SharedMemory(words: words), firstWord: 0, words: words, hash: SipHash(key0: 1, key1: 2), wall: { $0 / 1_000_000 })
            var now = Clock.wallSeconds() * 1_000
            for _ in 0..<20 {
                now += UInt64.random(in: 0...6_000, using: &random)
                var works: [LimitWork] = []
                var expected: [[GCRA.Decision]] = []
                let receivers = (0..<Int.random(in: 1...14, using: &random)).map { _ in KeptDecision() }
                for receiver in receivers {
                    let keys = Bool.random(using: &random) ? [UInt64.random(in: 1...3, using: &random)] : [1, 2]
                    works.append(.decision(receiver, calls: keys.map { Self.call($0, quota, trace) }))
                }
                let calls = LimitWork.calls(of: works, isOneServer: true)
                #expect(calls.count == 1)
                // As they were put together, one after the other, in memory.
                for work in calls[0] {
                    switch work {
                    case .decision(_, let calls):
                        let before = calls.map { table.look($0.fingerprint, quota, now: now * 1_000_000) }
                        if before.allSatisfy({ $0.remaining > 0 }) {
                            expected.append(calls.map { table.admit($0.fingerprint, quota, now: now * 1_000_000) })
                        } else {
                            expected.append(before)
                        }
                    case .shared(let receivers, let call):
                        for _ in receivers { expected.append([table.admit(call.fingerprint, quota, now: now * 1_000_000)]) }
                    case .refund, .probe: Issue.record("nobody asked for that")
                    }
                }
                let reply = try server.run(LimitScript.arguments(calls[0]), at: now * 1_000)
                var replies = [reply]
                if calls[0].count > 1, case .array(let all) = reply { replies = all }
                try #require(replies.count == calls[0].count)
                let said = try zip(calls[0], replies).flatMap { try #require($0.decisions($1), "\($1)") }
                try #require(said.count == expected.count)
                for (said, here) in zip(said, expected) {
                    // Where one of two limits refuses, what it says of the other one is what was left.
                    let isRefused = here.contains { $0.remaining == 0 && $0.retryAfter > .zero }
                    if here.count == 1 {
                        #expect(said[0].isAllowed == here[0].isAllowed, "\(quota) \(said) \(here)")
                        #expect(said[0].remaining == here[0].remaining, "\(quota) \(said) \(here)")
                        #expect(said[0].retryAfter.milliseconds.distance(to: here[0].retryAfter.milliseconds).magnitude <= 1)
                        #expect(said[0].resetAfter.milliseconds.distance(to: here[0].resetAfter.milliseconds).magnitude <= 1)
                    } else {
                        #expect(said.allSatisfy(\.isAllowed) == !isRefused, "\(quota) \(said) \(here)")
                        #expect(said.map(\.remaining) == here.map(\.remaining))
                    }
                }
            }
        }
    }

    /// What asks for the same is joined, in the order in which it came; a server is not kept longer than by 64 checks, and one of a cluster has one key at a time.
    @Test func joinsWhatAsksTheSame() {
        let (plain, other) = (Quota(count: 5, window: .seconds(10)), Quota(count: 6, window: .seconds(10)))
        let window = Quota(count: 5, window: .seconds(10), windows: Windows(.fixed, count: 5, length: 10_000))
        func works(_ calls: [[RemoteCall]]) -> [LimitWork] { calls.map { .decision(KeptDecision(), calls: $0) } }
        func shape(_ calls: [[LimitWork]]) -> [[Int]] { calls.map { $0.map(\.receivers.count) } }
        let (one, two) = (Self.call(1, plain), Self.call(2, plain))
        #expect(shape(LimitWork.calls(of: works([[one], [two], [one], [one], [two]]), isOneServer: true)) == [[3, 2]])
        #expect(shape(LimitWork.calls(of: works([[one], [two], [one]]), isOneServer: false)) == [[2], [1]])
        // Another plan's quota, windows, a request with two limits, and one that says what this host knows are by themselves.
        let told = RemoteCall(name: one.name, fingerprint: 1, quota: plain, floor: 7)
        let all = works([[one], [Self.call(1, other)], [Self.call(1, window)], [Self.call(1, window)], [one, two], [told], [one]])
        #expect(shape(LimitWork.calls(of: all, isOneServer: true)) == [[1, 1, 1, 1, 1, 1, 1]])
        let many = works((0..<100).map { [Self.call($0, plain), Self.call($0 + 1_000, plain)] })
        #expect(shape(LimitWork.calls(of: many, isOneServer: true)).map(\.count) == [32, 32, 32, 4])
    }

    /// Over a connection: one turn is one call, also where the server has lost the script meanwhile.
    @Test func oneTurnIsOneCall() throws {
        let server = try ScriptServer()
        let loop = try EventLoop()
        let diagnostics = Diagnostics()
        let files = MemoryFiles(["f": "redis main { address 127.0.0.1:\(server.port); timeout 20s; }"])
        let directive = try #require(Parser(files: files, environment: [:], diagnostics: diagnostics).parse("f").first)
        let settings = try #require(RedisSettings(directive, files: files, diagnostics), "\(diagnostics.messages)")
        let link = RedisLink(settings, to: settings.topology.addresses[0], title: "main", on: loop, metrics: nil)
        func turn(until condition: () -> Bool) -> Bool {
            eventually {
                loop.turn(waitingAtMost: 10)
                return condition()
            }
        }
        #expect(turn { link.isAvailable })
        func evaluations() throws -> Int {
            guard case .string(let bytes) = try server.command(["INFO", "commandstats"]) else { throw ScriptServer.Failure() }
            let line = String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isNewline).first { $0.hasPrefix("cmdstat_evalsha:") }
            return line.flatMap { Int($0.split(separator: ",")[0].split(separator: "=")[1]) } ?? 0
        }
        let quota = Quota(count: 5, window: .seconds(3_600))
        for isLost in [false, true] {
            if isLost { _ = try server.command(["SCRIPT", "FLUSH"]) }
            let before = try evaluations()
            let (hot, cold) = ((0..<7).map { _ in KeptDecision() }, (0..<3).map { _ in KeptDecision() })
            for receiver in hot { link.decide([Self.call(1, quota, isLost ? 1 : 0)], for: receiver) }
            for (key, receiver) in cold.enumerated() { link.decide([Self.call(UInt64(2 + key), quota, isLost ? 1 : 0)], for: receiver) }
            #expect(turn { (hot + cold).allSatisfy { !$0.told.isEmpty } })
            #expect(hot.map { $0.told[0]?[0].isAllowed } == [true, true, true, true, true, false, false])
            #expect(hot.map { $0.told[0]?[0].remaining } == [4, 3, 2, 1, 0, 0, 0])
            #expect(cold.allSatisfy { $0.told.count == 1 && $0.told[0]?[0].remaining == 4 })
            #expect(try evaluations() - before == (isLost ? 2 : 1))
            // Each may take back what is its own, and no more: two of five are there again.
            let refunds = hot.prefix(2).map { RemoteRefund(call: Self.call(1, quota, isLost ? 1 : 0), charge: $0.told[0]![0].charge) }
            for refund in refunds { link.refund([refund]) }
            let (next, last) = (KeptDecision(), KeptDecision())
            link.decide([Self.call(1, quota, isLost ? 1 : 0)], for: next)
            link.decide([Self.call(1, quota, isLost ? 1 : 0)], for: last)
            #expect(turn { !last.told.isEmpty })
            #expect(next.told[0]?[0].remaining == 1 && last.told[0]?[0].remaining == 0 && last.told[0]?[0].isAllowed == true)
        }
        link.end()
    }
}
