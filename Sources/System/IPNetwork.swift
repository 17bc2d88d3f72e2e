import Bytes
import CLinux

/// A network such as `10.0.0.0/8`.
package struct IPNetwork: Hashable, Sendable {
    private let address: IPAddress
    private let highMask: UInt64
    private let lowMask: UInt64

    /// Reads `address/bits`, or one address alone; bits set beyond the prefix are refused.
    package init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count <= 2, let address = IPAddress(String(parts[0])) else { return nil }
        var bits = 128
        if parts.count == 2 {
            guard let given = Int(parts[1]), given >= 0, given <= (address.isV4 ? 32 : 128) else { return nil }
            bits = address.isV4 ? given + 96 : given
        }
        highMask = bits >= 64 ? .max : bits == 0 ? 0 : ~(UInt64.max >> UInt64(bits))
        lowMask = bits >= 128 ? .max : bits <= 64 ? 0 : ~(UInt64.max >> UInt64(bits - 64))
        guard address.high & ~highMask == 0, address.low & ~lowMask == 0 else { return nil }
        self.address = address
    }

    /// The address and the length of the prefix; that of IPv4 counts the 96 bits before.
    package var text: String { "\(address.text)/\(highMask.nonzeroBitCount + lowMask.nonzeroBitCount)" }

    package func contains(_ other: IPAddress) -> Bool {
        other.high & highMask == address.high && other.low & lowMask == address.low
    }
}
