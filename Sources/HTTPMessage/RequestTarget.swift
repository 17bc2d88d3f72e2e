import Bytes

/// Why a request target is refused. Each is a way in which two programs could read one target differently.
package enum TargetError: String, Error, CaseIterable, Sendable {
    case notAbsolute, tooLong, tooManySegments, badCharacter, badPercentEncoding, encodedControl
    case dotSegment, fragment, authorityMismatch, badAuthority, ambiguousPath

    package var explanation: String {
        switch self {
        case .notAbsolute: "the target is neither a path nor an http(s) URL"
        case .tooLong: "the target is longer than client_limits { target_size } allows"
        case .tooManySegments: "the path has more segments than client_limits { segments } allows"
        case .badCharacter: "the target holds a character that must be percent-encoded"
        case .badPercentEncoding: "a % in the path is not followed by two hexadecimal digits"
        case .encodedControl: "the path holds an encoded control character"
        case .dotSegment: "the path holds a dot segment"
        case .fragment: "the target holds a fragment"
        case .ambiguousPath: "another program could read the path in a way that leads elsewhere"
        case .authorityMismatch: "the target and the Host field name different hosts"
        case .badAuthority: "the host is not valid"
        }
    }
}

/// A request target in the one form that is matched, authorised and forwarded.
///
/// Characters that may stand in a path as they are, but `;` and `+`, are decoded; all other percent-encodings are kept with
/// upper-case digits; what clients send unencoded though it must not be (``ASCII/isLooseInPath(_:)``) is encoded. Segments
/// of one dot are taken out; one of two is refused, as are control characters. Normalising a normal form changes nothing.
///
/// A normal form that is not plain may be read in other ways by other programs: ``PathReadings`` has them.
/// Source: RFC 3986 §5.2.4 and §6.2.2, RFC 9110 §4.2.3, RFC 9112 §3.2.
package struct RequestTarget: ~Copyable {
    package private(set) var path: [UInt8] = []
    /// The segments between slashes, as ranges of `path`; without the empty one after a last slash.
    package private(set) var segments: [ByteRange] = []
    package private(set) var endsWithSlash = false
    /// What in the path other programs read in other ways.
    package private(set) var doubts = PathDoubts()
    /// With its `?`, as a range of the head's bytes; empty when there is none.
    package private(set) var query = ByteRange()
    /// The authority of an absolute-form target, as a range of the head's bytes; empty in origin-form.
    package private(set) var authority = ByteRange()

    package init() {
        path.reserveCapacity(256)
        segments.reserveCapacity(16)
    }

    package var pathSpan: Span<UInt8> {
        @_lifetime(borrow self) get { path.span }
    }

    /// Reads the target that stands at `range` of `bytes`.
    ///
    /// - Parameter segmentsMax: how many segments the path may have.
    /// - Throws: ``TargetError``; the value is then unusable until the next call.
    package mutating func normalize(
        _ range: Range<Int>, of bytes: Span<UInt8>, segmentsMax: Int = Limits.pathSegmentsMax
    ) throws(TargetError) {
        path.removeAll(keepingCapacity: true)
        segments.removeAll(keepingCapacity: true)
        query = ByteRange()
        authority = ByteRange()
        doubts = PathDoubts()
        let pathStart = try locatePath(range, of: bytes)
        var index = try normalizePath(pathStart..<range.upperBound, of: bytes, segmentsMax)
        guard index < range.upperBound else { return }
        if bytes[index] == 0x23 { throw .fragment }
        let queryStart = index
        while index < range.upperBound {
            let byte = bytes[index]
            if byte == 0x23 { throw .fragment }
            guard ASCII.isQueryCharacter(byte) || byte == 0x25 else { throw .badCharacter }
            index += 1
        }
        query = ByteRange(queryStart..<range.upperBound)
    }

    /// The same with letters of one case, to be compared with what is folded too; nothing else is to be done with it.
    package func folded() -> RequestTarget {
        var copy = RequestTarget()
        copy.path = path.map(ASCII.lowercased)
        copy.segments = segments
        copy.endsWithSlash = endsWithSlash
        return copy
    }

    /// The bytes of segment `index` with every percent-encoding decoded.
    package func decodedSegment(_ index: Int) -> [UInt8] { pathSpan.extracting(segments[index].range).percentDecoded() }

    /// Finds where the path begins: at once in origin-form, after the authority in absolute-form.
    private mutating func locatePath(_ range: Range<Int>, of bytes: Span<UInt8>) throws(TargetError) -> Int {
        guard let first = range.first else { throw .notAbsolute }
        if bytes[first] == 0x2F { return first }
        let target = bytes.extracting(range)
        let scheme =
            target.count >= 7 && target.extracting(0..<7).equalsIgnoringCase("http://")
            ? 7 : target.count >= 8 && target.extracting(0..<8).equalsIgnoringCase("https://") ? 8 : 0
        guard scheme > 0 else { throw .notAbsolute }
        let start = range.lowerBound + scheme
        var end = start
        while end < range.upperBound, bytes[end] != 0x2F, bytes[end] != 0x3F, bytes[end] != 0x23 {
            end += 1
        }
        guard Authority(bytes.extracting(start..<end)) != nil else { throw .badAuthority }
        authority = ByteRange(start..<end)
        return end
    }

    /// Appends the normal form of the path and returns where it ends: at `?`, at `#` or at the end of the target.
    private mutating func normalizePath(
        _ range: Range<Int>, of bytes: Span<UInt8>, _ segmentsMax: Int
    ) throws(TargetError) -> Int {
        path.append(0x2F)
        endsWithSlash = true
        var index = range.lowerBound
        guard index < range.upperBound, bytes[index] == 0x2F else { return index }
        index += 1
        var segmentStart = path.count
        while index < range.upperBound {
            let byte = bytes[index]
            if ASCII.isPathCharacter(byte) {
                let start = index
                repeat {
                    if bytes[index] == 0x3B { doubts.insert(.parameters) }
                    index += 1
                } while index < range.upperBound && ASCII.isPathCharacter(bytes[index])
                path.append(bytes.extracting(start..<index))
                continue
            }
            switch byte {
            case 0x2F:
                if path.count == segmentStart { doubts.insert(.emptySegments) }
                if try closeSegment(from: segmentStart, segmentsMax) { path.append(0x2F) }
                segmentStart = path.count
                index += 1
            case 0x25:
                guard range.upperBound - index >= 3, let high = ASCII.hexValue(bytes[index + 1]),
                    let low = ASCII.hexValue(bytes[index + 2])
                else { throw .badPercentEncoding }
                try appendDecoded(high << 4 | low)
                index += 3
            case 0x3F, 0x23:
                try closeLast(from: segmentStart, segmentsMax)
                return index
            default:
                guard ASCII.isLooseInPath(byte) else { throw .badCharacter }
                try appendDecoded(byte)
                index += 1
            }
        }
        try closeLast(from: segmentStart, segmentsMax)
        return index
    }

    private mutating func closeLast(from start: Int, _ segmentsMax: Int) throws(TargetError) {
        endsWithSlash = true
        if path.count > start { endsWithSlash = try !closeSegment(from: start, segmentsMax) }
    }

    private mutating func appendDecoded(_ byte: UInt8) throws(TargetError) {
        if byte < 0x20 || byte == 0x7F { throw .encodedControl }
        doubts.formUnion(PathDoubts(encoded: byte))
        // `;` and `+` mean something else encoded than plain to too many servers; they keep their spelling.
        if ASCII.isPathCharacter(byte), byte != 0x3B, byte != 0x2B {
            path.append(byte)
        } else {
            path.append(0x25)
            path.append(ASCII.hexDigit(byte >> 4, uppercase: true))
            path.append(ASCII.hexDigit(byte & 15, uppercase: true))
        }
    }

    /// Records the segment that ends at the end of `path`; false when it was one dot and is gone (RFC 3986 §5.2.4). A segment
    /// of dots is refused with its parameters too: some servers cut `..;x` down to `..` before they resolve it.
    private mutating func closeSegment(from start: Int, _ segmentsMax: Int) throws(TargetError) -> Bool {
        guard segments.count < segmentsMax else { throw .tooManySegments }
        var dots = 0
        while start + dots < path.count, path[start + dots] == 0x2E { dots += 1 }
        if dots == 1 || dots == 2 {
            let after = start + dots
            // %3B is the encoded semicolon; it hides a parameter from nobody who decodes.
            let isParameter =
                after < path.count
                && (path[after] == 0x3B
                    || (path.count - after >= 3 && path[after] == 0x25 && path[after + 1] == 0x33 && path[after + 2] == UInt8(ascii: "B")))
            if after == path.count, dots == 1 {
                path.removeLast()
                return false
            }
            if after == path.count || isParameter { throw .dotSegment }
        }
        segments.append(ByteRange(start..<path.count))
        return true
    }
}

extension RequestTarget {
    /// Normalises the target of `head`; an absolute-form target must name the host that the Host field does.
    package mutating func normalize(_ head: borrowing RequestHead, _ limits: HeadLimits) throws(TargetError) {
        guard head.targetRange.range.count <= limits.targetBytes else { throw .tooLong }
        try normalize(head.targetRange.range, of: head.bytes, segmentsMax: limits.segments)
        guard !authority.isEmpty, let host = head.value(.host) else { return }
        guard head.bytes.extracting(authority.range).equalsIgnoringCase(head.bytes.extracting(host)) else { throw .authorityMismatch }
    }
}
