import Foundation
import Testing

/// The rules of the house that a compiler does not know; see docs/architecture.md.
@Suite struct TidyTests {
    private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    private struct Source {
        let target: String
        let name: String
        let lines: [String]
    }

    private static let sources: [Source] = {
        let folder = root.appendingPathComponent("Sources")
        let files =
            FileManager.default.enumerator(atPath: folder.path)?.compactMap { $0 as? String }.filter { $0.hasSuffix(".swift") } ?? []
        return files.map { file in
            let text = (try? String(contentsOf: folder.appendingPathComponent(file), encoding: .utf8)) ?? ""
            return Source(target: String(file.split(separator: "/")[0]), name: file, lines: text.components(separatedBy: "\n"))
        }
    }()

    /// The targets in the order of a request's path: each may import those before it.
    private static let order = [
        "CLinux", "COpenSSL", "CHiredis", "CNghttp2", "CCompression", "Bytes", "Time", "HTTPMessage", "ConfigFile", "System", "TLS",
        "Observability",
        "UpstreamHealth",
        "Connection", "HTTP1", "HTTP2", "Compression",
        "Routing", "Authentication", "Authorization", "RateLimiting", "Redis", "Forwarding", "Processes", "Configuration",
        "Policy", "Import", "Gateway", "Administration", "Control",
        "Supervisor", "portcullis",
    ]
    private static let shell: Set<String> = ["System", "TLS", "Redis", "Processes", "Supervisor", "Control", "Gateway", "portcullis"]

    /// The files outside the shell in which a C library is called.
    private static let wrappers: Set<String> = [
        "Authentication/JWT/VerificationKey.swift", "Authentication/JWT/SharedSecret.swift", "HTTP2/Callbacks.swift", "HTTP2/Session.swift",
        "Compression/GzipCoder.swift", "Compression/BrotliCoder.swift", "Compression/ZstdCoder.swift",
    ]

    private func imports(_ source: Source) -> [String] {
        source.lines.compactMap { line in
            let words = line.split(separator: " ")
            guard let index = words.firstIndex(of: "import"), index <= 1, words.count == index + 2 else { return nil }
            return String(words[index + 1])
        }
    }

    @Test func thereIsSomethingToCheck() { #expect(Self.sources.count > 60) }

    private static func text(_ file: String) throws -> String {
        try String(contentsOf: root.appendingPathComponent(file), encoding: .utf8)
    }

    @Test func theVersionIsTheNewestOfTheChangelog() throws {
        let program = try Self.text("Sources/portcullis/Version.swift").split(separator: "\"")
        let heading = try Self.text("CHANGELOG.md").split(separator: "\n").first { $0.hasPrefix("## ") }
        #expect(try #require(heading).split(separator: " ").dropFirst().first == #require(program.dropFirst().first))
    }

    /// Every file that a document of the project links to is there.
    @Test func linksBetweenDocumentsLeadSomewhere() throws {
        let documents =
            ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "Benchmarks/compare/README.md", "examples/README.md"]
            + (try FileManager.default.subpathsOfDirectory(atPath: Self.root.appendingPathComponent("docs").path)).filter {
                $0.hasSuffix(".md")
            }
            .map { "docs/\($0)" }
        for document in documents {
            let folder = Self.root.appendingPathComponent(document).deletingLastPathComponent()
            for match in try Self.text(document).matches(of: /\]\(([^)#:]+)(#[^)]*)?\)/) {
                let place = folder.appendingPathComponent(String(match.1)).path
                #expect(FileManager.default.fileExists(atPath: place), "\(document) links to \(match.1)")
            }
        }
    }

    /// A target and what Package.swift says that it depends on.
    private struct Declaration {
        let name: String
        let folder: String
        let dependencies: Set<String>
    }

    private static func declarations() throws -> [Declaration] {
        let manifest = try text("Package.swift").replacing(/\.product\(name: ("\w+"), package: "[^"]*"\)/) { $0.1 }
        func names(_ list: Substring?) -> Set<String> { Set((list ?? "").matches(of: /"(\w+)"/).map { String($0.1) }) }
        var found: [Declaration] = []
        for match in manifest.matches(of: /\n        (part|tests)\(\s*"(\w+)"(?:,\s*\[([^\]]*)\])?\s*\)/) {
            let isTests = match.1 == "tests"
            let name = String(match.2) + (isTests ? "Tests" : "")
            found.append(
                Declaration(
                    name: name, folder: isTests ? "Tests/\(name)" : "Sources/\(name)",
                    dependencies: names(match.3).union(isTests ? [String(match.2)] : [])))
        }
        for match in manifest.matches(of: /[tT]arget\(\s*name: "(\w+)"(?:,\s*dependencies: \[([^\]]*)\])?(?:,\s*path: "([^"]+)")?/) {
            found.append(
                Declaration(
                    name: String(match.1), folder: match.3.map(String.init) ?? "Sources/\(match.1)", dependencies: names(match.2)))
        }
        return found
    }

