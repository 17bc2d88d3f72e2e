/// Bytes waiting between a reader and a writer: appended at the tail, dropped from the head.
///
/// Invariant: `head <= tail <= storage.count`. Storage is given back when the queue runs empty and its owner says so,
/// because an idle connection should hold no buffer.
@usableFromInline package struct ByteQueue: ~Copyable {
    @usableFromInline var storage: [UInt8] = []
    @usableFromInline var head = 0
    @usableFromInline var tail = 0

    @inlinable package init() {}

    @inlinable package var count: Int { tail &- head }
    @inlinable package var isEmpty: Bool { tail == head }
    @inlinable package var capacity: Int { storage.count }

    /// All waiting bytes, oldest first.
    @inlinable package var readable: Span<UInt8> {
        @_lifetime(borrow self) get { storage.span.extracting(head..<tail) }
    }

    package mutating func append(_ bytes: Span<UInt8>) {
        reserve(bytes.count)
        let base = tail
        var free = storage.mutableSpan
        var part = free._mutatingExtracting(base..<(base + bytes.count))
        part.copyInline(bytes)
        tail += bytes.count
    }

    /// Takes the place of all that waits, without room for more where there is too little.
    package mutating func replace(with bytes: Span<UInt8>) {
        removeAll()
        if storage.count < bytes.count { storage = [UInt8](repeating: 0, count: max(bytes.count, 1024)) }
        append(bytes)
    }

    /// Appends a line's pieces and its end, at less cost than one after the other.
    package mutating func append(line first: Span<UInt8>, _ second: Span<UInt8>, _ third: Span<UInt8>) {
        let whole = first.count + second.count + third.count + 2
        reserve(whole)
        let base = tail
        var free = storage.mutableSpan
        var part = free._mutatingExtracting(base..<(base + whole))
        part.copy(first, at: 0)
        part.copy(second, at: first.count)
        part.copy(third, at: first.count + second.count)
        part[whole - 2] = 0x0D
        part[whole - 1] = 0x0A
        tail += whole
    }

    /// Appends ASCII in lower case, other bytes as they are; then more as it is.
    package mutating func append(lowercased bytes: Span<UInt8>, then more: Span<UInt8>) {
        let whole = bytes.count + more.count
        reserve(whole)
        let base = tail
        var free = storage.mutableSpan
        var part = free._mutatingExtracting(base..<(base + whole))
        var first = part._mutatingExtracting(0..<bytes.count)
        first.copy(lowercased: bytes)
        var rest = part._mutatingExtracting(bytes.count..<whole)
        rest.copyInline(more)
        tail += whole
    }

    /// Appends `name: value` and the end of the line.
    ///
    /// - Returns: where the value begins.
    @discardableResult
    package mutating func append(field name: Span<UInt8>, _ value: Span<UInt8>) -> Int {
        let whole = name.count + value.count + 4
        reserve(whole)
        let base = tail
        var free = storage.mutableSpan
        var part = free._mutatingExtracting(base..<(base + whole))
        var first = part._mutatingExtracting(0..<name.count)
        first.copyInline(name)
        let start = name.count + 2
        part[start - 2] = 0x3A
        part[start - 1] = 0x20
        var rest = part._mutatingExtracting(start..<(start + value.count))
        rest.copyInline(value)
        part[whole - 2] = 0x0D
        part[whole - 1] = 0x0A
        tail += whole
        return base - head + start
    }

    package mutating func append(_ bytes: [UInt8]) { append(bytes.span) }

    /// Takes the oldest bytes of another queue.
    package mutating func move(_ count: Int, from other: inout ByteQueue) {
        append(other.readable.extracting(0..<count))
        other.drop(count)
    }

    package mutating func append(_ text: String) {
        let utf8 = text.utf8
        append(utf8.span)
    }

    /// Appends CR LF. Those lines end more often than any other text is written, and a string has its price.
    package mutating func appendLineEnd() { append(lineEnd) }

    package mutating func append(decimal value: UInt64) {
        var digits = DecimalDigits()
        digits.write(value)
        append(digits.span)
    }

    package mutating func append(hexadecimal value: UInt64) {
        let digits = max(1, (67 - value.leadingZeroBitCount) / 4)
        for place in stride(from: digits - 1, through: 0, by: -1) {
            append(ASCII.hexDigit(UInt8(truncatingIfNeeded: value >> UInt64(place * 4)) & 15))
        }
    }

    package mutating func append(_ byte: UInt8) {
        reserve(1)
        storage[tail] = byte
        tail += 1
    }

    /// Lends at least `minimum` free bytes to `body`, which says how many it has written.
    package mutating func fill<Failure: Error>(
        minimum: Int, _ body: (inout MutableSpan<UInt8>) throws(Failure) -> Int
    ) throws(Failure) -> Int {
        reserve(minimum)
        let base = tail
        var all = storage.mutableSpan
        let end = all.count
        var free = all._mutatingExtracting(base..<end)
        let written = try body(&free)
        precondition(written >= 0 && written <= end - base, "more bytes reported than lent")
        tail = base + written
        return written
    }

    package mutating func drop(_ count: Int) {
        precondition(count >= 0 && count <= self.count, "dropped more than there is")
        head += count
        if head == tail { (head, tail) = (0, 0) }
    }

    package mutating func removeAll() { (head, tail) = (0, 0) }

    /// Gives the storage to `pool` if nothing waits.
    package mutating func release(to pool: BufferPool) {
        guard isEmpty, !storage.isEmpty else { return }
        pool.give(&storage)
    }

    /// Takes storage from `pool` if the queue has none.
    package mutating func prepare(from pool: BufferPool) {
        if storage.isEmpty { storage = pool.take() }
    }

    /// Makes room for `more` bytes at the tail: by moving what waits to the front, else by growing.
    private mutating func reserve(_ more: Int) { if storage.count - tail < more { makeRoom(more) } }

    @inline(never) private mutating func makeRoom(_ more: Int) {
        if head > 0 {
            let (start, waiting) = (head, tail - head)
            var span = storage.mutableSpan
            for index in 0..<waiting { span[index] = span[start + index] }
            (head, tail) = (0, waiting)
        }
        let needed = tail + more
        if storage.count < needed {
            let capacity = max(needed, storage.count * 2, 1024)
            storage.append(addingCapacity: capacity - storage.count) { free in
                free.append(repeating: 0, count: free.freeCapacity)
            }
        }
    }
}

private let lineEnd: [UInt8] = [0x0D, 0x0A]
