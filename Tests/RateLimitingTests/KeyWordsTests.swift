import Testing
import Time

@testable import RateLimiting

@Suite struct TopKeysTests {
    /// Keys that come often enough are in it, whatever else comes, and what it says of them is too much by little.
    @Test func keepsWhatComesMost() {
        var random = SystemRandomNumberGenerator()
        var top = TopKeys()
        var counts: [UInt64: UInt64] = [:]
        for _ in 0..<40_000 {
            // A fifth of all is of five keys, the rest of 100,000.
            let key =
                Int.random(in: 0..<5, using: &random) == 0
                ? UInt64.random(in: 1...5, using: &random) : .random(in: 6...100_000, using: &random)
            counts[key, default: 0] += 1
            top.note(key, at: Instant(nanoseconds: 1)) { "\(key)" }
        }
        #expect(top.entries.count == 64)
        for key in UInt64(1)...5 {
            let entry = top.entries.first { $0.fingerprint == key }
            #expect(entry?.text == "\(key)" && entry!.count >= counts[key]! && entry!.count <= counts[key]! + 40_000 / 64)
        }
    }

    @Test func forgetsWhatWasLongAgo() {
        var top = TopKeys()
        let second: UInt64 = 1_000_000_000
        for _ in 0..<100 { top.note(1, at: Instant(nanoseconds: second)) { "old" } }
        for minute in 1...10 { top.note(2, at: Instant(nanoseconds: UInt64(minute) * 61 * second)) { "new" } }
        #expect(!top.entries.contains { $0.text == "old" } && top.entries.contains { $0.text == "new" })
    }
}
