import System
import Testing
import Time

@testable import RateLimiting

@Suite struct HeldRequestsTests {
    private let here = HeldRequests.Key(fingerprint: 7, isInStore: false)
    private let there = HeldRequests.Key(fingerprint: 7, isInStore: true)

    private func fresh() -> HeldRequests.Held {
        HeldRequests.Held(
            quota: Quota(count: 3, window: .seconds(8), windows: .concurrent(3)), store: "main", call: nil, windows: [],
            renewedAt: Instant(nanoseconds: 1))
    }

    /// Requests that end while two replies are awaited, of which one has come, are taken back where they are counted by then: none stays for ever.
    @Test func whoEndsMeanwhileIsTakenBack() {
        let held = HeldRequests()
        held.begin(here, fresh(), in: 1_000)
        held.begin(here, fresh(), in: 9_000)
        let windows = held[here]!.windows
        held.asked(here, replies: 2, at: Instant(nanoseconds: 2))
        #expect(held.replied(here) == 0)
        held.handOver(windows[0], of: here, to: there, in: 16_500, at: Instant(nanoseconds: 3))
        // Both end now: one is counted here still, and one there.
        #expect(held[here]!.hasOne && held.end(here) == nil)
        #expect(!held[here]!.hasOne)
        let second = held.end(there)
        #expect(second?.start == 16_500 && held[there] == nil)
        let ended = held.replied(here)
        held.handOver(windows[1], of: here, to: there, in: 16_500, at: Instant(nanoseconds: 4))
        #expect(ended == 1 && held[here] == nil)
        #expect(held.end(there)?.start == 16_500)
        #expect(held.held.isEmpty)
    }

    @Test func theOldestWindowIsLeftFirst() {
        let held = HeldRequests()
        for start in [9_000, 1_000, 9_000] as [UInt64] { held.begin(here, fresh(), in: start) }
        held.moved(here, 1, from: 1_000, to: 9_000)
        #expect(held[here]?.windows.map(\.units) == [3])
        #expect((0..<3).map { _ in held.end(here)?.start } == [9_000, 9_000, 9_000])
        #expect(held.held.isEmpty && held.end(here) == nil)
    }
}
