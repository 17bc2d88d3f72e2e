import Bytes

/// The pieces between the semicolons of a Cookie field, whatever stands in them.
package struct CookiePieces {
    package struct Piece {
        /// Without white space: what stands before `=`, or all of a piece without one.
        package let name: Range<Int>
        package let whole: Range<Int>
    }

    private var position: Int
    private let end: Int
    private var isOver = false

    package init(range: Range<Int>) {
        position = range.lowerBound
        end = range.upperBound
    }

    package mutating func next(in bytes: Span<UInt8>) -> Piece? {
        guard !isOver else { return nil }
        var semicolon = position
        while semicolon < end, bytes[semicolon] != 0x3B { semicolon += 1 }
        let whole = position..<semicolon
        var equals = position
        while equals < semicolon, bytes[equals] != 0x3D { equals += 1 }
        isOver = semicolon == end
        position = semicolon + 1
        return Piece(name: bytes.trimmed(whole.lowerBound..<equals), whole: whole)
    }
}
