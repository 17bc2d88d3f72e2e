import Foundation
import Testing

/// What editors make of gateway.conf: a real vim, and the engine of those that read TextMate grammars.
@Suite("Editors") struct EditorTests {
    private let folder = TemporaryFolder()

    /// Every directive of every block: those that the reference names, and those that the readers ask for.
    private static func directives() throws -> Set<String> {
        var names: Set<String> = []
        let reference = try String(contentsOfFile: "\(Executable.root)/docs/configuration.md", encoding: .utf8)
        for row in reference.split(separator: "\n") where row.hasPrefix("| `") {
            let cell = row.dropFirst(2).replacingOccurrences(of: "\\|", with: " ").prefix { $0 != "|" }
            for match in String(cell).matches(of: /`([a-z_0-9]+)[^`]*`/) { names.insert(String(match.1)) }
        }
        let sources = try FileManager.default.subpathsOfDirectory(atPath: "\(Executable.root)/Sources").filter { path in
            ["Configuration", "Forwarding", "UpstreamHealth", "Authentication", "Authorization", "RateLimiting", "Redis", "TLS"].contains {
                path.hasPrefix($0 + "/")
            } && path.hasSuffix(".swift")
        }
        for source in sources {
            let text = try String(contentsOfFile: "\(Executable.root)/Sources/\(source)", encoding: .utf8)
            for match in text.matches(of: /(?:\.one|\.all|read|length|timeout)\("([a-z_0-9]+)"/) { names.insert(String(match.1)) }
        }
        return names
    }

    /// A file with each directive as the first word of a line, of a block and behind another one.
    private func file(_ names: [String]) throws -> String {
        try folder.write(
            "gateway.conf",
            names.map { "\($0) x;\n    \($0) x; \($0) { x 1; }\n" }.joined()
                + "# listen in a comment\nset_header X 'listen';\nupstream listen;\n")
    }

    @Test("vim colours every directive, where it is one and nowhere else")
    func vim() throws {
        let names = try Self.directives().sorted()
        #expect(names.count > 150)
        let path = try file(names)
        let output = "\(folder.path)/colours"
        let script = """
            redir! > \(output)
            for l in range(1, line("$"))
              let names = []
              for c in range(1, col([l, "$"]))
                call add(names, synIDattr(synID(l, c, 1), "name"))
              endfor
              echo l join(names, ",")
            endfor
            redir END
            qa!
            """
        let scriptPath = try folder.write("script.vim", script)
        _ = try run(
            "/usr/bin/vim",
            [
                "-u", "NONE", "-N", "-es", "--cmd", "set rtp^=\(Executable.root)/deploy/editors/vim", "-c", "filetype on", "-c",
                "syntax on", "-c",
                "edit \(path)", "-S", scriptPath,
            ])
        let lines = folder.read("colours").split(separator: "\n").map { $0.split(separator: " ", maxSplits: 1).last.map(String.init) ?? "" }
        #expect(lines.count == names.count * 2 + 3, "\(lines.count)")
        func groups(_ line: Int) -> [Substring] {
            lines.indices.contains(line) ? lines[line].split(separator: ",", omittingEmptySubsequences: false) : []
        }
        for (index, name) in names.enumerated() {
            let (first, second) = (groups(index * 2), groups(index * 2 + 1))
            #expect(first.prefix(name.count).allSatisfy { $0 == "gatewayDirective" } && first.count > name.count, "\(name)")
            #expect(first.dropFirst(name.count).allSatisfy { $0 != "gatewayDirective" }, "\(name)")
            #expect(second.count { $0 == "gatewayDirective" } == 2 * name.count, "\(name)")
        }
        #expect(groups(names.count * 2).allSatisfy { $0 == "gatewayComment" || $0 == "" })
        #expect(groups(names.count * 2 + 1).count { $0 == "gatewayDirective" } == "set_header".count)
        #expect(groups(names.count * 2 + 2).count { $0 == "gatewayDirective" } == "upstream".count)
    }

    @Test("The TextMate grammar colours every directive, where it is one and nowhere else")
    func textMate() throws {
        let names = try Self.directives().sorted()
        let path = try file(names)
        let output = try run(
            "\(Executable.root)/.build/python/bin/python",
            [
                "\(Executable.root)/Tests/SystemTests/Peers/textmate.py",
                "\(Executable.root)/deploy/editors/textmate/gateway-conf.tmLanguage.json", path,
            ])
        var found: [Int: [String]] = [:]
        for line in output.text.split(separator: "\n") {
            let parts = line.split(separator: "\t", omittingEmptySubsequences: false)
            guard parts.count == 3, parts[2].hasPrefix("keyword.other.directive"), let number = Int(parts[0]) else { continue }
            found[number, default: []].append(String(parts[1]))
        }
        for (index, name) in names.enumerated() {
            #expect(found[index * 2] == [name], "\(name)")
            #expect(found[index * 2 + 1] == [name, name], "\(name)")
        }
        #expect(found[names.count * 2] == nil && found[names.count * 2 + 1] == ["set_header"] && found[names.count * 2 + 2] == ["upstream"])
    }
}
