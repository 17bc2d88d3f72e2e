import Foundation
import TestSupport
import Testing

@testable import ConfigFile

@Suite("File layout") struct FileLayoutTests {
    private func layout(_ text: String) throws -> String {
        let diagnostics = Diagnostics()
        let layout = try #require(FileLayout(Array(text.utf8), path: "f", diagnostics), "\(diagnostics.messages)")
        return String(decoding: layout.text, as: UTF8.self)
    }

    /// The words and marks of a file, without where they stand.
    private func tokens(_ text: String) -> [String] {
        var lexer = Lexer(bytes: Array(text.utf8), file: 0, environment: nil, diagnostics: Diagnostics())
        var found: [String] = []
        while true {
            switch lexer.next() {
            case .word(let word): found.append((word.isQuoted ? "q:" : "w:") + word.text)
            case .semicolon: found.append(";")
            case .open: found.append("{")
            case .close: found.append("}")
            case .end: return found
            }
        }
    }

    @Test("Lines stand under their blocks, and no two empty lines follow each other")
    func blocks() throws {
        let text = """


            workers   2;   # as many\u{20}\u{20}
              route /a/{id}/** {

            upstream app;
            \tmethod GET { scope a; }
                  method POST {
              scope b


              c; }

            }



            answer 200 "a { b
               c";
            """
        let expected = """
            workers   2;   # as many
            route /a/{id}/** {
                upstream app;
                method GET { scope a; }
                method POST {
                    scope b

                        c; }
            }

            answer 200 "a { b
               c";

            """
        #expect(try layout(text) == expected)
    }

    @Test("What is laid out stays so, and says what it said, whatever stands in it")
    func meaning() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let example = try String(contentsOf: root.appendingPathComponent("gateway.conf.example"), encoding: .utf8)
        #expect(try layout(example) == example, "the example is not laid out")
        let pieces = ["a", "{", "}", ";", "\n", " ", "\t", "\"x\ny\"", "'q'", "# c\n", "${V}", "/p/{id}", "\r\n", "\"\\\"\""]
        for _ in 0..<3_000 {
            let text = (0..<Int.random(in: 0...40)).map { _ in pieces.randomElement() ?? "" }.joined()
            guard let once = try? layout(text) else { continue }
            #expect(tokens(once) == tokens(text), "\(text)")
            #expect(try layout(once) == once, "\(text)")
        }
    }

    @Test("A quotation that is never closed is an error")
    func open() {
        let diagnostics = Diagnostics()
        #expect(FileLayout(Array("answer 200 \"a;".utf8), path: "f", diagnostics) == nil && !diagnostics.isEmpty)
    }
}
