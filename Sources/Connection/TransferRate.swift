package import Time
import System

/// A rate below which a peer is too slow.
package struct TransferRate: Sendable {
    package let bytes: UInt64
    package let window: Nanoseconds

    package init(bytes: UInt64, window: Nanoseconds) {
        self.bytes = bytes
        self.window = window
    }

    /// Whether so many bytes in so long a time are enough.
    func isReached(by count: UInt64, in elapsed: Nanoseconds) -> Bool {
        Double(count) * Double(window.count) >= Double(bytes) * Double(elapsed.count)
    }
}
