import RateLimiting
import System
import Testing
import Time

@testable import Redis

/// Values in Redis that no gateway has written, or another one: each costs its own key one quota at most.
@Suite struct WrongValuesTests {
    /// A value of another algorithm is none that anybody owes; one that is no value at all counts as used up, for its own window.
    @Test func readsValuesOfOthers() throws {
        let server = try ScriptServer()
        let now = Clock.wallSeconds() * 1_000_000
        let window = Quota(count: 3, window: .seconds(10), windows: Windows(.fixed, count: 3, length: 10_000))
        let plain = Quota(count: 3, window: .seconds(10))
        func ask(_ name: String, _ quota: Quota) throws -> GCRA.Decision { try server.ask(name, quota, at: now) }
        #expect(try ask("a", plain).remaining == 2)
        #expect(try ask("a", window).remaining == 2)
        #expect(try ask("a", window).remaining == 1)
        #expect(try ask("a", plain).remaining == 2)
        for value in ["w", "w 1 2", "w x 1 1", "w -1 1 1", "w 1e9 1 1", "x", "", "w 1 2 3 4"] {
            try server.set("b", value)
            #expect(try ask("b", window).isAllowed == false, "\(value)")
        }
        // Numbers that are too large to be counted on, in this window and in the one before.
        let start = now / 10_000_000 * 10_000
        for value in [
            "w \(start) 99999999999999999999 0", "w \(start) 0 99999999999999999999", "w \(start - 10_000) 99999999999999999999 1",
        ] {
            for quota in [window, Quota(count: 3, window: .seconds(10), windows: Windows(.sliding, count: 3, length: 10_000))] {
                try server.set("c", value)
                #expect(try ask("c", quota).isAllowed == false, "\(value)")
            }
        }
        // A window far ahead, because a clock was changed: what was counted there counts in the present one, which ends.
        let far = start + 3_600_000
        let kinds: [Windows.Kind] = [.fixed, .sliding, .concurrent]
        for kind in kinds {
            let length: UInt64 = kind == .concurrent ? Windows.concurrent(3).length : 10_000
            let quota = Quota(count: 3, window: .milliseconds(length), windows: Windows(kind, count: 3, length: length))
            let later = now + 2 * length * 1_000
            try server.set("f", "w \(far) 3 3")
            #expect(try !server.ask("f", quota, at: now).isAllowed, "\(kind)")
            #expect(try server.ask("f", quota, at: later).isAllowed, "\(kind)")
        }
        // Of another window: nothing is owed.
        try server.set("d", "w 1 3 3")
        #expect(try ask("d", window).remaining == 2)
    }

    /// One number of a rate's value that is none, or that no gateway writes, refuses for what is left of one quota, and is mended by that question.
    @Test func oneWrongNumberOfARateIsMended() throws {
        let server = try ScriptServer()
        let quota = Quota(count: 20, window: .seconds(2))
        let start = Clock.wallSeconds() * 1_000_000
        func ask(at moment: UInt64) throws -> GCRA.Decision { try server.ask("k", quota, at: moment) }
        let (hour, century) = (start + 3_600_000_000, start + 100 * 31_536_000_000_000)
        let right = ["\(start).000", "100000.000", "0.000", "2000000.000"]
        var values: [[String]] = []
        for place in right.indices {
            for wrong in ["inf", "nan", "1e300", "-1", "9223372036854775808", "0x", ""] {
                var value = right
                value[place] = wrong
                values.append(value)
            }
        }
        for far in [hour, century] {
            values.append(["\(far).000", right[1], right[2], right[3]])
            values.append(["\(far).000", right[1], right[2], "9000000000000000"])
            values.append(["\(far).000", "0.001", "9000000000000000", right[3]])
        }
        values.append([right[0], "0", right[2], right[3]])
        values.append(["\(century).000", "9000000000000000", right[2], "86486400000001"])
        for value in values {
            try server.set("k", value.joined(separator: " "))
            let refused = try ask(at: start)
            #expect(!refused.isAllowed && refused.retryAfter <= .seconds(2), "\(value): \(refused)")
            // What it was refused for is over: as any other key.
            #expect(try ask(at: start + 2_100_000).isAllowed, "\(value)")
            #expect(try ask(at: start + 6_000_000).remaining == 19, "\(value)")
        }
    }

