package import ConfigFile

/// All that keeps nginx files from being read.
package struct NginxSyntaxError: Error, CustomStringConvertible {
    package struct Problem: Sendable {
        package let message: String
        package let line: SourceLine?
        package let hint: String?
    }

    package let problems: [Problem]

    /// A line for each, with the file and the line in it.
    package var description: String {
        problems.map { problem in
            (problem.line.map { "\($0.file):\($0.line): " } ?? "") + "error: " + problem.message + "\n"
                + (problem.hint.map { "  hint: \($0)\n" } ?? "")
        }.joined()
    }
}
