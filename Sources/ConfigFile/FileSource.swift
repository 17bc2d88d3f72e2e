/// Where the text of files comes from: the file system, or the bundle that the supervisor hands to its workers.
package protocol FileSource: AnyObject {
    /// The whole content of a file.
    func read(_ path: String) throws(FileError) -> [UInt8]
    /// The paths that a pattern with `*` in its last part names, sorted; empty when there is none.
    func list(_ pattern: String) throws(FileError) -> [String]
}

/// A file that could not be read, with the reason in the system's words.
package struct FileError: Error, Equatable {
    package let path: String
    package let reason: String

    package init(path: String, reason: String) {
        self.path = path
        self.reason = reason
    }
}

/// Where a word of the configuration stands.
package struct Position: Equatable, Hashable, Sendable {
    package var file: Int
    package var offset: Int
    package var length: Int

    package init(file: Int, offset: Int, length: Int) {
        self.file = file
        self.offset = offset
        self.length = length
    }
}
