import Time
import Bytes
import System
@testable import RateLimiting
import Testing

private let second: UInt64 = 1_000_000_000

@Suite struct QuotaTests {
    @Test func letsABurstThroughAndThenTheRate() {
        let quota = Quota(count: 10, window: .seconds(10), burst: 3)
        var arrival: UInt64 = 0
        let start = 1_000 * second
        func ask(_ now: UInt64) -> GCRA.Decision {
            let decision = quota.gcra.decide(arrival: arrival, now: now)
            arrival = decision.arrival
            return decision
        }
        #expect((0..<3).map { _ in ask(start).remaining } == [2, 1, 0])
        let refused = ask(start)
        #expect(!refused.isAllowed)
        #expect(refused.retryAfter == .seconds(1))
        #expect(refused.resetAfter == .seconds(3))
        // Nothing is left: there is more when the next may come. Where something is, when there is one more.
        #expect(quota.gcra.nextAfter(ahead: 3 * second) == refused.retryAfter)
        #expect(quota.gcra.nextAfter(ahead: second + 400_000_000) == .milliseconds(400))
        #expect(quota.gcra.nextAfter(ahead: 0) == .seconds(1))
        #expect(!ask(start + second - 1).isAllowed)
        #expect(ask(start + second).isAllowed)
        #expect(!ask(start + second).isAllowed)
        #expect((0..<3).map { _ in ask(start + 100 * second).isAllowed } == [true, true, true])
    }

    @Test func neverLetsMoreThroughThanRateAndBurst() {
        let quota = Quota(count: 50, window: .seconds(1), burst: 10)
        var arrival: UInt64 = 0
        var allowed = 0
        for tick in 0..<10_000 {
            let decision = quota.gcra.decide(arrival: arrival, now: second + UInt64(tick) * 1_000_000)
            arrival = decision.arrival
            if decision.isAllowed { allowed += 1 }
        }
        #expect((500...510).contains(allowed))
    }

    /// In no stretch of time more than the burst and what the rate gives meanwhile, wherever it begins and whatever came before.
    @Test func noWindowHasMoreThanBurstAndRate() {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<40 {
            let (count, burst) = (UInt64.random(in: 1...20, using: &random), UInt64.random(in: 1...30, using: &random))
            let quota = Quota(count: count, window: .seconds(10), burst: burst)
            var (now, arrival) = (1_000 * second, UInt64(0))
            var granted: [UInt64] = []
            for _ in 0..<600 {
                // Now and then a long pause; otherwise far more than there may be.
                now += UInt64.random(in: 0...(Int.random(in: 0..<50, using: &random) == 0 ? 40 * second : second / 4), using: &random)
                let decision = quota.gcra.decide(arrival: arrival, now: now)
                arrival = decision.arrival
                if decision.isAllowed { granted.append(now) }
            }
            for first in granted.indices {
                for last in first..<min(granted.count, first + 80) {
                    let gained = (granted[last] - granted[first]) / quota.gcra.cost
                    #expect(UInt64(last - first + 1) <= burst + gained, "\(count)/10s burst \(burst)")
                }
            }
        }
    }

    @Test(arguments: [UInt64(0), 1, .max / 2, .max - 1, .max]) func extremesDoNotTrap(_ value: UInt64) {
        for quota in [
            Quota(count: 1, window: .seconds(31 * 86_400)), Quota(count: 1_000_000_000, window: Nanoseconds(1)),
            Quota(count: 1_000_000_000, window: .seconds(31 * 86_400), burst: 1_000_000_000),
        ] {
            _ = quota.gcra.decide(arrival: value, now: value / 3)
            _ = quota.gcra.decide(arrival: 0, now: value)
            _ = quota.gcra.nextAfter(ahead: value)
        }
    }
}

@Suite struct RefundTests {
    /// The charges of a key as they are, one behind the other, each worn off in its turn.
    private struct Model {
        var charges: [(id: Int, left: UInt64)] = []
        var now: UInt64
        var backlog: UInt64 { charges.reduce(0) { $0 + $1.left } }

