import CLinux
import System

enum StandardInput {
    /// All of standard input, without white space at its ends.
    static func token() throws -> [UInt8] {
        try all(bytesMax: 1 << 20).trimmed
    }

    /// All of standard input.
    static func all(bytesMax: Int) throws -> [UInt8] {
        let descriptor = Descriptor(owning: try duplicateOfInput())
        return try LocalFiles.readAll(descriptor, bytesMax: bytesMax)
    }

    private static func duplicateOfInput() throws -> Int32 {
        let copy = pc_fcntl(0, F_DUPFD_CLOEXEC, 3)
        guard copy >= 0 else { throw SystemError("fcntl") }
        return copy
    }
}

extension [UInt8] {
    /// Without white space at its ends.
    var trimmed: [UInt8] {
        let isSpace: (UInt8) -> Bool = { $0 == 0x20 || $0 == 0x0A || $0 == 0x0D || $0 == 0x09 }
        guard let first = firstIndex(where: { !isSpace($0) }), let last = lastIndex(where: { !isSpace($0) }) else { return [] }
        return Array(self[first...last])
    }
}
