import ConfigFile

/// Names that are defined in the file, and whether anything refers to them.
struct References {
    private let diagnostics: Diagnostics
    private var defined: [String: [Word]] = [:]

    init(_ diagnostics: Diagnostics) { self.diagnostics = diagnostics }

    /// The index of each name; a name that is defined twice is an error.
    mutating func define(_ kind: String, _ directives: [Directive]) -> [String: Int] {
        var index: [String: Int] = [:]
        for (position, directive) in directives.enumerated() {
            guard let word = directive.arguments.first else { continue }
            defined[kind, default: []].append(word)
            if index[word.text] != nil { diagnostics.error("\(kind) '\(word.text)' is defined twice", at: word) }
            index[word.text] = position
        }
        return index
    }

    func reportUnused(_ kind: String, _ used: Set<Int>) {
        for (index, word) in (defined[kind] ?? []).enumerated() where !used.contains(index) {
            diagnostics.warning("\(kind) '\(word.text)' is used nowhere", at: word, hint: "use it or remove it")
        }
    }
}
