import ConfigFile
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

    private func hashed(_ servers: Int) -> ServerOrder {
        ServerOrder(
            .hash(.clientIP), servers: servers, names: (0..<servers).map { UpstreamGroup.hash(Array("10.0.0.\($0):80".utf8)) }, seed: 1)
    }

    @Test("A key has its server; of all keys each server has its share, and one that goes leaves the others theirs")
    func keys() {
        var order = hashed(4)
        let all = [candidate(0, share: 2), candidate(1), candidate(2), candidate(3)]
        let keys = (0..<20_000).map { UpstreamGroup.hash(Array("client \($0)".utf8)) }
        let firsts = keys.map { order.order(all, movesOn: true, key: $0)[0] }
        #expect(keys.map { order.order(all, movesOn: false, key: $0)[0] } == firsts)
        let counts = (0..<4).map { index in firsts.count { $0 == index } }
        #expect((7_600...8_400).contains(counts[0]) && counts.dropFirst().allSatisfy { (3_700...4_300).contains($0) }, "\(counts)")
        let without = keys.map { order.order([all[0], all[1], all[3]], movesOn: true, key: $0)[0] }
        for (before, after) in zip(firsts, without) where before != 2 { #expect(before == after) }
        let moved = zip(firsts, without).filter { $0.0 == 2 }.map(\.1)
        #expect(Set(moved) == [0, 1, 3])
        // Without a key they take turns.
        var equal = hashed(3)
        let none = (0..<3).map { _ in equal.order([candidate(0), candidate(1), candidate(2)], movesOn: true)[0] }
        #expect(none == [0, 1, 2])
    }

    @Test("No server has more than a quarter above its share, whatever the keys are")
    func boundedLoad() {
        var order = hashed(4)
        var loads = [0, 0, 0, 0]
        let key = UpstreamGroup.hash(Array("the one client".utf8))
        for _ in 0..<1_000 { loads[order.order((0..<4).map { candidate($0, load: loads[$0]) }, movesOn: true, key: key)[0]] += 1 }
        #expect(loads.max()! <= 313 && loads.min()! > 0 && loads.reduce(0, +) == 1_000, "\(loads)")
        // The second place for a key is always the same server: there its overflow goes.
        #expect(
            order.order((0..<4).map { candidate($0) }, movesOn: true, key: key)
                == order.order((0..<4).map { candidate($0) }, movesOn: true, key: key))
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