    @Test func everyTargetDeclaresWhatItImportsAndNothingElse() throws {
        let declarations = try Self.declarations()
        for place in ["Sources", "Tests"] {
            let folder = Self.root.appendingPathComponent(place).path
            for name in try FileManager.default.contentsOfDirectory(atPath: folder) where !name.hasPrefix("C") || name.hasPrefix("Con") {
                let files = FileManager.default.enumerator(atPath: "\(folder)/\(name)")?.compactMap { $0 as? String } ?? []
                guard files.contains(where: { $0.hasSuffix(".swift") }) else { continue }
                #expect(declarations.contains { $0.folder == "\(place)/\(name)" }, "\(place)/\(name) is not seen in Package.swift")
            }
        }
        let known = Set(declarations.map(\.name)).union(["ArgumentParser", "Logging", "Benchmark"]).union(Self.order)
        for declaration in declarations {
            let folder = Self.root.appendingPathComponent(declaration.folder)
            let files = FileManager.default.enumerator(atPath: folder.path)?.compactMap { $0 as? String }.filter { $0.hasSuffix(".swift") }
            var imported: Set<String> = []
            for file in files ?? [] {
                let source = try String(contentsOf: folder.appendingPathComponent(file), encoding: .utf8)
                imported.formUnion(source.matches(of: /(?m)^(?:@testable )?(?:package )?import (\w+)$/).map { String($0.1) })
            }
            imported.formIntersection(known)
            let (missing, idle) = (imported.subtracting(declaration.dependencies), declaration.dependencies.subtracting(imported))
            #expect(missing.isEmpty, "\(declaration.name) imports \(missing.sorted()) without declaring it in Package.swift")
            #expect(idle.isEmpty, "\(declaration.name) declares \(idle.sorted()) in Package.swift and does not import it")
        }
    }

