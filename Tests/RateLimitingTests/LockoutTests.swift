import Bytes
import ConfigFile
import System
import TestSupport
import Testing
import Time

@testable import RateLimiting

@Suite struct LockoutTests {
    private static func lockout(_ text: String) throws -> Lockout {
        let diagnostics = Diagnostics()
        let parsed = Parser(files: MemoryFiles(["test": text]), environment: [:], diagnostics: diagnostics).parse("test")
        let first = try #require(parsed.first)
        return try #require(Lockout(first, diagnostics), "\(diagnostics.messages)")
    }

    private func table() throws -> LimitTable {
        let words = LimitTable.words(forKeys: 64)
        return LimitTable(
            try SharedMemory(words: words), firstWord: 0, words: words, hash: SipHash(key0: 1, key1: 2), wall: { $0 / 1_000_000 })
    }

    /// What docs/limits.md says, with lists of all that has happened.
    private struct PlainModel {
        let lockout: Lockout
        var lockedUntil: UInt64 = 0
        var locks = 0
        var lastTouched: UInt64 = 0
        var countedSince: UInt64 = 0
        var underWay = 0
        var failures = 0

        mutating func advance(to now: UInt64) {
            if lockedUntil > now { return }
            if lockedUntil > lastTouched { lastTouched = lockedUntil }
            if now - min(now, max(countedSince, lockedUntil)) >= lockout.window { (underWay, failures) = (0, 0) }
            if now - min(now, max(countedSince, lockedUntil)) >= lockout.forgetAfter { locks = 0 }
        }

        mutating func attempt(at now: UInt64) -> Bool {
            advance(to: now)
            guard lockedUntil <= now, underWay + failures < Int(lockout.failures) else { return false }
            if underWay + failures == 0 { countedSince = now }
            underWay += 1
            return true
        }

        mutating func ended(_ outcome: Lockout.Outcome, at now: UInt64) {
            advance(to: now)
            guard lockedUntil <= now else { return }
            let wasForgotten = underWay == 0
            if !wasForgotten { underWay -= 1 }
            switch outcome {
            case .passed: break
            case .reset: (failures, locks) = (0, 0)
            case .failed:
                if wasForgotten, failures == 0 { countedSince = now }
                failures += 1
                guard failures >= Int(lockout.failures) else { return }
                var length = lockout.first
                for _ in 0..<locks { length = min(lockout.most, length * lockout.growth) }
                lockedUntil = now + min(length, lockout.most)
                locks += 1
                (failures, underWay) = (0, 0)
            }
        }
    }

    @Test func locksAsThePlainModel() throws {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<80 {
            let lockout = try Self.lockout(
                "lockout \(Int.random(in: 1...4, using: &random))/60s { status 401; for 30s; grow \(Int.random(in: 1...3, using: &random)); until 5m; forget 10m; reset_status 200; }"
            )
            let quota = Quota(count: lockout.failures, window: .seconds(lockout.window), lockout: lockout)
            let table = try table()
            var model = PlainModel(lockout: lockout)
            var now: UInt64 = 1_772_400_000
            var underWay = 0
            for _ in 0..<400 {
                now +=
                    Int.random(in: 0..<12, using: &random) == 0
                    ? UInt64.random(in: 0...700, using: &random) : UInt64.random(in: 0...8, using: &random)
                let nanoseconds = now * 1_000_000_000
                if underWay > 0, Int.random(in: 0..<3, using: &random) > 0 {
                    underWay -= 1
                    let outcome = [Lockout.Outcome.passed, .failed, .failed, .failed, .failed, .reset].randomElement(using: &random)!
                    table.end(1, quota, outcome, now: nanoseconds)
                    model.ended(outcome, at: now)
                } else {
                    let decision = table.admit(1, quota, now: nanoseconds)
                    #expect(decision.isAllowed == model.attempt(at: now), "\(lockout.text) at \(now)")
                    if decision.isAllowed { underWay += 1 }
                    if model.lockedUntil > now {
                        #expect(decision.retryAfter == .seconds(model.lockedUntil - now))
                        #expect(table.refusal(1, quota, now: nanoseconds)?.retryAfter == decision.retryAfter)
                        // Whatever was under way belongs to the time before the lock.
                        underWay = 0
                    } else {
                        #expect(table.refusal(1, quota, now: nanoseconds) == nil)
                    }
                }
            }
        }
    }

