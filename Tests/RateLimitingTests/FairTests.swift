import Bytes
import ConfigFile
import Routing
import System
import TestSupport
import Testing
import Time

@testable import RateLimiting

/// Limits whose quota many share.
@Suite struct FairTests {
    @Test func countsThoseWhoCameLately() throws {
        let keys = ActiveKeys(try SharedMemory(words: ActiveKeys.words), firstWord: 0)
        var random = SystemRandomNumberGenerator()
        let start = Instant(nanoseconds: 1_000_000_000_000)
        for count in [1, 2, 5, 20, 100, 400] {
            let key = UInt64.random(in: 1...(.max), using: &random)
            var said: UInt64? = 0
            let all = (0..<count).map { _ in UInt64.random(in: 1...(.max), using: &random) }
            for _ in 0..<2 { for who in all { said = keys.note(key, by: who, window: .seconds(1), at: start) } }
            #expect(abs(Int(said ?? 0) - count) <= count / 5 + 1, "\(String(describing: said)) of \(count)")
            // Those of the window before count still; those of an earlier one do not.
            let next = keys.note(key, by: all[0], window: .seconds(1), at: start.adding(.seconds(1)))
            #expect(abs(Int(next ?? 0) - count) <= count / 5 + 1, "\(String(describing: next)) of \(count)")
            // A worker whose turn began before takes nothing of that back.
            let late = keys.note(key, by: all[0], window: .seconds(1), at: start)
            #expect(late == next && keys.note(key, by: all[0], window: .seconds(1), at: start.adding(.seconds(1))) == next)
            #expect(keys.note(key, by: all[0], window: .seconds(1), at: start.adding(.seconds(3))) == 1)
        }
        // Keys that meet in one set are each counted by itself, as many as there is room for; one that nobody uses any more gives way.
        let keysOfSet = (1...9).map { UInt64($0) * 512 ^ UInt64(1_000_000_000) &* 0x9E37_79B9_7F4A_7C15 }
        let later = start.adding(.seconds(100))
        for _ in 0..<3 {
            for (index, key) in keysOfSet.prefix(8).enumerated() {
                for who in 0...index { #expect(keys.note(key, by: UInt64(who), window: .seconds(1), at: later) != nil) }
            }
        }
        for (index, key) in keysOfSet.prefix(8).enumerated() {
            #expect(keys.note(key, by: 0, window: .seconds(1), at: later) == UInt64(index + 1))
        }
        #expect(keys.note(keysOfSet[8], by: 0, window: .seconds(1), at: later) == nil)
        #expect(keys.note(keysOfSet[8], by: 0, window: .seconds(1), at: later.adding(.seconds(3))) == 1)
    }

    private func limiter(_ text: String, hosts: UInt64 = 0) throws -> RateLimiter {
        let diagnostics = Diagnostics()
        let directive = try #require(
            Parser(files: MemoryFiles(["f": "limit all { \(text) }"]), environment: [:], diagnostics: diagnostics).parse("f").first)
        let limit = try #require(Limit(directive, stores: ["main"], diagnostics), "\(diagnostics.messages)")
        let words = LimitMemory.words(forKeys: 64)
        let memory = LimitMemory(try SharedMemory(words: words), firstWord: 0, words: words, hash: SipHash(key0: 1, key1: 2))
        if hosts > 0 { memory.members.heard(hosts, of: "main", at: Instant(nanoseconds: 1_000_000_000_000)) }
        return RateLimiter(limits: [limit], memory: memory, stores: [:])
    }

    /// A store that says that there are more hosts than can be makes the parts small, and ends no worker.
    @Test(arguments: [UInt64(1), 10_000, .max / 2, .max]) func aStoreMaySayAnyNumberOfHosts(hosts: UInt64) throws {
        let limiter = try limiter("rate 100/1s; burst 100; key $route; fair $header.x-org; store main; share auto;", hosts: hosts)
        let heavy = try context("heavy")
        let start = Instant(nanoseconds: 1_000_000_000_000)
        var passed = 0
        for _ in 0..<200 {
            let progress = AdmissionProgress()
            #expect(limiter.beginEarly(limits: [LimitID(0)], in: heavy, at: start, progress))
            if progress.error == nil { passed += 1 }
        }
        #expect(passed < 200)
    }

    private func context(_ org: String) throws -> RequestContext {
        let context = RequestContext()
        context.begin(clientIP: [UInt8]("192.0.2.1".utf8), isHTTPS: true)
        context.head = try Heads.request("GET / HTTP/1.1", "Host: a", "X-Org: \(org)")
        return context
    }

    /// One that asks ten times as much as there is leaves the others what they need; what they leave it has.
    @Test func whoAsksForMuchLeavesOthersTheirPart() throws {
        let limiter = try limiter("rate 100/1s; burst 100; key $route; fair $header.x-org;")
        let (heavy, light, other) = (try context("heavy"), try context("light"), try context("other"))
        func passes(_ context: RequestContext, at now: Instant) -> Bool {
            let progress = AdmissionProgress()
            #expect(limiter.beginEarly(limits: [LimitID(0)], in: context, at: now, progress))
            return progress.error == nil
        }
        let start = Instant(nanoseconds: 1_000_000_000_000)
        var passed: [Int] = []
        var refused = 0
        for second in 0..<30 {
            var count = 0
            for tick in 0..<100 {
                let now = start.adding(.milliseconds(UInt64(second * 1_000 + tick * 10)))
                for _ in 0..<10 where passes(heavy, at: now) { count += 1 }
                // The others ask for 20 a second each, from the second second to the nineteenth.
                guard 1..<20 ~= second, tick % 5 == 0 else { continue }
                for one in [light, other] where !passes(one, at: now) { refused += 1 }
            }
            passed.append(count)
        }
        #expect(refused == 0)
        // All that they leave; the first second has the half that is for everybody besides.
        #expect(passed[3..<19].allSatisfy { (55...65).contains($0) }, "\(passed)")
        #expect(passed[24...].allSatisfy { (95...105).contains($0) }, "\(passed)")
    }

    /// Of many who all ask for more than there is each has its part, and who comes first the one part that is nobody's.
    @Test func partsAreEqual() throws {
        let limiter = try limiter("rate 200/1s; burst 200; key $route; fair $header.x-org;")
        let contexts = try (0..<8).map { try context("org\($0)") }
        var passed = [Int](repeating: 0, count: contexts.count)
        let start = Instant(nanoseconds: 1_000_000_000_000)
        for tick in 0..<3_000 {
            let now = start.adding(.milliseconds(UInt64(tick * 10)))
            // Each asks for more than the one before: for 50 to 400 a second.
            for (index, context) in contexts.enumerated() {
                for _ in 0...index where tick % 2 == 0 {
                    let progress = AdmissionProgress()
                    _ = limiter.beginEarly(limits: [LimitID(0)], in: context, at: now, progress)
                    if progress.error == nil, tick > 500 { passed[index] += 1 }
                }
            }
        }
        let all = passed.reduce(0, +)
        #expect(abs(all - 5_000) < 250, "\(passed)")
        // A ninth of all is 555.
        #expect(passed.sorted().dropLast().allSatisfy { (520...590).contains($0) } && passed.allSatisfy { $0 < 1_200 }, "\(passed)")
    }
}
