import Bytes

extension RequestHead {
    /// Where the path of the target stands as it was received: without scheme and authority, in which a password may stand, and without query
    /// and fragment, in which other secrets may.
    package var rawPathRange: ByteRange {
        let target = targetRange.range
        var start = target.lowerBound
        // An absolute form begins with a scheme.
        if start < target.upperBound, bytes[start] != UInt8(ascii: "/"),
            let colon = target.first(where: { bytes[$0] == UInt8(ascii: ":") }), colon + 2 < target.upperBound,
            bytes[colon + 1] == UInt8(ascii: "/"), bytes[colon + 2] == UInt8(ascii: "/")
        {
            start =
                (colon + 3..<target.upperBound).first { bytes[$0] == UInt8(ascii: "/") || Self.endsPath(bytes[$0]) } ?? target.upperBound
        }
        let end = (start..<target.upperBound).first { Self.endsPath(bytes[$0]) } ?? target.upperBound
        return ByteRange(start..<end)
    }

    private static func endsPath(_ byte: UInt8) -> Bool { byte == UInt8(ascii: "?") || byte == UInt8(ascii: "#") }
}
