import ConfigFile

/// What `nginx -T` prints: all files of a configuration, each below a line `# configuration file PATH:`.
final class NginxDump: FileSource {
    /// The path of the first file, which includes the others.
    let main: String
    private var contents: [String: [UInt8]] = [:]

    /// Nil where the text is no such dump.
    init?(_ bytes: [UInt8]) {
        let mark = Array("# configuration file ".utf8)
        var current: String?
        var first: String?
        // What nginx says of its test may stand before the first file; anything else makes it a file with a comment.
        let start = bytes.split(separator: 0x0A).first {
            !$0.starts(with: Array("nginx: ".utf8)) && !$0.allSatisfy { $0 == 0x20 || $0 == 0x0D }
        }
        guard let start, start.starts(with: mark), start.last == UInt8(ascii: ":"), start.dropFirst(mark.count).first == UInt8(ascii: "/")
        else { return nil }
        for line in bytes.split(separator: 0x0A, omittingEmptySubsequences: false) {
            if line.starts(with: mark), line.last == UInt8(ascii: ":") {
                let path = String(decoding: line.dropFirst(mark.count).dropLast(), as: UTF8.self)
                first = first ?? path
                current = contents[path] == nil ? path : nil
                if let current { contents[current] = [] }
            } else if let current {
                contents[current, default: []] += line + [0x0A]
            }
        }
        guard let first else { return nil }
        main = first
    }

    func read(_ path: String) throws(FileError) -> [UInt8] {
        guard let content = contents[path] else { throw FileError(path: path, reason: "it is not in the dump") }
        return content
    }

    func list(_ pattern: String) throws(FileError) -> [String] {
        contents.keys.filter { Self.matches(Array($0.utf8)[...], Array(pattern.utf8)[...]) }.sorted()
    }

    /// As glob(7), with `*` and `?` within a part of a path.
    static func matches(_ path: ArraySlice<UInt8>, _ pattern: ArraySlice<UInt8>) -> Bool {
        let parts = path.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        let patterns = pattern.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        return parts.count == patterns.count && zip(parts, patterns).allSatisfy { matchesPart($0, $1) }
    }

    private static func matchesPart(_ part: ArraySlice<UInt8>, _ pattern: ArraySlice<UInt8>) -> Bool {
        var (index, at) = (part.startIndex, pattern.startIndex)
        var star: (index: Int, at: Int)?
        while index < part.endIndex {
            if at < pattern.endIndex, pattern[at] == UInt8(ascii: "*") {
                star = (index, at)
                at += 1
            } else if at < pattern.endIndex, pattern[at] == UInt8(ascii: "?") || pattern[at] == part[index] {
                index += 1
                at += 1
            } else if let last = star {
                star = (last.index + 1, last.at)
                (index, at) = (last.index + 1, last.at + 1)
            } else {
                return false
            }
        }
        return pattern[at...].allSatisfy { $0 == UInt8(ascii: "*") }
    }
}
