import Bytes
import ConfigFile
import System
import TestSupport
import Testing
import Time

@testable import RateLimiting

private let second: UInt64 = 1_000_000_000

/// Requests that count for several.
@Suite struct CostTests {
    private func table() throws -> LimitTable {
        let words = LimitTable.words(forKeys: 64)
        return LimitTable(
            try SharedMemory(words: words), firstWord: 0, words: words, hash: SipHash(key0: 1, key1: 2), wall: { $0 / 1_000_000 })
    }

    private static let quotas: [Quota] = [
        Quota(count: 10, window: .seconds(10), burst: 7),
        Quota(count: 7, window: .seconds(10), windows: Windows(.fixed, count: 7, length: 10_000)),
        Quota(count: 7, window: .seconds(10), windows: Windows(.sliding, count: 7, length: 10_000)),
    ]

    /// A request of five is let through where five of one would be, and leaves what they would leave; where one of them would be refused it pays nothing.
    @Test(arguments: quotas) func aRequestOfSeveralIsAllOrNone(quota: Quota) throws {
        var random = SystemRandomNumberGenerator()
        let several = try table()
        // A key that requests of one are counted with.
        var (arrival, counts) = (UInt64(0), Windows.Counts(start: 0))
        func one(_ now: UInt64) -> GCRA.Decision {
            if let windows = quota.windows { return windows.decide(&counts, at: now / 1_000_000) }
            let decision = quota.gcra.decide(arrival: arrival, now: now)
            arrival = decision.arrival
            return decision
        }
        var now = 1_772_400_000 * second
        for _ in 0..<2_000 {
            now += UInt64.random(in: 0...second, using: &random)
            let units = UInt64.random(in: 1...7, using: &random)
            let before = (arrival, counts)
            let passing = (0..<units).map { _ in one(now) }
            let decision = several.admit(1, quota, units: units, now: now)
            #expect(decision.isAllowed == passing.allSatisfy(\.isAllowed))
            if decision.isAllowed {
                #expect(decision.remaining == passing.last?.remaining && decision.granted == units)
                continue
            }
            (arrival, counts) = before
            // The wait that is told is the one that is needed.
            let wait = decision.retryAfter.count
            #expect(several.refusal(1, quota, units: units, now: now + wait) == nil)
            #expect(wait <= 1_000_000 || several.refusal(1, quota, units: units, now: now + wait - 1_000_000) != nil)
        }
    }

    /// All of a charge is taken back, and what a response adds uses up no more than there is.
    @Test(arguments: quotas) func chargesAreTakenBackWholeAndAdded(quota: Quota) throws {
        let table = try table()
        let now = 1_772_400_000 * second
        let charge = table.admit(1, quota, units: 6, now: now).charge
        #expect(charge.units == 6 && table.refusal(1, quota, units: 2, now: now) != nil)
        table.refund(1, quota, charge, now: now)
        #expect(table.admit(1, quota, units: 7, now: now).isAllowed)
        table.charge(2, quota, units: 4, now: now)
        #expect(table.admit(2, quota, now: now).remaining == 2)
        table.charge(2, quota, units: .max, now: now)
        let refused = table.admit(2, quota, now: now)
        #expect(!refused.isAllowed && refused.retryAfter <= .seconds(20), "\(refused)")
    }