        mutating func pass(to moment: UInt64) {
            var elapsed = moment - now
            now = moment
            while elapsed > 0, let first = charges.first {
                let worn = min(elapsed, first.left)
                elapsed -= worn
                charges[0].left -= worn
                if charges[0].left == 0 { charges.removeFirst() }
            }
        }

        mutating func refund(_ id: Int) -> UInt64 {
            guard let index = charges.firstIndex(where: { $0.id == id }) else { return 0 }
            return charges.remove(at: index).left
        }
    }

    /// Never more is taken back than is left, in whatever order and however late; and all of it where charges are taken back in turn.
    @Test func takesBackNoMoreThanIsLeft() throws {
        var random = SystemRandomNumberGenerator()
        for trace in 0..<400 {
            let quota = Quota(count: UInt64.random(in: 1...20, using: &random), window: .seconds(100))
            let words = LimitTable.words(forKeys: 8)
            let table = LimitTable(try SharedMemory(words: words), firstWord: 0, words: words, hash: SipHash(key0: 1, key1: 2))
            var model = Model(now: 1_000 * second)
            var open: [(id: Int, charge: GCRA.Charge)] = []
            let isInTurn = trace % 2 == 0
            for id in 0..<200 {
                model.pass(to: model.now + (Bool.random(using: &random) ? 0 : UInt64.random(in: 0...(30 * second), using: &random)))
                let decision = table.admit(7, quota, now: model.now)
                // The model allows what the table allows, and may have room for more.
                let hasRoom = model.backlog + quota.gcra.cost <= quota.gcra.tolerance
                if isInTurn { #expect(decision.isAllowed == hasRoom) } else if decision.isAllowed { #expect(hasRoom) }
                if decision.isAllowed {
                    model.charges.append((id, quota.gcra.cost))
                    open.append((id, decision.charge))
                }
                guard Bool.random(using: &random), !open.isEmpty else { continue }
                let index = isInTurn ? 0 : Int.random(in: 0..<open.count, using: &random)
                let refunded = open.remove(at: index)
                table.refund(7, quota, refunded.charge, now: model.now)
                _ = model.refund(refunded.id)
            }
        }
    }

    /// Twenty requests are held open, let wear off, and taken back one after each guess.
    @Test func refundsThatAreSavedUpAreWorthNothing() throws {
        let quota = Quota(count: 5, window: .seconds(300))
        let words = LimitTable.words(forKeys: 8)
        let table = LimitTable(try SharedMemory(words: words), firstWord: 0, words: words, hash: SipHash(key0: 1, key1: 2))
        var held: [GCRA.Charge] = []
        var now = 1_000 * second
        for _ in 0..<4 {
            for _ in 0..<5 { held.append(table.admit(7, quota, now: now).charge) }
            now += 300 * second
        }
        var guesses = 0
        for charge in held {
            if table.admit(7, quota, now: now).isAllowed { guesses += 1 }
            table.refund(7, quota, charge, now: now)
        }
        while table.admit(7, quota, now: now).isAllowed { guesses += 1 }
        #expect(guesses == 5)
    }
}

@Suite struct LimitTableTests {
    private func table(keys: Int) throws -> LimitTable {
        let words = LimitTable.words(forKeys: keys)
        return LimitTable(try SharedMemory(words: words + 4), firstWord: 4, words: words, hash: SipHash(key0: 1, key1: 2))
    }

    @Test func countsEachKeyByItself() throws {
        let table = try table(keys: 64)
        let quota = Quota(count: 2, window: .seconds(100))
        for key in UInt64(1)...20 {
            #expect((0..<2).map { _ in table.admit(key, quota, now: 1_000 * second).isAllowed } == [true, true])
            let refused = table.admit(key, quota, now: 1_000 * second)
            #expect(!refused.isAllowed)
        }
        let now = 2_000 * second
        _ = table.admit(5, quota, now: now)
        let charge = table.admit(5, quota, now: now).charge
        #expect(!table.admit(5, quota, now: now).isAllowed)
        table.refund(5, quota, charge, now: now)
        #expect(table.admit(5, quota, now: now).isAllowed)
        #expect(!table.admit(5, quota, now: now).isAllowed)
    }

