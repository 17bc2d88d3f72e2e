import Bytes

/// Tokens that were verified lately. Bounded: four places for each hash, the one that expires first gives way.
///
/// Whole tokens are compared, so that a hash collision is a miss and never another's identity.
struct VerifiedTokenCache {
    private static let ways = 4
    private var places: [VerifiedToken?]
    private let sets: Int
    private let hash: SipHash

    /// - Parameter capacity: how many tokens, rounded up to a power of two.
    init(capacity: Int, hash: SipHash) {
        var sets = 1
        while sets * Self.ways < capacity { sets *= 2 }
        self.sets = sets
        self.hash = hash
        places = [VerifiedToken?](repeating: nil, count: sets * Self.ways)
    }

    func find(_ token: Span<UInt8>, at seconds: UInt64) -> VerifiedToken? {
        let first = firstPlace(of: token)
        for place in first..<first + Self.ways {
            guard let entry = places[place], entry.token.count == token.count else { continue }
            let held = entry.token
            if equalInConstantTime(held.span, token) { return seconds < entry.refusedFrom ? entry : nil }
        }
        return nil
    }

    mutating func insert(_ entry: VerifiedToken) {
        let token = entry.token
        let first = firstPlace(of: token.span)
        var chosen = first
        var earliest = UInt64.max
        for place in first..<first + Self.ways {
            guard let present = places[place] else {
                chosen = place
                break
            }
            if present.refusedFrom < earliest { (chosen, earliest) = (place, present.refusedFrom) }
        }
        places[chosen] = entry
    }

    mutating func removeAll(where condition: (VerifiedToken) -> Bool) {
        for place in places.indices {
            if let entry = places[place], condition(entry) { places[place] = nil }
        }
    }

    /// The end of a token is its signature, which differs where anything does; hashing it alone is enough.
    private func firstPlace(of token: Span<UInt8>) -> Int {
        let end = token.extracting(max(0, token.count - 32)..<token.count)
        return (Int(truncatingIfNeeded: hash.hash(end)) & (sets - 1)) * Self.ways
    }
}