    @Test func arrowsPointOnlyUpThePath() {
        for source in Self.sources {
            let own = Self.order.firstIndex(of: source.target) ?? -1
            #expect(own >= 0, "\(source.name) is in a target that the order does not name")
            for name in imports(source) {
                if let other = Self.order.firstIndex(of: name) { #expect(other < own, "\(source.name) imports \(name)") }
            }
        }
    }

    @Test func controlAndTheDataPlaneKnowNothingOfEachOther() {
        let dataPlane: Set<String> = ["Redis", "Forwarding", "Policy", "Gateway"]
        let others: Set<String> = ["Control", "Supervisor"]
        for source in Self.sources {
            let forbidden = others.contains(source.target) ? dataPlane : dataPlane.contains(source.target) ? others : []
            for name in imports(source) { #expect(!forbidden.contains(name), "\(source.name) imports \(name)") }
        }
    }

    /// What makes an identity without a signature is for commands that tell, and never for a worker.
    @Test func theDataPlaneTakesNoUnsignedClaims() {
        for source in Self.sources where ["Forwarding", "RateLimiting", "Gateway", "Control", "Supervisor"].contains(source.target) {
            for line in source.lines { #expect(!line.contains("UnsignedClaims") && !line.contains("OfflinePolicy"), "\(source.name)") }
        }
    }

    @Test func onlyTheShellTouchesTheSystem() {
        for source in Self.sources {
            for name in imports(source) {
                switch name {
                case "CLinux", "CHiredis", "Glibc": #expect(Self.shell.contains(source.target), "\(source.name) imports \(name)")
                case "COpenSSL":
                    #expect(Self.shell.contains(source.target) || source.target == "Authentication", "\(source.name) imports \(name)")
                case "CNghttp2": #expect(source.target == "HTTP2", "\(source.name) imports \(name)")
                case "Foundation", "FoundationEssentials": #expect(source.target == "portcullis", "\(source.name) imports \(name)")
                case "Dispatch": #expect(source.target == "System", "\(source.name) imports \(name)")
                default: break
                }
            }
        }
    }

    @Test func unsafeCodeStandsOnlyInTheShell() {
        for source in Self.sources where !Self.shell.contains(source.target) && !Self.wrappers.contains(source.name) {
            for (number, line) in source.lines.enumerated()
            where line.contains("unsafe ") && !line.trimmingCharacters(in: .whitespaces).hasPrefix("//") {
                #expect(Bool(false), "\(source.name):\(number + 1): \(line)")
            }
        }
    }

    @Test func everyUnsafeFileSaysWhyItIsSafe() {
        for source in Self.sources where source.lines.contains(where: { $0.contains("unsafe ") }) {
            #expect(source.lines.contains { $0.contains("// SAFETY:") }, "\(source.name) has no SAFETY comment")
        }
    }

    @Test func nothingIsLeftUndone() {
        for source in Self.sources {
            for (number, line) in source.lines.enumerated() {
                for word in ["TODO", "FIXME", "XXX", "fatalError(", "try!", "as!", "-Ounchecked"] {
                    #expect(!line.contains(word), "\(source.name):\(number + 1): \(line)")
                }
            }
        }
    }

    /// Words that the field does not use, or that have to be read twice; docs/glossary.md has those that stand for them.
    @Test func wordsAreTheFieldsOwn() throws {
        let unused = ["whom", "whoever", "lest", "anew", "whilst", "takeLeave", "sayGoodbye", "giveUp", "Uptake", "goodbye"]
        let documents = try FileManager.default.subpathsOfDirectory(atPath: Self.root.appendingPathComponent("docs").path)
            .filter { $0.hasSuffix(".md") && !$0.hasPrefix("decisions") }.map { "docs/\($0)" }
        for document in documents + ["README.md", "CONTRIBUTING.md", "SECURITY.md", "gateway.conf.example", "examples/README.md"] {
            let text = try Self.text(document)
            for word in unused { #expect(!Self.holds(text, word), "\(document) says '\(word)'") }
        }
        for source in Self.sources {
            for (number, line) in source.lines.enumerated() {
                for word in unused { #expect(!Self.holds(line, word), "\(source.name):\(number + 1): \(line)") }
            }
        }
    }

    /// Whether a word stands in a text by itself, in whatever case of its first letter.
    private static func holds(_ text: String, _ word: String) -> Bool {
        for form in [word, word.prefix(1).uppercased() + word.dropFirst()] where text.contains(form) {
            let pattern = try? Regex("\\b\(form)\\b")
            if let pattern, text.contains(pattern) { return true }
        }
        return false
    }

    @Test func filesStayReadable() {
        for source in Self.sources { #expect(source.lines.count <= 400, "\(source.name) has \(source.lines.count) lines") }
    }

    /// A file is named after its main type: what stands beside it is short, or private to it. `Type+Part.swift` extends a type.
    @Test func aFileHasOneMainType() {
        let companionLinesMax = 25
        for source in Self.sources {
            let file = source.name.split(separator: "/").last.map(String.init) ?? ""
            let main = file.prefix { $0 != "+" && $0 != "." }
            var names: [Substring] = []
            for (start, line) in source.lines.enumerated() {
                let pattern =
                    /^(?:@\w+ )*(?:(package|private|fileprivate) )?(?:(?:final|indirect) )*(class|struct|enum|protocol|extension) (\w+)/
                guard let match = line.firstMatch(of: pattern) else { continue }
                names.append(match.3)
                if match.3 == main || match.2 == "extension" || match.1 == "private" || line.hasSuffix("}") { continue }
                let end = source.lines[start...].firstIndex(of: "}") ?? start
                #expect(
                    end - start < companionLinesMax,
                    "\(source.name): \(match.3) has \(end - start + 1) lines and so a file of its own, \(match.3).swift")
            }
            // Functions alone need no type, and what extends a type of the library is named after it.
            if file.contains("+") || names.isEmpty { continue }
            #expect(names.contains(main), "\(source.name) declares \(names.joined(separator: ", ")), and no \(main)")
        }
    }
}
