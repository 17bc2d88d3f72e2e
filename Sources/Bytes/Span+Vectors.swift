/// Runs of bytes, many at once.
///
/// Most of what is copied and compared is short: a name, a number, a path. From eight bytes on it goes as vectors or words, the
/// last of which may overlap the one before, so that no rest is left to go byte by byte.
extension MutableSpan<UInt8> {
    /// Copies as many bytes as there are here.
    package mutating func copy(_ source: Span<UInt8>) { copyInline(source) }

    /// As above, without a call.
    @inline(__always) mutating func copyInline(_ source: Span<UInt8>) { copy(source, lowercases: false) }

    /// Copies all bytes to `start` and behind.
    mutating func copy(_ source: Span<UInt8>, at start: Int) {
        guard !source.isEmpty else { return }
        var part = _mutatingExtracting(start..<start + source.count)
        part.copy(source)
    }

    /// Copies as many bytes as there are here, ASCII in lower case, the others as they are.
    @inline(__always) mutating func copy(lowercased source: Span<UInt8>) { copy(source, lowercases: true) }

    @inline(__always) private mutating func copy(_ source: Span<UInt8>, lowercases: Bool) {
        let count = source.count
        precondition(count == self.count, "a copy of another length")
        switch count {
        case 64...: for index in source.indices { self[index] = lowercases ? ASCII.lowercased(source[index]) : source[index] }
        case 33...:
            let (second, third) = (source.vector16(16, lowercases), source.vector16(count &- 32, lowercases))
            copyEnds(source, lowercases)
            put(second, 16)
            put(third, count &- 32)
        case 16...: copyEnds(source, lowercases)
        case 8...:
            let (first, last) = (source.vector8(0, lowercases), source.vector8(count &- 8, lowercases))
            put(first, 0)
            put(last, count &- 8)
        default:
            // Where the bound is not seen, the compiler makes vectors of so few bytes, which cost more.
            for index in 0..<Swift.min(count, 7) { self[index] = lowercases ? ASCII.lowercased(source[index]) : source[index] }
        }
    }

    @inline(__always) private mutating func copyEnds(_ source: Span<UInt8>, _ lowercases: Bool) {
        let (first, last) = (source.vector16(0, lowercases), source.vector16(source.count &- 16, lowercases))
        put(first, 0)
        put(last, source.count &- 16)
    }

    @inline(__always) private mutating func put(_ vector: SIMD16<UInt8>, _ start: Int) {
        var part = _mutatingExtracting(start..<start &+ 16)
        for place in 0..<16 { part[place] = vector[place] }
    }

    @inline(__always) private mutating func put(_ vector: SIMD8<UInt8>, _ start: Int) {
        var part = _mutatingExtracting(start..<start &+ 8)
        for place in 0..<8 { part[place] = vector[place] }
    }
}

extension Span<UInt8> {
    /// Byte for byte.
    @inlinable package func equals(_ other: Span<UInt8>) -> Bool { count == other.count && isSame(other) }

    /// Without regard to ASCII case.
    @inlinable package func equalsIgnoringCase(_ other: Span<UInt8>) -> Bool { count == other.count && isSameIgnoringCase(other) }

    @usableFromInline func isSame(_ other: Span<UInt8>) -> Bool { isSame(other, ignoresCase: false) }
    @usableFromInline func isSameIgnoringCase(_ other: Span<UInt8>) -> Bool { isSame(other, ignoresCase: true) }

    @inline(__always) private func isSame(_ other: Span<UInt8>, ignoresCase: Bool) -> Bool {
        precondition(count == other.count, "a comparison with another length")
        guard count >= 8 else {
            for index in 0..<Swift.min(count, 7) {
                let (one, two) = (self[index], other[index])
                guard one == two || ignoresCase && ASCII.lowercased(one) == ASCII.lowercased(two) else { return false }
            }
            return true
        }
        var start = 0
        while start < count &- 8 {
            guard word(start, ignoresCase) == other.word(start, ignoresCase) else { return false }
            start &+= 8
        }
        return word(count &- 8, ignoresCase) == other.word(count &- 8, ignoresCase)
    }

    // Element by element, of which the compiler makes one load.
    @inline(__always) private func word(_ start: Int, _ lowercases: Bool) -> UInt64 {
        let part = extracting(start..<start &+ 8)
        var word: UInt64 = 0
        for place in 0..<8 { word |= UInt64(part[place]) &<< UInt64(place &* 8) }
        guard lowercases else { return word }
        let low = word & 0x7F7F_7F7F_7F7F_7F7F
        // The high bit of each byte: from A on, and beyond Z.
        let isLetter = (low &+ 0x3F3F_3F3F_3F3F_3F3F) ^ (low &+ 0x2525_2525_2525_2525)
        return word | (isLetter & ~word & 0x8080_8080_8080_8080) &>> 2
    }

    @inline(__always) fileprivate func vector16(_ start: Int, _ lowercases: Bool) -> SIMD16<UInt8> {
        let part = extracting(start..<start &+ 16)
        let vector = SIMD16(
            part[0], part[1], part[2], part[3], part[4], part[5], part[6], part[7],
            part[8], part[9], part[10], part[11], part[12], part[13], part[14], part[15])
        guard lowercases else { return vector }
        let low = vector & 0x7F
        return vector | (((low &+ 0x3F) ^ (low &+ 0x25)) & ~vector & 0x80) &>> 2
    }

    @inline(__always) fileprivate func vector8(_ start: Int, _ lowercases: Bool) -> SIMD8<UInt8> {
        let part = extracting(start..<start &+ 8)
        let vector = SIMD8(part[0], part[1], part[2], part[3], part[4], part[5], part[6], part[7])
        guard lowercases else { return vector }
        let low = vector & 0x7F
        return vector | (((low &+ 0x3F) ^ (low &+ 0x25)) & ~vector & 0x80) &>> 2
    }
}
