import CLinux

/// The heap of this process, libraries included.
package enum HeapMemory {
    /// Whether more than so many bytes are in use.
    ///
    /// What the allocator has given out is found by a walk over all that it has not, which takes milliseconds behind a busy
    /// hour. The pages that the process holds are no fewer and known at once, so mostly they are answer enough.
    package static func isInUse(moreThan limit: UInt64) -> Bool { residentBytes > limit && UInt64(pc_heap_in_use()) > limit }

    /// Bytes of the pages that this process holds, shared ones too.
    private static var residentBytes: UInt64 {
        guard let text = try? LocalFiles.read("/proc/self/statm") else { return .max }
        let pages = text.split(separator: 0x20).dropFirst().first.flatMap { UInt64(String(decoding: $0, as: UTF8.self)) }
        return pages.map { $0.multipliedReportingOverflow(by: UInt64(clamping: sysconf(Int32(_SC_PAGESIZE)))).partialValue } ?? .max
    }
}
