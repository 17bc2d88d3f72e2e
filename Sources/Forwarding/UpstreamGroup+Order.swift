import UpstreamHealth
import Bytes
import System
import Time

/// Which server a request is sent to.
extension UpstreamGroup {
    /// The servers in the order in which they are to be tried, tier by tier: those that are well, those that stand in for them, those that
    /// nobody has looked at yet, and last, where the file has it so, those that are not well. Those that refused a connection lately
    /// come behind all others.
    func inOrder(movesOn: Bool, _ key: UInt64?) -> [[Int]] {
        let now = loop.now
        // Behind those that are well: nobody has looked yet, not well.
        let (unchecked, unwell) = (tierCount, tierCount + 1)
        var tiers: [[Int]] = Array(repeating: [], count: tierCount + 2)
        for index in servers.indices {
            switch servers[index].state {
            case .up where servers[index].isUnchecked: tiers[unchecked].append(index)
            case .up, .probation: tiers[servers[index].own.tier].append(index)
            case .ejected, .down: if settings.triesWhenAllDown { tiers[unwell].append(index) }
            case .drained: break
            }
        }
        var movesOn = movesOn
        var refusing: [Int] = []
        var order = tiers.map { tier in
            let chosen = ordered(tier, movesOn, key)
            // A request moves the turn on once.
            if !chosen.isEmpty { movesOn = false }
            refusing += chosen.filter { servers[$0].isEjected(at: now) }
            return chosen.filter { !servers[$0].isEjected(at: now) }
        }
        order.append(refusing)
        return order
    }

    /// A client goes on with its server, whatever its turn, as long as the server is well.
    func prefer(_ bound: UpstreamServer, _ tiers: inout [[Int]]) {
        guard let index = servers.firstIndex(where: { $0 === bound }) else { return }
        for tier in tiers.indices where tiers[tier].contains(index) {
            tiers[tier].removeAll { $0 == index }
            tiers[tier].insert(index, at: 0)
        }
    }

    /// Whether a server is one of those that there are.
    func has(_ server: UpstreamServer) -> Bool { servers.contains { $0 === server } }

    /// The server that a client's cookie names.
    func server(marked value: [UInt8]) -> UpstreamServer? {
        for server in servers where !server.mark.isEmpty {
            let mark = server.mark
            if equalInConstantTime(mark.span, value.span) { return server }
        }
        return nil
    }

    private func ordered(_ indices: [Int], _ movesOn: Bool, _ key: UInt64?) -> [Int] {
        if indices.count < 2 { return indices }
        let candidates = indices.map { index in
            let server = servers[index]
            return ServerOrder.Candidate(index: index, share: server.share, load: server.load, latency: server.latency)
        }
        return order.order(candidates, movesOn: movesOn, key: key)
    }
}
