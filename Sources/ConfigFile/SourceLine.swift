/// A line of the configuration, for messages that speak of it after it has been read.
package struct SourceLine: Hashable, Sendable, CustomStringConvertible {
    /// As the file was named where it was read.
    package let file: String
    /// From 1.
    package let line: Int

    package init(file: String, line: Int) {
        self.file = file
        self.line = line
    }

    /// The file's name without its folder, and the line.
    package var description: String { "\(file.split(separator: "/").last.map(String.init) ?? file):\(line)" }
}