    /// A clock that is set back makes no lock longer than any; a count that is changed in the file opens none; and a store that lets somebody in has opened it.
    @Test func locksEndAndHold() throws {
        let lockout = try Self.lockout("lockout 3/5m { status 401; for 1m; until 1h; }")
        let quota = Quota(count: 3, window: .seconds(300), lockout: lockout)
        let table = try table()
        let now: UInt64 = 1_772_400_000 * 1_000_000_000
        for _ in 0..<3 {
            #expect(table.admit(1, quota, now: now).isAllowed)
            table.end(1, quota, .failed, now: now)
        }
        #expect(table.admit(1, quota, now: now).retryAfter == .seconds(60))
        let monthBefore = now - 30 * 86_400 * 1_000_000_000
        #expect(table.admit(1, quota, now: monthBefore).retryAfter <= .seconds(3_600))
        #expect(table.admit(1, quota, now: monthBefore + 3_601 * 1_000_000_000).isAllowed)
        for _ in 0..<3 {
            _ = table.admit(2, quota, now: now)
            table.end(2, quota, .failed, now: now)
        }
        let other = Quota(
            count: 4, window: .seconds(300), lockout: try Self.lockout("lockout 4/5m { status 401; for 1m; until 1h; }"))
        #expect(!table.admit(2, other, now: now).isAllowed && !table.admit(2, quota, now: now).isAllowed)
        table.learn(2, quota, lockout.allowed(charged: 1, since: 0, at: 1), standIns: table.standIns, now: now)
        #expect(table.refusal(2, quota, now: now) == nil)
    }

    @Test func locksGrowToTheirEnd() throws {
        let lockout = try Self.lockout("lockout 5/5m { status 401 403; for 1m; grow 2; until 24h; }")
        #expect(
            (0..<13).map { lockout.length(level: $0) } == [
                60, 120, 240, 480, 960, 1_920, 3_840, 7_680, 15_360, 30_720, 61_440, 86_400, 86_400,
            ])
        #expect(lockout.length(level: .max) == 86_400)
        let flat = try Self.lockout("lockout 5/5m { status 401; for 1m; grow 1; }")
        #expect(flat.length(level: 50) == 60)
        let steep = try Self.lockout("lockout 5/5m { status 401; for 300d; grow 1000; until 366d; }")
        #expect(steep.length(level: 100) == 366 * 86_400)
    }

    /// A store's lock holds here, no longer than any; and a key of eight that is locked gives way to nobody.
    @Test func aLockThatAStoreTellsHolds() throws {
        let lockout = try Self.lockout("lockout 2/1m { status 401; for 1m; until 10m; }")
        let quota = Quota(count: 2, window: .seconds(60), lockout: lockout)
        let words = LimitTable.words(forKeys: 8)
        let table = LimitTable(
            try SharedMemory(words: words), firstWord: 0, words: words, hash: SipHash(key0: 1, key1: 2), wall: { $0 / 1_000_000 })
        let now: UInt64 = 1_772_400_000 * 1_000_000_000
        var said = lockout.refused(for: 100_000)
        said.level = 3
        table.learn(1, quota, said, standIns: 0, now: now)
        #expect(table.known(1, quota, now: now) == (600, 3))
        for key in 2..<5_000 { _ = table.admit(UInt64(key), Quota(count: 1_000, window: .seconds(3_600)), now: now) }
        #expect(table.admit(1, quota, now: now).retryAfter == .seconds(600))
        // A limit of another kind finds nothing that it understands.
        #expect(table.admit(1, Quota(count: 2, window: .seconds(60)), now: now).isAllowed)
    }

    @Test(arguments: [
        "lockout 5/5m;", "lockout 5/5m { }", "lockout 5 { status 401; }", "lockout 5000/5m { status 401; }",
        "lockout 5/10ms { status 401; }",
        "lockout 5/5m { status 99; }", "lockout 5/5m { status 401; for 0s; }", "lockout 5/5m { status 401; for 1h; until 1m; }",
        "lockout 5/5m { status 401; grow 0; }", "lockout 5/5m { status 401; reset_status 401; }", "lockout 5/5m { status 401; what 3; }",
    ])
    func wrongLockoutsAreTold(_ text: String) throws {
        let diagnostics = Diagnostics()
        let parsed = Parser(files: MemoryFiles(["test": text]), environment: [:], diagnostics: diagnostics).parse("test")
        let first = try #require(parsed.first)
        #expect(Lockout(first, diagnostics) == nil && !diagnostics.isEmpty)
    }
}