    @Test func aFullTableGivesUpWhatIsLeastUsefulAndCountsIt() throws {
        let table = try table(keys: 8)
        let quota = Quota(count: 10, window: .seconds(10))
        let now = 1_000 * second
        // One key has used much of its quota, the others little.
        for _ in 0..<10 { _ = table.admit(1, quota, now: now) }
        for key in UInt64(2)...8 { _ = table.admit(key, quota, now: now) }
        #expect(table.evictions == 0)
        for key in UInt64(100)...150 { _ = table.admit(key, quota, now: now) }
        #expect(table.evictions == 51)
        #expect(!table.admit(1, quota, now: now).isAllowed)
        // A key whose quota is whole again is no loss.
        let before = table.evictions
        for key in UInt64(200)...207 { _ = table.admit(key, quota, now: now + 1_000 * second) }
        #expect(table.evictions == before)
    }

    /// Whatever other keys and limits do to a set, a key whose quota is exhausted stays so; fresh keys that find no place share one quota.
    @Test func anExhaustedKeyNeverGivesWay() throws {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<60 {
            let table = try table(keys: 8)
            let now = 1_000 * second
            let quotas = [
                Quota(count: 5, window: .seconds(300)), Quota(count: 100, window: .seconds(60)),
                Quota(count: 1, window: .seconds(1)), Quota(count: 1_000, window: .seconds(1)),
            ]
            var exhausted: [(key: UInt64, quota: Quota)] = []
            for key in UInt64(1)...400 {
                let quota = quotas.randomElement(using: &random) ?? quotas[0]
                let own = table.admit(key, quota, now: now)
                if own.isAllowed, exhausted.count < 7, Bool.random(using: &random) {
                    while table.admit(key, quota, now: now).isAllowed {}
                    exhausted.append((key, quota))
                }
                for known in exhausted { #expect(!table.admit(known.key, known.quota, now: now).isAllowed) }
            }
        }
    }

    @Test func keysThatFindNoPlaceShareOneQuota() throws {
        let table = try table(keys: 8)
        let (now, quota) = (1_000 * second, Quota(count: 5, window: .seconds(300)))
        for key in UInt64(1)...8 { while table.admit(key, quota, now: now).isAllowed {} }
        #expect(table.crowded == 0)
        let allowed = (UInt64(100)..<1_000).count { table.admit($0, quota, now: now).isAllowed }
        #expect(allowed == 5)
        #expect(table.crowded == 900)
    }

    /// A lock whose holder died, or wrote nonsense, holds nobody up.
    @Test(arguments: [UInt64(1), .max, .max / 2]) func aLockThatIsNeverGivenBackIsOverruled(stamp: UInt64) throws {
        let words = LimitTable.words(forKeys: 8)
        let memory = try SharedMemory(words: words)
        let table = LimitTable(memory, firstWord: 0, words: words, hash: SipHash(key0: 1, key1: 2))
        memory.store(8, stamp)
        #expect(table.admit(5, Quota(count: 1, window: .seconds(1)), now: 1_000 * second).isAllowed)
        #expect(!table.admit(5, Quota(count: 1, window: .seconds(1)), now: 1_000 * second).isAllowed)
    }

    @Test func isExactWhenManyAskAtOnce() async throws {
        let words = LimitTable.words(forKeys: 1_024)
        let memory = try SharedMemory(words: words)
        let shared = Shared(LimitTable(memory, firstWord: 0, words: words, hash: SipHash(key0: 3, key1: 4)))
        let quota = Quota(count: 1_000, window: .seconds(86_400))
        let allowed = await withTaskGroup(of: Int.self) { group in
            for _ in 0..<4 {
                group.addTask { (0..<2_000).count { _ in shared.table.admit(42, quota, now: 5_000 * second).isAllowed } }
            }
            return await group.reduce(0, +)
        }
        #expect(allowed == 1_000)
    }

    private struct Shared: @unchecked Sendable {
        let table: LimitTable
        init(_ table: LimitTable) { self.table = table }
    }
}
