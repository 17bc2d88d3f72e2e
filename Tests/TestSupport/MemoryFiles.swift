package import ConfigFile

/// Files that stand in the test.
package final class MemoryFiles: FileSource {
    private let contents: [String: [UInt8]]

    package init(_ contents: [String: String]) { self.contents = contents.mapValues { Array($0.utf8) } }

    package func read(_ path: String) throws(FileError) -> [UInt8] {
        guard let content = contents[path] else { throw FileError(path: path, reason: "No such file or directory") }
        return content
    }

    package func list(_ pattern: String) throws(FileError) -> [String] {
        let parts = pattern.split(separator: "*", omittingEmptySubsequences: false).map(String.init)
        return contents.keys.filter { $0.hasPrefix(parts[0]) && $0.hasSuffix(parts[1]) }.sorted()
    }
}
