extension Directive {
    /// As it stands in a file, with what its block holds indented below it.
    ///
    /// - Parameter depth: of the block that it stands in.
    package func text(depth: Int = 0) -> String {
        let margin = String(repeating: "    ", count: depth)
        let words = ([name] + arguments).map(\.written).joined(separator: " ")
        guard let block else { return "\(margin)\(words);\n" }
        if block.isEmpty { return "\(margin)\(words) { }\n" }
        return "\(margin)\(words) {\n" + block.map { $0.text(depth: depth + 1) }.joined() + "\(margin)}\n"
    }
}

extension Word {
    /// As it stands in a file: with quotes where it needs them.
    package var written: String {
        let isPlain = !text.isEmpty && text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && !"\"'\\;{}#".utf8.contains($0) }
        // The braces of a path's {name} belong to the word, and need no quotes where they are balanced.
        if isPlain || !isQuoted && !text.isEmpty && !text.contains(where: { " \t\n\"'\\;#".contains($0) }) { return text }
        var escaped = text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
        escaped = escaped.replacing("\n", with: "\\n").replacing("\t", with: "\\t")
        return "\"" + escaped + "\""
    }
}
