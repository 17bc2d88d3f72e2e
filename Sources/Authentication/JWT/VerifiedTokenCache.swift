import Bytes

/// The principals of tokens that were verified lately. Bounded: four places for each hash, the one that expires first gives way.
///
/// Whole tokens are compared, so that a hash collision is a miss and never another's identity.
final class VerifiedTokenCache {
    private static let ways = 4
    private var places: [Place]
    private let sets: Int
    private let hash: SipHash

    private struct Place {
        /// The hash of the entry's token: of those with another one not a byte is fetched.
        var fingerprint: UInt64 = 0
        var entry: Principal?
    }

    /// - Parameter capacity: how many tokens, rounded up to a power of two.
    init(capacity: Int, hash: SipHash) {
        var sets = 1
        while sets * Self.ways < capacity { sets *= 2 }
        self.sets = sets
        self.hash = hash
        places = [Place](repeating: Place(), count: sets * Self.ways)
    }

    func find(_ token: Span<UInt8>, at seconds: UInt64) -> Principal? {
        let fingerprint = fingerprint(of: token)
        let first = firstPlace(of: fingerprint)
        for place in first..<first + Self.ways where places[place].fingerprint == fingerprint {
            guard let entry = places[place].entry, let held = entry.token, held.count == token.count else { continue }
            if equalInConstantTime(held.span, token) { return seconds < entry.expiry ? entry : nil }
        }
        return nil
    }

    func insert(_ entry: Principal) {
        guard let token = entry.token else { preconditionFailure("a principal without a token in the cache of tokens") }
        let fingerprint = fingerprint(of: token.span)
        let first = firstPlace(of: fingerprint)
        var chosen = first
        var earliest = UInt64.max
        for place in first..<first + Self.ways {
            guard let present = places[place].entry else {
                chosen = place
                break
            }
            if present.expiry < earliest { (chosen, earliest) = (place, present.expiry) }
        }
        change { $0[chosen] = Place(fingerprint: fingerprint, entry: entry) }
    }

    func removeAll(where condition: (Principal) -> Bool) {
        change { places in
            for place in places.indices {
                if let entry = places[place].entry, condition(entry) { places[place] = Place() }
            }
        }
    }

    /// Changes the places while they are taken out (decision 011).
    private func change(_ body: (inout [Place]) -> Void) {
        var taken: [Place] = exchange(&places, with: [])
        body(&taken)
        swap(&taken, &places)
    }

    /// The end of a token is its signature, which differs where anything does; hashing it alone is enough.
    private func fingerprint(of token: Span<UInt8>) -> UInt64 {
        hash.hash(token.extracting(max(0, token.count - 32)..<token.count))
    }

    private func firstPlace(of fingerprint: UInt64) -> Int { (Int(truncatingIfNeeded: fingerprint) & (sets - 1)) * Self.ways }
}
