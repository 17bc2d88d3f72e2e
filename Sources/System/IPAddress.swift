import Bytes
import CLinux

/// An IPv4 or IPv6 address; IPv4 is held as its IPv6-mapped form (RFC 4291 §2.5.5.2), so one address has one value.
package struct IPAddress: Hashable, Sendable {
    package let high: UInt64
    package let low: UInt64

    package init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    package init(v4: UInt32) { self.init(high: 0, low: 0xFFFF_0000_0000 | UInt64(v4)) }

    /// Reads `192.0.2.1` or `2001:db8::1`; a zone is refused.
    package init?(_ text: String) {
        var four = in_addr()
        // SAFETY: inet_pton reads a terminated string and fills exactly the structure of its family.
        if unsafe inet_pton(AF_INET, text, &four) == 1 {
            self.init(v4: UInt32(bigEndian: four.s_addr))
            return
        }
        var six = in6_addr()
        // SAFETY: as above.
        guard unsafe inet_pton(AF_INET6, text, &six) == 1 else { return nil }
        self.init(six)
    }

    init(_ address: in6_addr) {
        var words = [2 of UInt64](repeating: 0)
        // SAFETY: the structure is 16 plain bytes.
        unsafe withUnsafeBytes(of: address) { bytes in
            for index in 0..<16 { words[index / 8] = words[index / 8] << 8 | UInt64(unsafe bytes[index]) }
        }
        self.init(high: words[0], low: words[1])
    }

    package var isV4: Bool { high == 0 && low >> 32 == 0xFFFF }

    package var v4: UInt32 { UInt32(truncatingIfNeeded: low) }

    /// The text of RFC 5952, without brackets.
    package var text: String {
        if isV4 {
            var digits: [UInt8] = []
            digits.reserveCapacity(15)
            for place in 0..<4 {
                if place > 0 { digits.append(0x2E) }
                digits.append(decimal: UInt64(v4 >> UInt32(24 - place * 8) & 255))
            }
            return String(decoding: digits, as: UTF8.self)
        }
        var address = in6
        var buffer = [CChar](repeating: 0, count: 64)
        // SAFETY: inet_ntop writes at most the size given and terminates the string.
        return unsafe buffer.withUnsafeMutableBufferPointer {
            unsafe inet_ntop(AF_INET6, &address, $0.baseAddress, socklen_t($0.count)) == nil ? "?" : String(cString: $0.baseAddress!)
        }
    }

    var in6: in6_addr {
        var address = in6_addr()
        // SAFETY: the structure is 16 plain bytes.
        unsafe withUnsafeMutableBytes(of: &address) { bytes in
            for index in 0..<8 {
                unsafe bytes[index] = UInt8(truncatingIfNeeded: high >> UInt64(56 - index * 8))
                unsafe bytes[index + 8] = UInt8(truncatingIfNeeded: low >> UInt64(56 - index * 8))
            }
        }
        return address
    }
}
