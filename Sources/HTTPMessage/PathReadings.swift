import Bytes

/// The ways in which programs behind the gateway may read a path.
///
/// They decode it once more, or until nothing is left to decode; take encoded slashes and backslashes for slashes, overlong
/// UTF-8 for the character that it spells, neighbouring slashes for one; cut parameters off; take what follows a leading `//`
/// for an authority. Each of these may come after each other one.
package enum PathReadings {
    /// All readings of a path in normal form but that form itself, each in normal form.
    ///
    /// - Throws: ``TargetError/ambiguousPath`` when one of them is refused as a path, or there are too many.
    package static func all(of target: borrowing RequestTarget) throws(TargetError) -> [[UInt8]] {
        var readings = [target.path]
        var bytes = target.path.count
        var next = 0
        while next < readings.count {
            for way in ways {
                guard let path = way(readings[next]) else { continue }
                var reading = RequestTarget()
                do {
                    try reading.normalize(0..<path.count, of: path.span, segmentsMax: .max)
                } catch {
                    throw .ambiguousPath
                }
                guard !readings.contains(reading.path) else { continue }
                bytes += reading.path.count
                guard readings.count < readingsMax, bytes <= max(bytesMax, 4 * target.path.count) else { throw .ambiguousPath }
                readings.append(reading.path)
            }
            next += 1
        }
        return Array(readings.dropFirst())
    }

    /// Each gives nil for a path in which it finds nothing to read otherwise.
    private static let ways: [@Sendable ([UInt8]) -> [UInt8]?] = [
        { decoded($0, endsAtQuery: false) }, { decoded($0, endsAtQuery: true) }, { withSlashes($0, for: 0x2F) },
        { withSlashes($0, for: 0x5C) }, { withoutOverlongForms($0, of: 2...2) }, { withoutOverlongForms($0, of: 3...6) },
        { withoutParameters($0, areEncoded: false) }, { withoutParameters($0, areEncoded: true) }, withoutEmptySegments,
        withoutAuthority,
    ]

    /// As a program sees it that decodes the path as a whole and reads the outcome as a path.
    private static func decoded(_ path: [UInt8], endsAtQuery: Bool) -> [UInt8]? {
        guard path.contains(0x25) else { return nil }
        var plain: [UInt8] = []
        var index = 0
        while index < path.count {
            if let byte = encodedByte(path, index) {
                plain.append(byte)
                index += 3
            } else {
                plain.append(path[index])
                index += 1
            }
        }
        var written: [UInt8] = []
        for (index, byte) in plain.enumerated() {
            if endsAtQuery, byte == 0x3F || byte == 0x23 { break }
            if byte == 0x2F || byte == 0x25 && encodedByte(plain, index) != nil { written.append(byte) } else { write(byte, to: &written) }
        }
        if written.isEmpty { written = [0x2F] }
        return written
    }

    private static func withSlashes(_ path: [UInt8], for byte: UInt8) -> [UInt8]? {
        replacing(path) { index in
            encodedByte(path, index) == byte ? (0x2F, 3) : nil
        }
    }

    private static func withoutOverlongForms(_ path: [UInt8], of lengths: ClosedRange<Int>) -> [UInt8]? {
        replacing(path) { index in
            guard let lead = encodedByte(path, index) else { return nil }
            let (length, first): (Int, UInt8)
            switch lead {
            case 0xC0, 0xC1: (length, first) = (2, lead & 1)
            case 0xE0: (length, first) = (3, 0)
            case 0xF0: (length, first) = (4, 0)
            case 0xF8: (length, first) = (5, 0)
            case 0xFC: (length, first) = (6, 0)
            default: return nil
            }
            guard lengths.contains(length) else { return nil }
            var value = UInt32(first)
            var next = index + 3
            for _ in 1..<length {
                // Lenient decoders look at the low bits alone, of whatever byte follows.
                guard next < path.count, path[next] != 0x2F else { return nil }
                let encoded = encodedByte(path, next)
                value = value << 6 | UInt32((encoded ?? path[next]) & 0x3F)
                next += encoded == nil ? 1 : 3
            }
            guard value < 0x80 else { return nil }
            return (UInt8(value), next - index)
        }
    }

    private static func withoutParameters(_ path: [UInt8], areEncoded: Bool) -> [UInt8]? {
        var cut: [UInt8] = []
        var isParameter = false
        for (index, byte) in path.enumerated() {
            if byte == 0x2F { isParameter = false }
            if areEncoded ? encodedByte(path, index) == 0x3B : byte == 0x3B { isParameter = true }
            if !isParameter { cut.append(byte) }
        }
        return cut.count == path.count ? nil : cut
    }

    private static func withoutEmptySegments(_ path: [UInt8]) -> [UInt8]? {
        var merged: [UInt8] = []
        for byte in path where byte != 0x2F || merged.last != 0x2F { merged.append(byte) }
        return merged.count == path.count ? nil : merged
    }

    private static func withoutAuthority(_ path: [UInt8]) -> [UInt8]? {
        guard path.starts(with: [0x2F, 0x2F]) else { return nil }
        let rest = path.dropFirst(2).drop { $0 != 0x2F }
        return rest.isEmpty ? [0x2F] : Array(rest)
    }

    /// - Parameter read: what stands at an index instead, and how many bytes it takes the place of; nil for nothing.
    private static func replacing(_ path: [UInt8], _ read: (Int) -> (UInt8, count: Int)?) -> [UInt8]? {
        var written: [UInt8] = []
        var index = 0
        var isChanged = false
        while index < path.count {
            if let (byte, count) = read(index) {
                isChanged = true
                if byte == 0x2F { written.append(byte) } else { write(byte, to: &written) }
                index += count
            } else {
                written.append(path[index])
                index += 1
            }
        }
        return isChanged ? written : nil
    }

    /// The byte whose percent-encoding begins at an index.
    private static func encodedByte(_ path: [UInt8], _ index: Int) -> UInt8? {
        guard index + 2 < path.count, path[index] == 0x25, let high = ASCII.hexValue(path[index + 1]),
            let low = ASCII.hexValue(path[index + 2])
        else { return nil }
        return high << 4 | low
    }

    private static func write(_ byte: UInt8, to path: inout [UInt8]) {
        if ASCII.isPathCharacter(byte) {
            path.append(byte)
        } else {
            path += [0x25, ASCII.hexDigit(byte >> 4, uppercase: true), ASCII.hexDigit(byte & 15, uppercase: true)]
        }
    }
}

/// Honest paths have fewer than ten.
private let readingsMax = 32
/// Of all readings together: they are looked at before anybody has shown a credential.
private let bytesMax = 16_384
