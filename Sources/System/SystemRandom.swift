import CLinux

/// Random bytes from the kernel.
package enum SystemRandom {
    package static func bytes(_ count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        // SAFETY: plain bytes, lent for the call.
        unsafe bytes.withUnsafeMutableBytes { unsafe fill($0) }
        return bytes
    }

    package static func words(_ count: Int) -> [UInt32] {
        var words = [UInt32](repeating: 0, count: count)
        // SAFETY: as above; any bytes are a number.
        unsafe words.withUnsafeMutableBytes { unsafe fill($0) }
        return words
    }

    private static func fill(_ bytes: UnsafeMutableRawBufferPointer) {
        var filled = 0
        while filled < bytes.count {
            // SAFETY: the range lies in what the caller lends.
            let got = unsafe getrandom(bytes.baseAddress! + filled, bytes.count - filled, 0)
            // The kernel's generator does not fail once the system is up; without it no secret is safe.
            precondition(got > 0 || errno == EINTR, "the kernel gives no random bytes")
            filled += max(0, got)
        }
    }

    package static func word() -> UInt64 { bytes(8).reduce(0) { $0 << 8 | UInt64($1) } }
}
