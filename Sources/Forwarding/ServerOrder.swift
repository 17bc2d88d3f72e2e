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
    /// By server: what stands for its name where the order goes by a key.
    private let names: [UInt64]

    /// - Parameters:
    ///   - names: of the servers, where the order goes by a key; the same in every process and on every host.
    ///   - seed: of the choices by chance.
    init(_ balance: UpstreamSettings.Balance, servers: Int, names: [UInt64] = [], seed: UInt64) {
        self.balance = balance
        self.names = names
        credits = Array(repeating: 0, count: servers)
        random = seed | 1
    }

    /// - Parameters:
    ///   - movesOn: false for a request that is tried once more: it takes nobody's turn.
    ///   - key: what the request goes by, where the order goes by a key; without one servers take turns.
    mutating func order(_ candidates: [Candidate], movesOn: Bool, key: UInt64? = nil) -> [Int] {
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
        case .hash:
            guard let key else { return inTurn(candidates, movesOn) }
            return byKey(key, candidates)
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

    /// The same order for the same key, of which each server has its share of first places; where one comes or goes, only the keys change that
    /// it gets or had. One that would have much more to do than its share comes last.
    ///
    /// Sources: D. Thaler, C. Ravishankar, "Using Name-Based Mappings to Increase Hit Rates" (1998); V. Mirrokni et al., "Consistent Hashing with
    /// Bounded Loads" (2016).
    private func byKey(_ key: UInt64, _ candidates: [Candidate]) -> [Int] {
        let load = Double(candidates.reduce(1) { $0 + $1.load })
        let shares = candidates.reduce(0) { $0 + $1.share }
        let ranked = candidates.map { candidate in
            (candidate: candidate, cost: Self.exponential(Self.mixed(key ^ names[candidate.index])) / candidate.share)
        }.sorted { $0.cost < $1.cost }.map(\.candidate)
        func isFull(_ candidate: Candidate) -> Bool {
            Double(candidate.load + 1) > (loadMax * load * candidate.share / shares).rounded(.up)
        }
        return (ranked.filter { !isFull($0) } + ranked.filter(isFull)).map(\.index)
    }

    /// A number whose bits all depend on all of the word's (SplitMix64).
    private static func mixed(_ word: UInt64) -> UInt64 {
        var value = word &+ 0x9E37_79B9_7F4A_7C15
        value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
        return value ^ value >> 31
    }

    /// Even numbers as exponentially distributed ones: minus the logarithm.
    private static func exponential(_ word: UInt64) -> Double {
        let part = (Double(word >> 11) + 0.5) / Double(1 << 53)
        // ln of the significand by the series of the area tangent; of the exponent by ln 2.
        let t = (part.significand - 1) / (part.significand + 1)
        let square = t * t
        let series = 2 * t * (1 + square * (1 / 3 + square * (1 / 5 + square * (1 / 7 + square * (1 / 9 + square / 11)))))
        return -(series + Double(part.exponent) * 0.693_147_180_559_945_3)
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
/// How much more than its share a server may have under way, where the order goes by a key.
private let loadMax = 1.25
