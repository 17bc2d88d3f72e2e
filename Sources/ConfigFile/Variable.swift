/// A variable of the language.
package enum Variable: Hashable, Sendable {
    case clientIP, requestID, requestMethod, requestHost, route
    case claim(String), path(String), header(String), cookie(String)

    package var isClaim: Bool { if case .claim = self { true } else { false } }

    /// The variable that a name without its `$` stands for.
    package init?(_ name: String) {
        switch name {
        case "client.ip": self = .clientIP
        case "request.id": self = .requestID
        case "request.method": self = .requestMethod
        case "request.host": self = .requestHost
        case "route": self = .route
        default:
            guard let dot = name.firstIndex(of: ".") else { return nil }
            let member = String(name[name.index(after: dot)...])
            guard !member.isEmpty else { return nil }
            switch name[..<dot] {
            case "claim": self = .claim(member)
            case "path": self = .path(member)
            case "header": self = .header(member)
            case "cookie": self = .cookie(member)
            default: return nil
            }
        }
    }

    package var name: String {
        switch self {
        case .clientIP: "$client.ip"
        case .requestID: "$request.id"
        case .requestMethod: "$request.method"
        case .requestHost: "$request.host"
        case .route: "$route"
        case .claim(let name): "$claim.\(name)"
        case .path(let name): "$path.\(name)"
        case .header(let name): "$header.\(name)"
        case .cookie(let name): "$cookie.\(name)"
        }
    }

    package static let known =
        "$client.ip $request.id $request.method $request.host $claim.NAME $path.NAME $header.NAME $cookie.NAME $route"
}

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

    /// Reads `word`; a `$` starts a variable whose name runs over letters, digits, `_`, `-`, `.`, `:`, `/` and `~`; `$$` is a `$`.
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
            var name = rest.prefix { $0.isASCII && ($0.isLetter || $0.isNumber || "_-.:/~".contains($0)) }
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
