/// SipHash-2-4: a keyed 64-bit hash for tables whose keys a peer chooses.
///
/// The standard library's `Hasher` draws its key per process; the limit table is shared by processes, so it needs a key
/// that they share. Source: Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012.
package struct SipHash: Sendable {
    private let key0: UInt64
    private let key1: UInt64

    package init(key0: UInt64, key1: UInt64) {
        self.key0 = key0
        self.key1 = key1
    }

    package func hash(_ bytes: Span<UInt8>) -> UInt64 {
        var state = State(
            v0: key0 ^ 0x736f_6d65_7073_6575, v1: key1 ^ 0x646f_7261_6e64_6f6d,
            v2: key0 ^ 0x6c79_6765_6e65_7261, v3: key1 ^ 0x7465_6462_7974_6573)
        var index = 0
        while bytes.count - index >= 8 {
            state.absorb(bytes.word(at: index))
            index += 8
        }
        var last = UInt64(truncatingIfNeeded: bytes.count) << 56
        for place in 0..<(bytes.count - index) { last |= UInt64(bytes[index + place]) << UInt64(place * 8) }
        state.absorb(last)
        return state.finished()
    }

    private struct State {
        var v0: UInt64
        var v1: UInt64
        var v2: UInt64
        var v3: UInt64

        mutating func absorb(_ word: UInt64) {
            v3 ^= word
            round()
            round()
            v0 ^= word
        }

        mutating func finished() -> UInt64 {
            v2 ^= 0xFF
            for _ in 0..<4 { round() }
            return v0 ^ v1 ^ v2 ^ v3
        }

        private mutating func round() {
            v0 &+= v1
            v1 = rotated(v1, 13) ^ v0
            v0 = rotated(v0, 32)
            v2 &+= v3
            v3 = rotated(v3, 16) ^ v2
            v0 &+= v3
            v3 = rotated(v3, 21) ^ v0
            v2 &+= v1
            v1 = rotated(v1, 17) ^ v2
            v2 = rotated(v2, 32)
        }

        private func rotated(_ word: UInt64, _ bits: UInt64) -> UInt64 { word << bits | word >> (64 - bits) }
    }
}

extension Span<UInt8> {
    /// Eight bytes as a little-endian number; read at once, since the one check of the bounds covers all.
    @inline(__always) fileprivate func word(at index: Int) -> UInt64 {
        let part = extracting(index..<index + 8)
        var word: UInt64 = 0
        for place in 0..<8 { word |= UInt64(part[place]) &<< UInt64(place &* 8) }
        return word
    }
}