    /// What is taken back of a key that was counted at another rate meanwhile leaves that count as it is, and no number is too large to be written.
    @Test func whatIsTakenBackOfAnotherPlanChangesNoRate() throws {
        let server = try ScriptServer()
        let now = Clock.wallSeconds() * 1_000_000
        let (free, gold) = (Quota(count: 1, window: .seconds(30 * 86_400)), Quota(count: 1_000, window: .seconds(3_600)))
        func call(_ quota: Quota) -> RemoteCall { RemoteCall(name: Array("k".utf8), fingerprint: 1, quota: quota) }
        func refund(_ quota: Quota, _ charge: GCRA.Charge) throws -> RedisReply {
            try server.run(LimitScript.arguments([.refund([RemoteRefund(call: call(quota), charge: charge)])]), at: now)
        }
        let first = try server.ask("k", free, at: now)
        #expect(first.isAllowed)
        for _ in 0..<40 { #expect(try server.ask("k", gold, at: now).isAllowed) }
        _ = try refund(free, first.charge)
        // Of 41 that were counted one was taken back.
        #expect(try server.ask("k", gold, at: now).remaining == 1_000 - 41)
        // All that two plans have charged comes back.
        let (slow, quick) = (Quota(count: 6, window: .seconds(60), burst: 20), Quota(count: 60, window: .seconds(60), burst: 200))
        for (one, other) in [(slow, quick), (quick, slow)] {
            #expect(try server.command(["DEL", "k"]) == .integer(1))
            let first = try server.ask("k", one, at: now).charge
            let others = try (0..<5).map { _ in try server.ask("k", other, at: now).charge }
            _ = try refund(one, first)
            for charge in others { _ = try refund(other, charge) }
            #expect(try server.ask("k", quick, at: now).remaining >= 198)
        }
        for value in ["\(now + 3_600_000_000).000 0.000000001 0.000 2000000.000", "\(now + 1_000_000).000 1e-300 0.000 86486400000000.000"]
        {
            try server.set("k", value)
            let reply = try refund(free, first.charge)
            guard case .array = reply else {
                Issue.record("\(value): \(reply)")
                continue
            }
            guard case .integer(let left) = try server.command(["PTTL", "k"]) else { throw ScriptServer.Failure() }
            #expect(left > 0 && left <= 86_486_400_000)
        }
    }

    /// A server that may not be read is not well; its values are not wrong ones.
    @Test func aRightThatIsMissingIsNoWrongValue() throws {
        let server = try ScriptServer()
        let quota = Quota(count: 3, window: .seconds(10))
        #expect(try server.command(["ACL", "SETUSER", "default", "-get"]) == .status("OK"))
        let call = RemoteCall(name: Array("k".utf8), fingerprint: 1, quota: quota)
        let reply = try server.run(LimitScript.arguments(deciding: [call]), at: Clock.wallSeconds() * 1_000_000)
        guard case .error(let text) = reply else {
            Issue.record("\(reply)")
            return
        }
        #expect(text.contains("permission") || text.contains("NOPERM") || text.contains("can't run"), "\(text)")
    }

    /// A lock's numbers that no gateway writes: the key is locked for no longer than a lock lasts, and Redis does not count to them.
    @Test func wrongNumbersOfALockAreBounded() throws {
        let server = try ScriptServer()
        let lockout = Lockout(
            failures: 3, window: 300, statuses: [401], resetStatuses: [], first: 60, growth: 2, most: 3_600, forgetAfter: 86_400)
        let quota = Quota(count: 3, window: .seconds(300), lockout: lockout)
        let now = Clock.wallSeconds()
        func ask(at second: UInt64) throws -> GCRA.Decision { try server.ask("k", quota, at: second * 1_000_000) }
        let large = "9000000000000000"
        for value in [
            "l \(now + 60) 1 999 0 0", "l \(now + 60) 1 \(large) 0 0", "l \(large) 1 3 0 0", "l \(now + 60) 7 3 0 0",
            "l \(large) \(large) \(large) \(large) \(large)", "l \(now) 0 0 3 0", "l \(large) 0 0 \(large) 0", "l x", "l 1 2 3", "",
        ] {
            try server.set("k", value)
            let refused = try ask(at: now)
            #expect(!refused.isAllowed && refused.retryAfter <= .seconds(3_600) && refused.level ?? 0 <= 127, "\(value): \(refused)")
            #expect(try ask(at: now + 3_601).isAllowed, "\(value)")
        }
        // The last failure of one that was locked very often.
        for level in ["128", "1000000000", large] {
            try server.set("k", "l \(now) 0 \(level) 3 2")
            let attempt = RemoteRefund(
                call: RemoteCall(name: Array("k".utf8), fingerprint: 1, quota: quota),
                charge: GCRA.Charge(end: Lockout.Outcome.failed.rawValue, refundedBefore: 0))
            _ = try server.run(LimitScript.arguments([.refund([attempt])]), at: now * 1_000_000)
            #expect(try ask(at: now).retryAfter == .seconds(3_600), "\(level)")
            #expect(try ask(at: now).level == 127)
        }
    }
}
