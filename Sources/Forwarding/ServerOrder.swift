import System
import Time

/// In which order the servers of a group are tried for a request.
struct ServerOrder {
    /// A server that may be asked, as it is at the moment.
    struct Candidate {
        let index: Int
        /// Its part of the requests, beside the others': the weight, or less of it while the server starts slowly.
        let share: Double
        /// Requests that are under way.
        let load: Int
        /// How long its responses take, in seconds.
        let latency: Double
    }

    private let balance: UpstreamSettings.Balance
    /// By server: what it is owed, in round robin. The one that is owed most comes next, and pays what all are paid.
    private var credits: [Double]
    private var turn = 0
    private var random: UInt64

    /// - Parameter seed: of the choices by chance.
    init(_ balance: UpstreamSettings.Balance, servers: Int, seed: UInt64) {
        self.balance = balance
        credits = Array(repeating: 0, count: servers)
        random = seed | 1
    }

    /// - Parameter movesOn: false for a request that is tried once more: it takes nobody's turn.
    mutating func order(_ candidates: [Candidate], movesOn: Bool) -> [Int] {
        guard candidates.count > 1 else { return candidates.map(\.index) }
        if movesOn { turn &+= 1 }
        switch balance {
        case .roundRobin: return inTurn(candidates, movesOn)
        case .leastConnections:
            let count = credits.count
            func key(_ candidate: Candidate) -> (Double, Int) {
                (Double(candidate.load) / candidate.share, (candidate.index + count - turn % count) % count)
            }
            return candidates.sorted { key($0) < key($1) }.map(\.index)
        case .p2c: return betterOfTwo(candidates)
        }
    }

    private mutating func inTurn(_ candidates: [Candidate], _ movesOn: Bool) -> [Int] {
        if movesOn {
            var total = 0.0
            var best = candidates[0].index
            for candidate in candidates {
                credits[candidate.index] += candidate.share
                total += candidate.share
                if credits[candidate.index] > credits[best] { best = candidate.index }
            }
            credits[best] -= total
            let others = candidates.map(\.index).filter { $0 != best }
            return [best] + others.sorted { credits[$0] > credits[$1] }
        }
        return candidates.map(\.index).sorted { credits[$0] > credits[$1] }
    }

    /// Source: M. Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (2001).
    private mutating func betterOfTwo(_ candidates: [Candidate]) -> [Int] {
        let first = draw(candidates, without: -1)
        let second = draw(candidates, without: first.index)
        let chosen = Self.cost(second) < Self.cost(first) ? second : first
        let others = candidates.filter { $0.index != chosen.index }.sorted { Self.cost($0) < Self.cost($1) }
        return [chosen.index] + others.map(\.index)
    }

    /// What one more request would wait for, about.
    private static func cost(_ candidate: Candidate) -> Double {
        (candidate.latency + latencyMin) * Double(candidate.load + 1) / candidate.share
    }

    /// By chance, each as often as its share says.
    private mutating func draw(_ candidates: [Candidate], without index: Int) -> Candidate {
        // xorshift64: the choice is no secret.
        random ^= random << 13
        random ^= random >> 7
        random ^= random << 17
        let rest = candidates.filter { $0.index != index }
        var place = Double(random >> 11) / Double(1 << 53) * rest.reduce(0) { $0 + $1.share }
        for candidate in rest {
            place -= candidate.share
            if place < 0 { return candidate }
        }
        return rest[rest.count - 1]
    }
}

/// So that a server of which nothing is known is not taken for one that takes no time.
private let latencyMin = 0.001
