/// Writes numbers, texts and bytes one after the other.
package struct MessageWriter {
    package private(set) var output: [UInt8] = []

    package init() {}
    package init(_ kind: MessageKind) { output.append(kind.rawValue) }

    package mutating func reserve(_ bytes: Int) { output.reserveCapacity(bytes) }

    package mutating func number(_ value: UInt64) {
        for place in 0..<8 { output.append(UInt8(truncatingIfNeeded: value >> UInt64(place * 8))) }
    }

    package mutating func bytes(_ value: [UInt8]) {
        number(UInt64(value.count))
        output.append(contentsOf: value)
    }

    package mutating func text(_ value: String) { bytes(Array(value.utf8)) }
}
