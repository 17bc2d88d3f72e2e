import Bytes
package import System

/// A bounded ring of log lines in shared memory: one worker writes, the control process reads. A full ring drops the line
/// and counts it; nobody waits.
///
/// Words: bytes written in all, bytes read in all, lines dropped, one spare; then the bytes. A record is a head of eight bytes
/// (length, kind), then the line, padded to eight. The writer's word is stored after the record's bytes, so that a writer
/// that dies leaves a whole ring.
package struct LogRing {
    package static let dataBytes = 1 << 20
    package static let words = headerWords + dataBytes / 8
    private static let headerWords = 4

    private let memory: SharedMemory
    private let firstWord: Int

    package init(_ memory: SharedMemory, firstWord: Int) {
        self.memory = memory
        self.firstWord = firstWord
    }

    package var dropped: UInt64 { memory.load(firstWord + 2) }

    /// Whether more waits to be read than will fit once more.
    package var isHalfFull: Bool { memory.load(firstWord) &- memory.load(firstWord + 1) > UInt64(Self.dataBytes / 2) }

    /// Counts a line that is not written.
    package func drop() { memory.add(firstWord + 2, 1) }

    /// Appends a line, without its line feed.
    package func write(_ line: [UInt8], _ kind: LogKind) {
        let written = memory.load(firstWord)
        let padded = (line.count + 7) & ~7
        let waiting = written &- memory.load(firstWord + 1)
        guard waiting <= UInt64(Self.dataBytes), padded + 8 <= Self.dataBytes - Int(waiting) else {
            memory.add(firstWord + 2, 1)
            return
        }
        memory.store(dataWord(written), UInt64(line.count) << 8 | UInt64(kind.rawValue))
        copyIn(line, at: written &+ 8)
        memory.store(firstWord, written &+ 8 &+ UInt64(padded))
    }

    /// Takes all lines that are there, each with its line feed.
    ///
    /// Whatever the writer has made of its memory, this comes to an end, and what it takes is lines: a record that holds a line
    /// feed is none.
    /// - Returns: whether there were any.
    package func drain(_ take: (LogKind, [UInt8]) -> Void) -> Bool {
        let written = memory.load(firstWord)
        let start = memory.load(firstWord + 1)
        let waiting = written &- start
        guard waiting > 0 else { return false }
        defer { memory.store(firstWord + 1, written) }
        guard waiting <= UInt64(Self.dataBytes) else {
            drop()
            return true
        }
        // Fits: no more than the ring's bytes.
        let end = Int(waiting)
        var read = 0
        while read < end {
            let head = memory.load(dataWord(start &+ UInt64(read)))
            let length = head >> 8
            guard let kind = LogKind(rawValue: UInt8(truncatingIfNeeded: head)), length <= UInt64(end - read) &- 8, end - read >= 8 else {
                // Not a record: nothing after it can be found.
                drop()
                break
            }
            let count = Int(length)
            var line: [UInt8] = []
            line.reserveCapacity(count + 1)
            copyOut(count, at: start &+ UInt64(read + 8), into: &line)
            if kind == .trace {
                take(kind, line)
            } else if line.span.firstIndex(of: 0x0A) == nil {
                line.append(0x0A)
                take(kind, line)
            } else {
                drop()
            }
            read += 8 + (count + 7) & ~7
        }
        return true
    }

    private func dataWord(_ position: UInt64) -> Int { firstWord + Self.headerWords + Int(position % UInt64(Self.dataBytes)) / 8 }

    private func copyIn(_ line: [UInt8], at position: UInt64) {
        let start = Int(position % UInt64(Self.dataBytes))
        let base = (firstWord + Self.headerWords) * 8
        let first = min(line.count, Self.dataBytes - start)
        memory.write(line.span.extracting(0..<first), at: base + start)
        if first < line.count { memory.write(line.span.extracting(first..<line.count), at: base) }
    }

    private func copyOut(_ count: Int, at position: UInt64, into line: inout [UInt8]) {
        let start = Int(position % UInt64(Self.dataBytes))
        let base = (firstWord + Self.headerWords) * 8
        let first = min(count, Self.dataBytes - start)
        memory.read(at: base + start, count: first, into: &line)
        if first < count { memory.read(at: base, count: count - first, into: &line) }
    }
}
