import CLinux

/// What is not to lie about in memory when it has been used.
package enum Secrets {
    /// Overwrites bytes that were read from outside, where they lie and for all who share them: nobody looks at them again.
    package static func wipe(_ bytes: [UInt8]) { overwrite(bytes, bytes.indices, with: 0) }

    /// Puts `A` in the place of all but white space, so that what reads the text around it still finds its way.
    package static func wipe(textIn range: Range<Int>, of bytes: [UInt8]) {
        precondition(range.lowerBound >= 0 && range.upperBound <= bytes.count, "a secret lies within its bytes")
        var start = range.lowerBound
        while start < range.upperBound {
            let end = bytes[start..<range.upperBound].firstIndex { $0 <= 0x20 } ?? range.upperBound
            overwrite(bytes, start..<end, with: 0x41)
            start = end + 1
        }
    }

    private static func overwrite(_ bytes: [UInt8], _ range: Range<Int>, with byte: UInt8) {
        // SAFETY: the range lies in the array's own storage, on the heap, which is lent for the call; no other thread has it.
        unsafe bytes.withUnsafeBytes { storage in
            guard let start = storage.baseAddress, !range.isEmpty else { return }
            let place = unsafe UnsafeMutableRawPointer(mutating: start + range.lowerBound)
            unsafe explicit_bzero(place, range.count)
            if byte != 0 { unsafe memset(place, Int32(byte), range.count) }
        }
    }
}