    /// A token of a small plan that is refused leaves what the large plan owes; what it is told to wait is exact; and a refund gives back what was charged.
    @Test(arguments: [(60, 500, 6, 6), (60, 500, 60, 6), (600, 600, 6, 20)] as [(UInt64, UInt64, UInt64, UInt64)])
    func twoPlansOfOneKeyAreOneCount(pro: UInt64, proBurst: UInt64, free: UInt64, freeBurst: UInt64) throws {
        let table = try table()
        let large = Quota(count: pro, window: .seconds(60), burst: proBurst)
        let small = Quota(count: free, window: .seconds(60), burst: freeBurst)
        let now = 1_772_400_000 * second
        for _ in 0..<proBurst { #expect(table.admit(1, large, now: now).isAllowed) }
        var passed = 0
        for round in 0..<20 {
            let moment = now + UInt64(round) * 1_000_000
            let refused = table.admit(1, small, now: moment)
            #expect(!refused.isAllowed && table.refusal(1, small, now: moment) != nil)
            for _ in 0..<proBurst where table.admit(1, large, now: moment).isAllowed { passed += 1 }
        }
        #expect(passed <= 1)
        let wait = table.admit(1, small, now: now).retryAfter.count
        #expect(table.refusal(1, small, now: now + wait + 1_000_000) == nil && table.refusal(1, small, now: now + wait - 1_000_000) != nil)
        // From here on it is counted with the small one: what the large one owes is owed there too.
        let later = now + wait + 1_000_000
        let charge = table.admit(1, small, now: later).charge
        #expect(!table.admit(1, small, now: later).isAllowed)
        let left = table.admit(1, large, now: later).remaining
        table.refund(1, small, charge, now: later)
        #expect(table.admit(1, large, now: later).remaining <= left + 1)
    }

    @Test(arguments: [UInt64(0), 1, .max / 2, .max]) func extremesDoNotTrap(_ value: UInt64) {
        for quota in Self.quotas + [Quota(count: 1, window: .seconds(31 * 86_400), burst: 1_000)] {
            for units: UInt64 in [0, 1, .max / 2, .max] {
                _ = quota.gcra.decide(arrival: value, now: value / 3, units: units)
                _ = quota.gcra.charged(arrival: value, units: units, now: value / 3)
                _ = quota.gcra.charged(arrival: 0, units: units, now: value)
                _ = quota.gcra.refundable(.init(end: value, refundedBefore: 0, units: units), arrival: value, refunded: 0, now: value / 2)
            }
        }
    }

    @Test(arguments: [
        ("cost 5;", "5"), ("cost response_header X-Cost;", "response_header x-cost max 1000000000"),
        ("cost response_header X-Cost max 9;", "response_header x-cost max 9"),
        ("cost response_bytes/1k max 50;", "response_bytes/1024 max 50"),
        ("cost response_bytes/2m;", "response_bytes/2097152 max 1000000000"),
    ])
    func costsAreRead(_ text: String, _ expected: String) throws {
        let diagnostics = Diagnostics()
        let directive = try #require(parse(text, diagnostics).first)
        #expect(LimitCost(directive, diagnostics)?.text == expected && diagnostics.isEmpty)
    }

    @Test(arguments: [
        "cost;", "cost 0;", "cost -1;", "cost 1000001;", "cost response_bytes/0;", "cost response_bytes/;", "cost response_bytes/1g;",
        "cost response_bytes/99999999999999m;", "cost response_header;", "cost response_header A B;", "cost response_header X max 0;",
        "cost 5 max 9;",
        "cost response_header X max;", "cost 5 { }",
    ])
    func wrongCostsAreTold(_ text: String) throws {
        let diagnostics = Diagnostics()
        let directive = try #require(parse(text, diagnostics).first)
        #expect(LimitCost(directive, diagnostics) == nil && !diagnostics.isEmpty)
    }

    @Test func aResponseSaysWhatItCosts() {
        let bytes = LimitCost.responseBytes(per: 1_000, max: 50)
        #expect([0, 1, 1_000, 1_001, 49_001, .max].map { bytes.units(told: nil, bodyBytes: $0) } == [1, 1, 1, 2, 50, 50])
        let field = LimitCost.responseHeader("x-cost", max: 9)
        #expect(field.units(told: nil, bodyBytes: 5) == 1 && field.units(told: 0, bodyBytes: 5) == 0)
    }

    private func parse(_ text: String, _ diagnostics: Diagnostics) -> [Directive] {
        Parser(files: MemoryFiles(["test": text]), environment: [:], diagnostics: diagnostics).parse("test")
    }
}
