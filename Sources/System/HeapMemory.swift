import CLinux

/// The heap of this process, libraries included.
package enum HeapMemory {
    /// Whether more than so many bytes are in use.
    ///
    /// What the allocator has given out is found by a walk over all that it has not, which takes milliseconds behind a busy
    /// hour. The pages that the process holds are no fewer and known at once, so mostly they are answer enough.
    package static func isInUse(moreThan limit: UInt64) -> Bool { pageBytes > limit && UInt64(pc_heap_in_use()) > limit }

    /// Bytes of the pages that this process holds, in memory or swapped out, shared ones too; all that there can be where the system
    /// does not say.
    package static var pageBytes: UInt64 {
        guard let status = try? LocalFiles.read("/proc/self/status", bufferBytes: 4_096) else { return .max }
        var kibibytes: UInt64 = 0
        for line in status.split(separator: 0x0A) {
            let words = line.split { $0 == 0x20 || $0 == 0x09 }
            guard words.count == 3, words[0].elementsEqual("VmRSS:".utf8) || words[0].elementsEqual("VmSwap:".utf8),
                let count = UInt64(String(decoding: words[1], as: UTF8.self))
            else { continue }
            kibibytes += count
        }
        return kibibytes == 0 ? .max : kibibytes * 1_024
    }
}
