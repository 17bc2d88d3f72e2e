import CLinux
import Synchronization

/// Memory that several processes map: words of 64 bits with atomic access, and bytes.
///
/// All offsets are checked. Bytes are plain memory: who writes them and who reads them must be agreed upon by words.
@safe @usableFromInline package final class SharedMemory {
    @usableFromInline package let words: Int
    package let descriptor: Descriptor
    @usableFromInline let base: UnsafeMutableRawPointer

    /// New memory of `words` words, all zero.
    package convenience init(words: Int) throws(SystemError) {
        // SAFETY: the literal is terminated.
        let raw = unsafe pc_memfd_create("portcullis")
        guard raw >= 0 else { throw SystemError("memfd_create") }
        let descriptor = Descriptor(owning: raw)
        guard ftruncate(raw, words * 8) == 0 else { throw SystemError("ftruncate") }
        guard pc_seal_size(raw) == 0 else { throw SystemError("F_ADD_SEALS") }
        try self.init(mapping: descriptor)
    }

    /// Maps memory that another process made.
    package init(mapping descriptor: consuming Descriptor) throws(SystemError) {
        var status = stat()
        // SAFETY: `status` lives for the call, which fills it.
        guard unsafe fstat(descriptor.raw, &status) == 0 else { throw SystemError("fstat") }
        let size = Int(status.st_size)
        // SAFETY: a new mapping, owned by this object and unmapped in deinit.
        let mapped = unsafe mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor.raw, 0)
        guard let mapped = unsafe mapped, unsafe pc_is_map_failed(mapped) == 0 else { throw SystemError("mmap") }
        unsafe base = mapped
        words = size / 8
        self.descriptor = descriptor
    }

    deinit { unsafe munmap(base, words * 8) }

    package func load(_ word: Int) -> UInt64 { unsafe atomic(word).pointee.load(ordering: .acquiring) }

    package func store(_ word: Int, _ value: UInt64) { unsafe atomic(word).pointee.store(value, ordering: .releasing) }

    /// Stores `desired` if the word is `expected`; returns whether it did, and the value found.
    package func compareExchange(_ word: Int, expected: UInt64, desired: UInt64) -> (exchanged: Bool, original: UInt64) {
        unsafe atomic(word).pointee.compareExchange(expected: expected, desired: desired, ordering: .acquiringAndReleasing)
    }

    @discardableResult
    package func add(_ word: Int, _ value: UInt64) -> UInt64 {
        unsafe atomic(word).pointee.wrappingAdd(value, ordering: .relaxed).newValue
    }

    /// As ``add(_:_:)``, for a word that no other process writes: it costs no more than any other word. Who reads it sees the old number or
    /// the new one.
    @inlinable @inline(__always)
    package func addAlone(_ word: Int, _ value: UInt64) {
        precondition(word >= 0 && word < words, "outside of the shared memory")
        // SAFETY: the word lies in the mapping and is aligned, so that it is read and written as a whole.
        let place = unsafe base.advanced(by: word * 8).assumingMemoryBound(to: UInt64.self)
        unsafe place.pointee = place.pointee &+ value
    }

    /// Copies `bytes` to the byte offset `offset`.
    package func write(_ bytes: Span<UInt8>, at offset: Int) {
        precondition(offset >= 0 && bytes.count <= words * 8 - offset, "outside of the shared memory")
        // SAFETY: the range was checked to lie in the mapping, which lives as long as this object.
        unsafe bytes.withUnsafeBytes { source in
            guard let start = source.baseAddress else { return }
            unsafe base.advanced(by: offset).copyMemory(from: start, byteCount: source.count)
        }
    }

    /// Appends `count` bytes at `offset` to `output`.
    package func read(at offset: Int, count: Int, into output: inout [UInt8]) {
        precondition(offset >= 0 && count >= 0 && count <= words * 8 - offset, "outside of the shared memory")
        // SAFETY: as above.
        unsafe output.append(contentsOf: UnsafeRawBufferPointer(start: base.advanced(by: offset), count: count))
    }

    private func atomic(_ word: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
        precondition(word >= 0 && word < words, "outside of the shared memory")
        // SAFETY: the mapping is page-aligned and the word lies in it; Atomic<UInt64> has the layout of UInt64.
        return unsafe base.advanced(by: word * 8).assumingMemoryBound(to: Atomic<UInt64>.self)
    }
}
