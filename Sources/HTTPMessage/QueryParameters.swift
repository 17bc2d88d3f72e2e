import Bytes

/// The parameters of a target's query, one after the other, as they stand there.
package struct QueryParameters {
    package struct Parameter {
        package let name: Range<Int>
        package let value: Range<Int>
        /// With what separates it from the next, if there is one.
        package let whole: Range<Int>

        /// Whether its name, decoded, is this one.
        package func isNamed(_ text: String, in bytes: Span<UInt8>) -> Bool {
            bytes.extracting(name).percentDecoded(plusIsSpace: true).elementsEqual(text.utf8)
        }
    }

    private var position: Int
    private let end: Int

    /// - Parameter target: of a request, whose query begins behind the first `?`.
    package init(target: Range<Int>, in bytes: Span<UInt8>) {
        var start = target.lowerBound
        while start < target.upperBound, bytes[start] != UInt8(ascii: "?") { start += 1 }
        position = min(start + 1, target.upperBound)
        end = target.upperBound
    }

    package mutating func next(in bytes: Span<UInt8>) -> Parameter? {
        guard position < end else { return nil }
        let start = position
        var stop = start
        while stop < end, bytes[stop] != UInt8(ascii: "&") { stop += 1 }
        var equals = start
        while equals < stop, bytes[equals] != UInt8(ascii: "=") { equals += 1 }
        position = min(stop + 1, end)
        return Parameter(name: start..<equals, value: min(equals + 1, stop)..<stop, whole: start..<position)
    }
}
