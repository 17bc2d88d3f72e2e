package import Bytes
import Time

/// What tells one request to an authorizer from another.
package struct VerdictKey: Sendable {
    package let bytes: [UInt8]
    /// The hash of the bytes.
    package let fingerprint: UInt64

    package init(_ bytes: [UInt8], _ hash: SipHash) {
        self.bytes = bytes
        fingerprint = hash.hash(bytes.span)
    }
}

/// What one authorizer said lately. Bounded: four places for each hash, the one that ends first gives way; keys that are together too long are
/// forgotten all at once.
///
/// Whole keys are compared, so that a hash collision is a miss and never another's verdict.
struct VerdictCache {
    private struct Place {
        var fingerprint: UInt64 = 0
        var key: [UInt8] = []
        var verdict: AuthorizerVerdict?
        var end = Instant.past
    }

    private static let ways = 4
    private var places: [Place] = []
    private var keyBytes = 0

    func find(_ key: VerdictKey, at now: Instant) -> AuthorizerVerdict? {
        guard !places.isEmpty else { return nil }
        let first = Self.firstPlace(of: key)
        for place in first..<first + Self.ways where places[place].fingerprint == key.fingerprint && now < places[place].end {
            if isSame(places[place].key, key.bytes) { return places[place].verdict }
        }
        return nil
    }

    mutating func keep(_ verdict: AuthorizerVerdict, _ key: VerdictKey, until end: Instant) {
        if places.isEmpty || keyBytes + key.bytes.count > keyBytesMax {
            places = [Place](repeating: Place(), count: entriesMax)
            keyBytes = 0
        }
        let first = Self.firstPlace(of: key)
        var chosen = first
        for place in first..<first + Self.ways {
            if places[place].fingerprint == key.fingerprint, isSame(places[place].key, key.bytes) {
                chosen = place
                break
            }
            if places[place].end < places[chosen].end { chosen = place }
        }
        keyBytes += key.bytes.count - places[chosen].key.count
        places[chosen] = Place(fingerprint: key.fingerprint, key: key.bytes, verdict: verdict, end: end)
    }

    private func isSame(_ held: [UInt8], _ asked: [UInt8]) -> Bool { held.span.equals(asked.span) }

    private static func firstPlace(of key: VerdictKey) -> Int { Int(truncatingIfNeeded: key.fingerprint) & (entriesMax - 1) & ~(ways - 1) }
}

/// A power of two.
private let entriesMax = 16_384
private let keyBytesMax = 16 << 20
