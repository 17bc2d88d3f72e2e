/// Reads a file, and what it includes, into directives.
package struct Parser {
    private let files: any FileSource
    private let environment: [String: String]
    private let diagnostics: Diagnostics

    package init(files: any FileSource, environment: [String: String], diagnostics: Diagnostics) {
        self.files = files
        self.environment = environment
        self.diagnostics = diagnostics
    }

    /// The directives of `path` with every `include` replaced by what it names. Errors go to the diagnostics.
    package func parse(_ path: String) -> [Directive] {
        read(path, from: nil, depth: 0)
    }

    private func read(_ path: String, from include: Word?, depth: Int) -> [Directive] {
        let bytes: [UInt8]
        do {
            bytes = try files.read(path)
        } catch {
            diagnostics.error("cannot read \(error.path): \(error.reason)", at: include?.position)
            return []
        }
        guard bytes.count <= fileBytesMax else {
            diagnostics.error("\(path) is larger than \(fileBytesMax >> 20) MiB", at: include?.position)
            return []
        }
        let file = diagnostics.add(SourceText(name: path, bytes: bytes))
        var lexer = Lexer(bytes: bytes, file: file, environment: environment, diagnostics: diagnostics)
        return directives(&lexer, path: path, includes: depth, nesting: 0, opened: nil)
    }

    /// Directives up to the `}` that closes `opened`, or to the end of the file.
    private func directives(
        _ lexer: inout Lexer, path: String, includes: Int, nesting: Int, opened: Position?
    ) -> [Directive] {
        var result: [Directive] = []
        var words: [Word] = []
        while true {
            switch lexer.next() {
            case .word(let word): words.append(word)
            case .semicolon(let position):
                guard let directive = directive(words, block: nil, at: position, mark: ";") else { break }
                words = []
                if directive.name.text == "include" {
                    result += included(directive, path: path, depth: includes + 1)
                } else if directive.name.text == "tests", nesting == 0 {
                    result += tests(directive, path: path, depth: includes + 1)
                } else {
                    result.append(directive)
                }
            case .open(let position):
                if nesting >= nestingMax {
                    diagnostics.error("blocks are nested deeper than \(nestingMax)", at: position)
                    return result
                }
                let block = directives(&lexer, path: path, includes: includes, nesting: nesting + 1, opened: position)
                if let directive = directive(words, block: block, at: position, mark: "{") { result.append(directive) }
                words = []
            case .close(let position):
                missingSemicolon(after: words)
                words = []
                guard opened != nil else {
                    diagnostics.error("this } closes nothing", at: position)
                    continue
                }
                return result
            case .end:
                missingSemicolon(after: words)
                if let opened { diagnostics.error("this { is never closed", at: opened, hint: "close the block with }") }
                return result
            }
        }
    }

    private func directive(_ words: [Word], block: [Directive]?, at position: Position, mark: String) -> Directive? {
        guard let name = words.first else {
            diagnostics.error("there is no directive before this \(mark)", at: position)
            return nil
        }
        return Directive(name: name, arguments: Array(words.dropFirst()), block: block)
    }

    private func missingSemicolon(after words: [Word]) {
        guard let last = words.last else { return }
        diagnostics.error("'\(words[0].text)' does not end with ;", at: last, hint: "write ; after '\(last.text)'")
    }

    /// The blocks of every file that a `tests` names; it is an `include` for `test` blocks alone.
    private func tests(_ directive: Directive, path: String, depth: Int) -> [Directive] {
        let found = included(directive, path: path, depth: depth)
        for other in found where other.name.text != "test" {
            diagnostics.error(
                "a file of tests holds test blocks alone, and this is '\(other.name.text)'", at: other.name,
                hint: "write it into the configuration, or use include")
        }
        let tests = found.filter { $0.name.text == "test" }
        // A folder that is not there, or empty, must not look like a file that holds its tests.
        if tests.isEmpty, let argument = directive.arguments.first {
            diagnostics.error("\(argument.text) has no test", at: argument, hint: "correct the path, or remove this line")
        }
        return tests
    }

    /// The directives of every file that an `include` names, relative to the folder of the file that includes.
    private func included(_ directive: Directive, path: String, depth: Int) -> [Directive] {
        guard directive.arguments.count == 1, let argument = directive.arguments.first else {
            diagnostics.error("'\(directive.name.text)' takes one path", at: directive.position)
            return []
        }
        guard depth <= includesMax else {
            diagnostics.error(
                "files include each other deeper than \(includesMax)", at: argument, hint: "does a file include itself?")
            return []
        }
        let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
        let pattern = argument.text.hasPrefix("/") ? argument.text : folder + argument.text
        guard pattern.contains("*") else { return read(pattern, from: argument, depth: depth) }
        do {
            return try files.list(pattern).flatMap { read($0, from: argument, depth: depth) }
        } catch {
            diagnostics.error("cannot list \(error.path): \(error.reason)", at: argument)
            return []
        }
    }

    private let fileBytesMax = 16 << 20
    private let nestingMax = 8
    private let includesMax = 8
}
