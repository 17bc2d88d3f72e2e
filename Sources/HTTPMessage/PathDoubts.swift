import Bytes

/// What in a path other programs read in other ways than this one.
package struct PathDoubts: OptionSet, Sendable {
    package let rawValue: UInt8

    package init(rawValue: UInt8) { self.rawValue = rawValue }

    /// A `;`, plain or encoded, behind which some servers see parameters that are no part of the path (RFC 3986 §3.3).
    package static let parameters = PathDoubts(rawValue: 1)
    /// Two slashes beside each other, which many servers take for one.
    package static let emptySegments = PathDoubts(rawValue: 2)
    /// An encoded slash, or a backslash in either form.
    package static let slashes = PathDoubts(rawValue: 4)
    /// An encoded `%`, `?` or `#`: they mean more to those who decode once too often.
    package static let encodings = PathDoubts(rawValue: 8)
    /// A byte that may begin the overlong form of an ASCII character (RFC 3629 §10).
    package static let overlong = PathDoubts(rawValue: 16)

    /// Of a byte that stands percent-encoded in the path.
    init(encoded byte: UInt8) {
        switch byte {
        case 0x3B: self = .parameters
        case 0x2F, 0x5C: self = .slashes
        case 0x25, 0x3F, 0x23: self = .encodings
        case 0xC0, 0xC1, 0xE0, 0xF0, 0xF8, 0xFC: self = .overlong
        default: self = []
        }
    }
}
