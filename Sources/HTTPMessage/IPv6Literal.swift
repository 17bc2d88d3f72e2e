import Bytes

/// An IPv6 address in text, without a zone. Source: RFC 4291 §2.2, RFC 5952.
struct IPv6Literal: Sendable {
    private var groups = [8 of UInt16](repeating: 0)

    init?(_ text: Span<UInt8>) {
        var count = 0
        var gap: Int?
        var index = 0
        if text.count >= 2, text[0] == 0x3A, text[1] == 0x3A {
            gap = 0
            index = 2
        }
        while index < text.count {
            guard count < 8 else { return nil }
            let start = index
            var value: UInt16 = 0
            while index < text.count, let digit = ASCII.hexValue(text[index]) {
                guard index - start < 4 else { return nil }
                value = value << 4 | UInt16(digit)
                index += 1
            }
            if index < text.count, text[index] == 0x2E {
                guard count <= 6, let last = Self.dotted(text.extracting(start..<text.count)) else { return nil }
                groups[count] = UInt16(truncatingIfNeeded: last >> 16)
                groups[count + 1] = UInt16(truncatingIfNeeded: last)
                count += 2
                break
            }
            guard index > start else { return nil }
            groups[count] = value
            count += 1
            guard index < text.count else { break }
            guard text[index] == 0x3A, index + 1 < text.count else { return nil }
            index += 1
            guard text[index] == 0x3A else { continue }
            guard gap == nil else { return nil }
            gap = count
            index += 1
        }
        guard let gap else {
            guard count == 8 else { return nil }
            return
        }
        guard count < 8 else { return nil }
        // What stands behind `::` moves to the end.
        let moved = count - gap
        for place in 0..<moved {
            groups[7 - place] = groups[count - 1 - place]
        }
        for place in gap..<8 - moved { groups[place] = 0 }
    }

    /// `192.0.2.1`, without leading zeros.
    private static func dotted(_ text: Span<UInt8>) -> UInt32? {
        var address: UInt32 = 0
        var parts = 0
        var start = 0
        while parts < 4 {
            let end = text.firstIndex(of: 0x2E, from: start) ?? text.count
            let part = text.extracting(start..<end)
            guard part.count == 1 || part.count > 1 && part.count <= 3 && part[0] != 0x30, let value = part.decimal(max: 255) else {
                return nil
            }
            address = address << 8 | UInt32(truncatingIfNeeded: value)
            parts += 1
            if end == text.count { return parts == 4 ? address : nil }
            start = end + 1
        }
        return nil
    }

    /// Appends the address in brackets.
    func append(to output: inout [UInt8]) {
        // The first of the longest runs of zeros, of two groups or more.
        var (best, bestLength) = (8, 1)
        var run = 0
        for place in 0..<8 {
            run = groups[place] == 0 ? run + 1 : 0
            if run > bestLength { (best, bestLength) = (place + 1 - run, run) }
        }
        output.append(0x5B)
        var place = 0
        while place < 8 {
            if place == best {
                output.append("::")
                place += bestLength
                continue
            }
            if place > 0, place != best + bestLength { output.append(0x3A) }
            let digits = max(1, (19 - groups[place].leadingZeroBitCount) / 4)
            output.append(hexadecimal: UInt64(groups[place]), digits: digits)
            place += 1
        }
        output.append(0x5D)
    }
}
