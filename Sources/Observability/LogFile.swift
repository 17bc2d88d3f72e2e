import Bytes
package import System

/// The end of a log: a file, a pipe or a terminal. Never blocks on what is not a file.
///
/// Lines that cannot be written now wait, up to a bound; what is beyond it, or refused by the system (a full disk, a closed
/// pipe), is dropped and counted.
package struct LogFile: ~Copyable {
    private let descriptor: Descriptor
    private var waiting = ByteQueue()
    package private(set) var dropped: UInt64 = 0
    /// Why the system took no line the last time that it did not; nil while it does.
    package private(set) var failure: String?

    package init(_ descriptor: consuming Descriptor) { self.descriptor = descriptor }

    package mutating func append(_ line: [UInt8]) {
        guard waiting.count + line.count <= waitingBytesMax else {
            dropped += 1
            return
        }
        waiting.append(line)
    }

    package mutating func flush() {
        while !waiting.isEmpty {
            // A pipe that is ready takes a piece of 4096 bytes whole (PIPE_BUF); a file is always ready.
            guard Readying.isWritable(descriptor.raw) else { return }
            let count = piece(of: waiting.readable)
            switch SystemIO.write(descriptor.raw, waiting.readable.extracting(0..<count)) {
            case .moved(let count):
                waiting.drop(count)
                failure = nil
            case .wouldBlock: return
            case .ended, .failed:
                failure = SystemError("write").reason
                dropped += UInt64(lines(in: waiting.readable))
                waiting.removeAll()
            }
        }
        waiting = ByteQueue()
    }

    /// The longest run of whole lines that a pipe takes whole; of a longer line a part. Lines of several processes that write
    /// one file stay whole.
    private func piece(of bytes: Span<UInt8>) -> Int {
        var count = min(bytes.count, pieceBytes)
        while count > 0, bytes[count - 1] != 0x0A { count -= 1 }
        return count > 0 ? count : min(bytes.count, pieceBytes)
    }

    private func lines(in bytes: Span<UInt8>) -> Int {
        var count = 0
        for index in bytes.indices where bytes[index] == 0x0A { count += 1 }
        return count
    }
}

private let pieceBytes = 4_096
private let waitingBytesMax = 8 << 20
