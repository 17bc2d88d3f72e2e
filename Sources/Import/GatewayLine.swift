package import ConfigFile

/// A directive of the gateway.conf that is written, with comments above it.
package struct GatewayLine: Equatable, Sendable {
    package var comments: [String] = []
    package var words: [String]
    package var block: [GatewayLine]?
    /// The directive of nginx that it is made of; 0 for none.
    var source = 0

    /// What a route that was refused has in place of a service.
    static let closed = GatewayLine("answer", "501", "this location of nginx is not imported yet")

    package init(_ words: String..., comments: [String] = [], block: [GatewayLine]? = nil) {
        self.init(words: words, comments: comments, block: block)
    }

    package init(words: [String], comments: [String] = [], block: [GatewayLine]? = nil) {
        self.words = words
        self.comments = comments
        self.block = block
    }

    /// A directive of a file that is there.
    package init(_ directive: Directive) {
        self.init(words: [directive.name.text] + directive.arguments.map(\.text), block: directive.block?.map { GatewayLine($0) })
    }

    package var name: String { words.first ?? "" }

    /// How many lines of the file it takes.
    var lineCount: Int { text().utf8.count { $0 == 0x0A } }

    /// As it stands in the file; comments are cut into lines.
    package func text(depth: Int = 0) -> String {
        let margin = String(repeating: "    ", count: depth)
        var text = ""
        for comment in comments {
            for line in comment.split(whereSeparator: \.isNewline) { text += "\(margin)# \(line)\n" }
        }
        let directive = margin + words.map(Self.written).joined(separator: " ")
        guard let block else { return text + directive + ";\n" }
        // A short block stands in one line.
        let inner = block.map { $0.words.map(Self.written).joined(separator: " ") + ";" }.joined(separator: " ")
        if block.allSatisfy({ $0.comments.isEmpty && $0.block == nil }), depth + inner.count + directive.count < 110 {
            return text + "\(directive) { \(inner)\(inner.isEmpty ? "" : " ")}\n"
        }
        return text + "\(directive) {\n" + block.map { $0.text(depth: depth + 1) }.joined() + "\(margin)}\n"
    }

    private static func written(_ word: String) -> String {
        // What no word of the file can hold is no word that nginx could use either: check says so then.
        var word = word
        while word.contains("${") { word = word.replacing("${", with: "$") }
        let plain = word.map { $0.isNewline || $0 == "\t" || $0.asciiValue ?? 0x20 >= 0x20 ? $0 : "?" }
        return Word(text: String(plain), position: Position(file: 0, offset: 0, length: 0), isQuoted: true).written
    }
}
