import CLinux

/// The heap of this process, libraries included.
package enum HeapMemory {
    /// Bytes that are in use; takes some microseconds to find out.
    package static var bytesInUse: UInt64 { UInt64(pc_heap_in_use()) }
}
