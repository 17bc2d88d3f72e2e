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
            case .text, .variable(.claim), .variable(.tokenPayload): true
            case .variable: false
            }
        }
    }

    package var variables: [Variable] {
        parts.compactMap { part in
            if case .variable(let variable) = part { variable } else { nil }
        }
    }

    /// Reads `word`; a `$` starts a variable whose name runs over letters, digits, `_`, `-`, `.` and `~`, that of a claim also over `:` and `/`, or stands between parentheses, as in `$(claim.sub)/x`; `$$` is a `$`.
    ///
    /// - Parameter isForUpstream: whether it stands where limits have been asked already, in a field for the upstream.
    package init?(_ word: Word, isForUpstream: Bool = false, _ diagnostics: Diagnostics) {
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
            let isEnclosed = rest.first == "("
            guard let name = isEnclosed ? Self.enclosed(&rest, word, diagnostics) : Self.name(&rest) else { return nil }
            guard let variable = Variable(String(name)) else {
                diagnostics.error(
                    "there is no variable $\(name)", at: word,
                    hint: NginxWords.variable(String(name)) ?? "the variables are \(Variable.known); write $$ for a $")
                return nil
            }
            if variable == .limitsExceeded, !isForUpstream {
                diagnostics.error(
                    "$limits.exceeded stands in set_header alone", at: word, hint: "services get it: the access log has would_refuse_for")
            }
            if !literal.isEmpty { parts.append(.text(literal)) }
            literal = ""
            parts.append(.variable(variable))
            if !isEnclosed, case .claim(let claim) = variable { Self.warn(ofClaim: claim, word, diagnostics) }
        }
        if !literal.isEmpty || parts.isEmpty { parts.append(.text(literal)) }
        self.parts = parts
    }

    package init(parts: [Part]) { self.parts = parts }

    /// Takes the name that stands between parentheses.
    private static func enclosed(_ rest: inout Substring, _ word: Word, _ diagnostics: Diagnostics) -> Substring? {
        guard let end = rest.firstIndex(of: ")") else {
            diagnostics.error("'$(' has no ')'", at: word, hint: "write $(NAME), or $$ for a $")
            return nil
        }
        defer { rest = rest[rest.index(after: end)...] }
        return rest[rest.index(after: rest.startIndex)..<end]
    }

    /// Takes the longest name that stands here.
    private static func name(_ rest: inout Substring) -> Substring {
        // A claim's name may be a URL, or a place among nested ones.
        let punctuation = rest.hasPrefix("claim.") ? "_-.:/~" : "_-.~"
        var name = rest.prefix { $0.isASCII && ($0.isLetter || $0.isNumber || punctuation.contains($0)) }
        // Punctuation after a name belongs to the text around it.
        while let last = name.last, "-.:/".contains(last) { name.removeLast() }
        rest = rest.dropFirst(name.count)
        return name
    }

    /// A slash in a claim's name is mostly one that was to follow the claim.
    private static func warn(ofClaim claim: String, _ word: Word, _ diagnostics: Diagnostics) {
        guard let slash = claim.firstIndex(of: "/"), slash != claim.startIndex, !claim[..<slash].contains(where: { ":.".contains($0) })
        else {
            return
        }
        diagnostics.warning(
            "this is the claim '\(claim)'", at: word,
            hint: "for the claim '\(claim[..<slash])' and then a path write $(claim.\(claim[..<slash]))")
    }
}
