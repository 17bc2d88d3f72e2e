package import ConfigFile

/// A directive of nginx: `name argument … ;` or `name argument … { … }`.
package struct NginxDirective: Sendable {
    /// The place in the order of reading; the record tells by it what became of this directive.
    let id: Int
    package let name: String
    /// Without quotes and escapes; variables as they stand.
    package let arguments: [String]
    /// What stands between the braces; nil when the directive ends with `;`.
    package let block: [NginxDirective]?
    package let line: SourceLine
    /// The text of the comments above it, and beside it.
    let comments: [String]

    /// The first argument; empty when there is none.
    var value: String { arguments.first ?? "" }

    /// An argument; empty when there is none.
    func argument(_ index: Int) -> String { index < arguments.count ? arguments[index] : "" }

    /// As it stands, in short.
    package var summary: String {
        let words = ([name] + arguments).joined(separator: " ")
        return words.count <= 72 ? words : String(words.prefix(71)) + "…"
    }

    /// The same directive with other arguments or another block.
    package func with(arguments: [String]? = nil, block: [NginxDirective]? = nil) -> NginxDirective {
        NginxDirective(
            id: id, name: name, arguments: arguments ?? self.arguments, block: block ?? self.block, line: line, comments: comments)
    }

    /// As nginx reads it.
    package func text(depth: Int = 0) -> String {
        let margin = String(repeating: "    ", count: depth)
        let words = ([name] + arguments).map(Self.quoted).joined(separator: " ")
        guard let block else { return "\(margin)\(words);\n" }
        return "\(margin)\(words) {\n" + block.map { $0.text(depth: depth + 1) }.joined() + "\(margin)}\n"
    }

    private static func quoted(_ argument: String) -> String {
        let isPlain =
            !argument.isEmpty && argument.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && !"\"'\\;{}#".utf8.contains($0) }
        if isPlain { return argument }
        return "\"" + argument.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
    }
}
