/// Files of another source, and one that is not there.
package final class FilesWithOne: FileSource {
    private let path: String
    private let content: [UInt8]
    private let others: any FileSource

    package init(_ path: String, _ content: [UInt8], besides others: any FileSource) {
        self.path = path
        self.content = content
        self.others = others
    }

    package func read(_ path: String) throws(FileError) -> [UInt8] { path == self.path ? content : try others.read(path) }
    package func list(_ pattern: String) throws(FileError) -> [String] { try others.list(pattern) }
}
