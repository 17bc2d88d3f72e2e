package import ConfigFile
import System

/// The file system as a source of configuration, which remembers everything it has read.
///
/// The supervisor reads the configuration through it, with its own rights, and hands what was read to its workers: they need
/// no right to read keys, and all of one generation see the same files, whenever they start.
package final class RecordingFiles: FileSource {
    package private(set) var bundle = FileBundle()

    package init() {}

    package func read(_ path: String) throws(FileError) -> [UInt8] {
        if let known = bundle.contents[path] { return known }
        do {
            let content = try LocalFiles.read(path)
            bundle.contents[path] = content
            return content
        } catch {
            throw FileError(path: path, reason: error.reason)
        }
    }

    package func list(_ pattern: String) throws(FileError) -> [String] {
        let slash = pattern.lastIndex(of: "/")
        let folder = slash.map { String(pattern[..<$0]) } ?? "."
        let namePattern = slash.map { String(pattern[pattern.index(after: $0)...]) } ?? pattern
        let parts = namePattern.split(separator: "*", omittingEmptySubsequences: false)
        guard parts.count == 2, !folder.contains("*") else {
            throw FileError(path: pattern, reason: "one * in the last part is all that can be listed")
        }
        let names: [String]
        do {
            names = try LocalFiles.names(in: folder.isEmpty ? "/" : folder)
        } catch {
            throw FileError(path: folder, reason: error.reason)
        }
        let (start, end) = (String(parts[0]), String(parts[1]))
        let found = names.filter { name in
            name.count >= start.count + end.count && name.hasPrefix(start) && name.hasSuffix(end)
                && (!name.hasPrefix(".") || start.hasPrefix("."))
        }
        let paths = found.map { "\(folder)/\($0)" }
        bundle.lists[pattern] = paths
        return paths
    }
}
