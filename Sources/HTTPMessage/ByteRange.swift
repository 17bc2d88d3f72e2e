/// Where a name or value stands in the bytes of its head. 32 bits suffice: no head is longer than 64 KiB.
package struct ByteRange: Equatable, Sendable {
    package var start: UInt32
    package var count: UInt32

    package init(start: UInt32 = 0, count: UInt32 = 0) {
        self.start = start
        self.count = count
    }

    package init(_ range: Range<Int>) {
        start = UInt32(clamping: range.lowerBound)
        count = UInt32(clamping: range.count)
    }

    package var range: Range<Int> { Int(start)..<Int(start) + Int(count) }
    package var isEmpty: Bool { count == 0 }
}
