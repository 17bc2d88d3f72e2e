/// A rate below which a peer is too slow.
package struct TransferRate: Sendable {
    package let bytes: UInt64
    package let windowNanoseconds: UInt64

    package init(bytes: UInt64, windowNanoseconds: UInt64) {
        self.bytes = bytes
        self.windowNanoseconds = windowNanoseconds
    }

    /// Whether so many bytes in so many nanoseconds are enough.
    func isReached(by count: UInt64, in elapsed: UInt64) -> Bool {
        Double(count) * Double(windowNanoseconds) >= Double(bytes) * Double(elapsed)
    }
}
