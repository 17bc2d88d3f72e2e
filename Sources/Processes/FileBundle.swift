package import ConfigFile
import System

/// Files by path, in one piece that can be handed to another process.
package struct FileBundle: Equatable {
    package var contents: [String: [UInt8]] = [:]
    var lists: [String: [String]] = [:]

    package init() {}

    package init(contents: [String: [UInt8]]) { self.contents = contents }

    /// The variables that its text may name, as `${NAME}`.
    package var mentionedVariables: Set<String> {
        var names: Set<String> = []
        for content in contents.values {
            var start = 0
            while let place = content[start...].firstRange(of: [0x24, 0x7B]) {
                start = place.upperBound
                guard let end = content[start...].firstIndex(of: 0x7D), end - start <= variableNameBytesMax else { continue }
                names.insert(String(decoding: content[start..<end], as: UTF8.self))
            }
        }
        return names
    }

    /// Overwrites the private keys in PEM, for all who share the bytes of the files, once they have been made use of. What stands
    /// beside one, such as a certificate, can still be read.
    package func wipePrivateKeys() {
        for content in contents.values {
            var start = 0
            while let mark = content[start...].firstRange(of: privateKeyMark) {
                start = mark.upperBound
                // The name of a kind of key may stand between; what is before it tells the first line from the last.
                let before = content[max(0, mark.lowerBound - keyNameBytesMax)..<mark.lowerBound]
                guard let dash = before.lastIndex(of: 0x2D), before[...dash].count >= 5, content[(dash - 4)...].starts(with: beginMark)
                else {
                    continue
                }
                let end = content[start...].firstRange(of: endMark)?.lowerBound ?? content.endIndex
                Secrets.wipe(textIn: start..<end, of: content)
                start = end
            }
        }
    }

    package var encoded: [UInt8] {
        var writer = MessageWriter()
        // In one piece from the start: what it grew out of would keep a part of it.
        let texts =
            contents.keys.reduce(0) { $0 + $1.utf8.count }
            + lists.reduce(0) { sum, list in
                list.value.reduce(sum + list.key.utf8.count + 16) { $0 + $1.utf8.count + 8 }
            }
        writer.reserve(contents.values.reduce(texts + 16) { $0 + $1.count + 16 })
        writer.number(UInt64(contents.count))
        for (path, content) in contents.sorted(by: { $0.key < $1.key }) {
            writer.text(path)
            writer.bytes(content)
        }
        writer.number(UInt64(lists.count))
        for (pattern, paths) in lists.sorted(by: { $0.key < $1.key }) {
            writer.text(pattern)
            writer.number(UInt64(paths.count))
            for path in paths { writer.text(path) }
        }
        return writer.output
    }

    /// Nil when the bytes are not a bundle.
    package init?(encoded: [UInt8]) {
        var reader = MessageReader(encoded)
        guard let fileCount = reader.number() else { return nil }
        for _ in 0..<fileCount {
            guard let path = reader.text(), let content = reader.bytes() else { return nil }
            contents[path] = content
        }
        guard let listCount = reader.number() else { return nil }
        for _ in 0..<listCount {
            guard let pattern = reader.text(), let count = reader.number() else { return nil }
            var paths: [String] = []
            for _ in 0..<count {
                guard let path = reader.text() else { return nil }
                paths.append(path)
            }
            lists[pattern] = paths
        }
    }
}

/// The files of a bundle as a source of configuration.
package final class BundledFiles: FileSource {
    private let bundle: FileBundle

    package init(_ bundle: FileBundle) { self.bundle = bundle }

    package func read(_ path: String) throws(FileError) -> [UInt8] {
        guard let content = bundle.contents[path] else { throw FileError(path: path, reason: "it is not in the bundle") }
        return content
    }

    package func list(_ pattern: String) throws(FileError) -> [String] { bundle.lists[pattern] ?? [] }
}

private let variableNameBytesMax = 256
private let beginMark = [UInt8]("-----BEGIN".utf8)
private let endMark = [UInt8]("-----END".utf8)
/// How far before the end of its line a key's first line begins.
private let keyNameBytesMax = 40
private let privateKeyMark = [UInt8]("PRIVATE KEY-----".utf8)
