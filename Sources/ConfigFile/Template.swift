/// Text with variables in it, such as `user-$claim.sub`.
package struct Template: Hashable, Sendable {
    package enum Part: Hashable, Sendable {
        case text(String)
        case variable(Variable)
    }

    package let parts: [Part]

    /// Whether only the token decides the value, so that it can be made once per token.
    package var dependsOnIdentityAlone: Bool {
        parts.allSatisfy { part in
            switch part {
            case .text, .variable(.claim): true
            case .variable: false
            }
        }
    }

    package var variables: [Variable] {
        parts.compactMap { part in
            if case .variable(let variable) = part { variable } else { nil }
        }
    }

    /// Reads `word`; a `$` starts a variable whose name runs over letters, digits, `_`, `-` and `.`, that of a claim also over `:`, `/` and `~`; `$$` is a `$`.
    package init?(_ word: Word, _ diagnostics: Diagnostics) {
        var parts: [Part] = []
        var literal = ""
        var rest = Substring(word.text)
        while let first = rest.first {
            guard first == "$" else {
                literal.append(first)
                rest = rest.dropFirst()
                continue
            }
            rest = rest.dropFirst()
            if rest.first == "$" {
                literal.append("$")
                rest = rest.dropFirst()
                continue
            }
            // A claim's name may be a URL, or a place among nested ones.
            let punctuation = rest.hasPrefix("claim.") ? "_-.:/~" : "_-."
            var name = rest.prefix { $0.isASCII && ($0.isLetter || $0.isNumber || punctuation.contains($0)) }
            // Punctuation after a name belongs to the text around it.
            while let last = name.last, "-.:/".contains(last) { name.removeLast() }
            guard let variable = Variable(String(name)) else {
                diagnostics.error(
                    "there is no variable $\(name)", at: word, hint: "the variables are \(Variable.known); write $$ for a $")
                return nil
            }
            if !literal.isEmpty { parts.append(.text(literal)) }
            literal = ""
            parts.append(.variable(variable))
            rest = rest.dropFirst(name.count)
        }
        if !literal.isEmpty || parts.isEmpty { parts.append(.text(literal)) }
        self.parts = parts
    }

    package init(parts: [Part]) { self.parts = parts }
}
