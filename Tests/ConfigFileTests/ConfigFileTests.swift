import ConfigFile
import TestSupport
import Testing

private func parse(_ text: String, _ more: [String: String] = [:], environment: [String: String] = [:]) -> ([Directive], [String]) {
    let diagnostics = Diagnostics()
    let files = MemoryFiles(["/etc/g.conf": text].merging(more.map { ("/etc/\($0.key)", $0.value) }) { $1 })
    let directives = Parser(files: files, environment: environment, diagnostics: diagnostics).parse("/etc/g.conf")
    return (directives, diagnostics.messages)
}

private func flat(_ directives: [Directive]) -> String {
    directives.map { directive in
        ([directive.name.text] + directive.arguments.map(\.text)).joined(separator: " ") + (directive.block.map { "{\(flat($0))}" } ?? ";")
    }.joined()
}

@Suite struct ParserTests {
    @Test(arguments: [
        ("a;", "a;"), ("a b c;", "a b c;"), ("a { b; c { d e; } }", "a{b;c{d e;}}"), ("a 'x y' \"z;{}\";", "a x y z;{};"),
        ("# only this\na; # and this\n", "a;"), ("a#b;", "a#b;"), ("route /x/{id}/** { b; }", "route /x/{id}/**{b;}"),
        ("route /x {b;}", "route /x{b;}"),
        ("a \"q\\\"q\" 'n\\nn';", "a q\"q n\nn;"), ("", ""), ("a\n  b\n;", "a b;"),
    ])
    func reads(text: String, expected: String) {
        let (directives, errors) = parse(text)
        #expect(flat(directives) == expected)
        #expect(errors.isEmpty)
    }

    @Test(arguments: [
        ("a", "/etc/g.conf:1:1: 'a' does not end with ;; write ; after 'a'"),
        ("a { b; ", "/etc/g.conf:1:3: this { is never closed; close the block with }"),
        ("}", "/etc/g.conf:1:1: this } closes nothing"), ("{ }", "/etc/g.conf:1:1: there is no directive before this {"),
        (";", "/etc/g.conf:1:1: there is no directive before this ;"),
        ("a \"b;", "/etc/g.conf:1:3: this quotation is never closed; close it with \""),
        ("a ${NO};", "/etc/g.conf:1:3: the environment variable NO is not set; set it for the service, or write the value itself"),
        ("a\n\n  b c }", "/etc/g.conf:3:5: 'a' does not end with ;; write ; after 'c'"),
        ("include missing.conf;", "/etc/g.conf:1:9: cannot read /etc/missing.conf: No such file or directory"),
        ("include g.conf;", "/etc/g.conf:1:9: files include each other deeper than 8; does a file include itself?"),
    ])
    func complains(text: String, expected: String) { #expect(parse(text).1.contains(expected)) }

    @Test func putsInTheEnvironmentAndOtherFiles() {
        let (directives, errors) = parse(
            "a x${NAME}y \"${NAME}\"; include more/*.conf;", ["more/1.conf": "b;", "more/2.conf": "c;"], environment: ["NAME": "v w"])
        #expect(errors.isEmpty)
        #expect(flat(directives) == "a xv wy v w;b;c;")
    }

    @Test func boundsNesting() {
        #expect(parse(String(repeating: "a { ", count: 20)).1.contains { $0.contains("nested deeper") })
    }

    @Test func neverTrapsOnRandomText() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<5_000 {
            let text = String((0..<30).map { _ in "a {};\"'\\$#\n\u{0}é".randomElement(using: &generator)! })
            _ = parse(text)
        }
    }
}

@Suite struct BlockTests {
    private func block(_ text: String) -> (Block, Diagnostics) {
        let diagnostics = Diagnostics()
        return (
            Block(
                Parser(files: MemoryFiles(["f": text]), environment: [:], diagnostics: diagnostics).parse("f"), title: "the file",
                diagnostics: diagnostics), diagnostics
        )
    }

