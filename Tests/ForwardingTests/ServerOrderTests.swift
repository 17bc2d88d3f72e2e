import System
import Testing
import Time

@testable import Forwarding

@Suite("Server order") struct ServerOrderTests {
    private func candidate(_ index: Int, share: Double = 1, load: Int = 0, latency: Double = 0) -> ServerOrder.Candidate {
        ServerOrder.Candidate(index: index, share: share, load: load, latency: latency)
    }

    @Test("In turn each server comes as often as its weight says, and none twice in a row without need")
    func weights() {
        var order = ServerOrder(.roundRobin, servers: 3, seed: 1)
        let candidates = [candidate(0, share: 5), candidate(1), candidate(2)]
        let chosen = (0..<70).map { _ in order.order(candidates, movesOn: true)[0] }
        #expect((0..<3).map { index in chosen.count { $0 == index } } == [50, 10, 10])
        // Spread: among seven in a row each light one once.
        for start in stride(from: 0, to: 70, by: 7) { #expect(chosen[start..<start + 7].count { $0 == 1 } == 1) }
        var equal = ServerOrder(.roundRobin, servers: 3, seed: 1)
        #expect((0..<6).map { _ in equal.order([candidate(0), candidate(1), candidate(2)], movesOn: true)[0] } == [0, 1, 2, 0, 1, 2])
    }

    @Test("Every order has every server once")
    func complete() {
        for balance in [UpstreamSettings.Balance.roundRobin, .leastConnections, .p2c] {
            var order = ServerOrder(balance, servers: 6, seed: 7)
            for _ in 0..<100 {
                let candidates = (0..<6).filter { _ in Bool.random() }.map {
                    candidate($0, share: .random(in: 0.1...5), load: .random(in: 0...9), latency: .random(in: 0...1))
                }
                #expect(order.order(candidates, movesOn: .random()).sorted() == candidates.map(\.index))
            }
        }
    }

    @Test("Fewest requests for its weight comes first, and equals take turns")
    func leastConnections() {
        var order = ServerOrder(.leastConnections, servers: 3, seed: 1)
        #expect(order.order([candidate(0, load: 3), candidate(1, load: 1), candidate(2, load: 2)], movesOn: true) == [1, 2, 0])
        #expect(order.order([candidate(0, share: 4, load: 3), candidate(1, load: 1), candidate(2, load: 2)], movesOn: true)[0] == 0)
        let firsts = Set((0..<3).map { _ in order.order([candidate(0), candidate(1), candidate(2)], movesOn: true)[0] })
        #expect(firsts == [0, 1, 2])
    }

    @Test("Of two that are chosen by chance the better one is taken: a slow or busy server gets little")
    func powerOfTwo() {
        var order = ServerOrder(.p2c, servers: 4, seed: 99)
        var counts = [0, 0, 0, 0]
        let candidates = [candidate(0, latency: 0.01), candidate(1, latency: 0.01), candidate(2, latency: 0.01), candidate(3, latency: 1)]
        for _ in 0..<4_000 { counts[order.order(candidates, movesOn: true)[0]] += 1 }
        #expect(counts[3] == 0)
        for index in 0..<3 { #expect((1_000...1_700).contains(counts[index]), "\(counts)") }
    }

    @Test("Retries are bounded by the requests that there are")
    func budget() throws {
        let directive = try UpstreamGroup.reading("server 127.0.0.1:1; retry { budget 20% min 1/s; }", on: EventLoop()).settings.retry
        let rule = try #require(directive)
        let start = Instant(nanoseconds: 1_000_000_000)
        var budget = RetryBudget(rule, at: start)
        var taken = 0
        func take(_ budget: inout RetryBudget, _ now: Instant) -> Bool {
            guard budget.has(at: now) else { return false }
            budget.take()
            return true
        }
        for _ in 0..<1_000 {
            budget.requestBegan()
            if take(&budget, start) { taken += 1 }
        }
        // Ten that were there, and a fifth of the requests.
        #expect((205...211).contains(taken), "\(taken)")
        for second in 1...20 as ClosedRange<UInt64> { if take(&budget, start.adding(.seconds(second))) { taken += 1 } }
        #expect((224...231).contains(taken), "\(taken)")
    }
}
