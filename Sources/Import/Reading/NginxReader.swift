import ConfigFile

/// Reads an nginx.conf, or what `nginx -T` prints, with all that it includes.
struct NginxReader {
    private let files: any FileSource
    /// Relative paths of `include` begin here.
    private let folder: String
    private var problems: [NginxSyntaxError.Problem] = []
    private var count = 0
    private var includes: [NginxDirective] = []

    private init(files: any FileSource, folder: String) {
        self.files = files
        self.folder = folder
    }

    /// The directives of a file, with every `include` replaced by what it names, and the folder in which relative paths begin.
    ///
    /// - Throws: all that is wrong in it.
    static func read(
        _ path: String, from files: any FileSource
    ) throws(NginxSyntaxError) -> (directives: [NginxDirective], includes: [NginxDirective], folder: String) {
        var path = path
        var files = files
        if let bytes = try? files.read(path), let dump = NginxDump(bytes) { (path, files) = (dump.main, dump) }
        var reader = NginxReader(files: files, folder: path.lastIndex(of: "/").map { String(path[...$0]) } ?? "")
        let directives = reader.read(path, includedAt: nil, depth: 0)
        guard reader.problems.isEmpty else { throw NginxSyntaxError(problems: reader.problems) }
        return (directives, reader.includes, reader.folder)
    }

    private mutating func read(_ path: String, includedAt line: SourceLine?, depth: Int) -> [NginxDirective] {
        let bytes: [UInt8]
        do {
            bytes = try files.read(path)
        } catch {
            report("\(path) cannot be read: \(error.reason)", line, "run nginx -T > all.conf where nginx runs, and import that")
            return []
        }
        guard bytes.count <= fileBytesMax else {
            report("\(path) is larger than \(fileBytesMax >> 20) MiB", line)
            return []
        }
        var lexer = NginxLexer(bytes)
        do {
            return try directives(&lexer, in: path, depth: depth, nesting: 0, opened: nil)
        } catch {
            report(error.message, SourceLine(file: path, line: error.line))
            return []
        }
    }

    /// Directives up to the `}` of the block that begins at line `opened`, or to the end of the file.
    private mutating func directives(
        _ lexer: inout NginxLexer, in path: String, depth: Int, nesting: Int, opened: Int?
    ) throws(NginxLexer.Problem) -> [NginxDirective] {
        var result: [NginxDirective] = []
        var words: [String] = []
        var firstLine = 1
        var lastLine = 0
        var comments: [String] = []
        while true {
            let token = try lexer.next()
            switch token {
            case .comment(let text):
                // One beside a directive explains what is now said otherwise.
                if words.isEmpty, lexer.tokenLine == lastLine { break }
                comments.append(text)
            case .word(let word):
                if words.isEmpty { firstLine = lexer.tokenLine }
                words.append(word)
            case .semicolon:
                guard !words.isEmpty else {
                    throw NginxLexer.Problem(message: "there is no directive before this ;", line: lexer.tokenLine)
                }
                let directive = try directive(words, comments, nil, SourceLine(file: path, line: firstLine))
                result += directive.name == "include" ? included(directive, depth: depth + 1) : [directive]
                (words, comments, lastLine) = ([], [], lexer.tokenLine)
            case .open:
                guard !words.isEmpty else {
                    throw NginxLexer.Problem(message: "there is no directive before this {", line: lexer.tokenLine)
                }
                guard nesting < nestingMax else {
                    throw NginxLexer.Problem(message: "blocks are nested deeper than \(nestingMax)", line: lexer.tokenLine)
                }
                var block: [NginxDirective] = []
                if words[0].hasSuffix("_by_lua_block") {
                    _ = try lexer.skipForeignCode()
                } else {
                    block = try directives(&lexer, in: path, depth: depth, nesting: nesting + 1, opened: firstLine)
                }
                result.append(try directive(words, comments, block, SourceLine(file: path, line: firstLine)))
                (words, comments) = ([], [])
            case .close:
                guard words.isEmpty else { throw unfinished(words, firstLine) }
                guard opened != nil else { throw NginxLexer.Problem(message: "this } closes nothing", line: lexer.tokenLine) }
                return result
            case .end:
                guard words.isEmpty else { throw unfinished(words, firstLine) }
                if let opened { throw NginxLexer.Problem(message: "the { of this line is never closed", line: opened) }
                return result
            case .foreignCode: break
            }
        }
    }

    private func unfinished(_ words: [String], _ line: Int) -> NginxLexer.Problem {
        NginxLexer.Problem(message: "'\(words[0])' does not end with ;", line: line)
    }

    private mutating func directive(
        _ words: [String], _ comments: [String], _ block: [NginxDirective]?, _ line: SourceLine
    ) throws(NginxLexer.Problem) -> NginxDirective {
        count += 1
        guard count <= directivesMax else {
            throw NginxLexer.Problem(message: "there are more than \(directivesMax) directives", line: line.line)
        }
        return NginxDirective(
            id: count, name: words[0], arguments: Array(words.dropFirst()), block: block, line: line,
            comments: comments.compactMap(Self.gist))
    }

    /// What a comment says; nil for a frame, and for a directive that was taken out.
    private static func gist(_ comment: String) -> String? {
        let text = comment.drop { "#-=* \t".contains($0) }
        let end = text.lastIndex { !"#-=* \t\r".contains($0) }
        guard let end else { return nil }
        let inner = String(text[...end])
        return inner.hasSuffix(";") || inner.hasSuffix("{") || inner == "}" ? nil : String(inner.prefix(160))
    }

    private mutating func included(_ directive: NginxDirective, depth: Int) -> [NginxDirective] {
        guard directive.arguments.count == 1, !directive.value.isEmpty else {
            report("'include' takes one path", directive.line)
            return []
        }
        guard depth <= includesMax else {
            report("files include each other deeper than \(includesMax)", directive.line, "does a file include itself?")
            return []
        }
        includes.append(directive)
        let name = directive.value
        // Types of files, and variables of FastCGI, mean nothing here, and are often left behind.
        if ["mime.types", "fastcgi_params", "fastcgi.conf", "uwsgi_params", "scgi_params"].contains(where: {
            name == $0 || name.hasSuffix("/\($0)")
        }) {
            return []
        }
        let path = name.hasPrefix("/") ? name : folder + name
        guard path.contains(where: { "*?[".contains($0) }) else {
            return read(existing(path, name), includedAt: directive.line, depth: depth)
        }
        do {
            return try files.list(path).flatMap { read($0, includedAt: directive.line, depth: depth) }
        } catch {
            // A folder that is not there has no files: so says nginx too.
            if error.reason == "No such file or directory" { return [] }
            report("\(error.path) cannot be listed: \(error.reason)", directive.line, "run nginx -T > all.conf, and import that")
            return []
        }
    }

    /// A file of a folder such as sites-available includes what stands beside the folder.
    private func existing(_ path: String, _ name: String) -> String {
        guard !name.hasPrefix("/"), (try? files.read(path)) == nil else { return path }
        let above = folder.split(separator: "/", omittingEmptySubsequences: false).dropLast(2).joined(separator: "/")
        let other = (above.isEmpty ? "" : above + "/") + name
        return (try? files.read(other)) == nil ? path : other
    }

    private mutating func report(_ message: String, _ line: SourceLine?, _ hint: String? = nil) {
        if problems.count < 100 { problems.append(NginxSyntaxError.Problem(message: message, line: line, hint: hint)) }
    }

    private let fileBytesMax = 4 << 20
    private let nestingMax = 16
    private let includesMax = 8
    private let directivesMax = 50_000
}