    @Test func reportsWhatNobodyAskedFor() {
        let (block, diagnostics) = block("upstraem x; http2 on; known;")
        _ = block.all("upstream")
        _ = block.one("known")
        block.finish(later: ["http2"])
        #expect(
            diagnostics.messages == [
                "f:1:1: the file has no directive 'upstraem'; did you mean 'upstream'?",
                "f:1:13: 'http2' is not available yet; this version does without it",
            ])
    }

    @Test func reportsDuplicates() {
        let (block, diagnostics) = block("a 1;\na 2;")
        #expect(block.one("a")?.arguments[0].text == "1")
        #expect(diagnostics.messages == ["f:2:1: 'a' stands twice in the file; it is first given at f:1:1"])
    }

    @Test(arguments: [
        ("250ms", Duration.milliseconds(250)), ("30s", .seconds(30)), ("5m", .seconds(300)), ("1h", .seconds(3_600)),
        ("2d", .seconds(172_800)), ("0", .zero),
    ])
    func readsTimes(text: String, expected: Duration) { #expect(Duration(word: text) == expected) }

    @Test(arguments: ["", "5", "5 s", "s", "-5s", "5sec", "1.5s", "99999999999999s"]) func refusesWhatIsNoTime(text: String) {
        #expect(Duration(word: text) == nil)
    }

    @Test func readsSizesAndNumbers() {
        let (block, diagnostics) = block("a 16k; b 8m; c 12; d 1g; e 20000000000000000000; f x; g 65;")
        #expect(["a", "b", "c", "d"].map { block.one($0)?.size(diagnostics) } == [16_384, 8_388_608, 12, 1 << 30])
        #expect(block.one("e")?.size(diagnostics) == nil)
        #expect(block.one("f")?.size(diagnostics) == nil)
        #expect(block.one("g")?.integer(1...64, diagnostics) == nil)
        #expect(diagnostics.count == 3)
    }

    @Test func showsTheLineWithACaret() {
        let (block, diagnostics) = block("one;\n\tcolour\tblu;")
        _ = block.one("one")
        _ = block.one("colour")?.choice(["blue": 1, "red": 2], diagnostics)
        #expect(
            diagnostics.rendered()
                == "f:2:9: error: 'colour' cannot be 'blu'\n  2 |  colour blu;\n    |         ^^^\n    = did you mean 'blue'?\n")
    }
}

@Suite struct TemplateTests {
    @Test(arguments: [("plain", 1), ("$claim.sub", 1), ("a-$claim.sub b", 3), ("$request.method-$client.ip", 3), ("$$5", 1), ("", 1)])
    func readsVariables(text: String, parts: Int) {
        let diagnostics = Diagnostics()
        let template = Template(Word(text: text, position: Position(file: 0, offset: 0, length: 1), isQuoted: true), diagnostics)
        #expect(template?.parts.count == parts)
        #expect(diagnostics.isEmpty)
    }

    @Test func knowsWhatTheTokenAloneDecides() {
        func template(_ text: String) -> Template? {
            Template(Word(text: text, position: Position(file: 0, offset: 0, length: 1), isQuoted: true), Diagnostics())
        }
        #expect(template("u-$claim.sub")?.dependsOnIdentityAlone == true)
        #expect(template("$claim.sub@$client.ip")?.dependsOnIdentityAlone == false)
        #expect(template("$nonsense.x") == nil)
    }

    @Test func ofALongLineThePartAroundTheErrorIsShown() {
        let diagnostics = Diagnostics()
        let long = String(repeating: "x", count: 5_000)
        let text = "route a '\(long)' wrong '\(long)';"
        let directives = Parser(files: MemoryFiles(["f": text]), environment: [:], diagnostics: diagnostics).parse("f")
        diagnostics.error("this", at: directives[0].arguments[2])
        let lines = diagnostics.rendered().split(separator: "\n").map(String.init)
        #expect(lines.count == 3 && lines.allSatisfy { $0.count < 300 })
        #expect(lines[1].contains("…x") && lines[1].hasSuffix("x…") && lines[1].contains("' wrong '"))
        let column = lines[1].firstRange(of: "wrong").map { lines[1].distance(from: lines[1].startIndex, to: $0.lowerBound) }
        #expect(lines[2].firstIndex(of: "^").map { lines[2].distance(from: lines[2].startIndex, to: $0) } == column)
    }
}
