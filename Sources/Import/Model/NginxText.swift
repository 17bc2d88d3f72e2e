/// An argument of nginx, taken apart at its variables.
struct NginxText: Equatable {
    enum Part: Equatable {
        case text(String)
        /// The name, without `$`.
        case variable(String)
        /// A field of the response of an auth_request, as nginx writes it in `$upstream_http_NAME`.
        case authorizerField(String)
    }

    var parts: [Part]

    init(parts: [Part]) { self.parts = parts }

    init(_ text: String) {
        var parts: [Part] = []
        var literal = ""
        var rest = Substring(text)
        while let first = rest.first {
            rest = rest.dropFirst()
            guard first == "$" else {
                literal.append(first)
                continue
            }
            var name: Substring
            if rest.first == "{", let end = rest.prefix(128).firstIndex(of: "}") {
                name = rest[rest.index(after: rest.startIndex)..<end]
                rest = rest[rest.index(after: end)...]
            } else {
                name = rest.prefix { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") }
                // A captured group has one digit.
                if let digit = name.first, digit.isNumber { name = name.prefix(1) }
                rest = rest.dropFirst(name.count)
            }
            guard !name.isEmpty else {
                literal.append("$")
                continue
            }
            if !literal.isEmpty { parts.append(.text(literal)) }
            literal = ""
            parts.append(.variable(String(name)))
        }
        if !literal.isEmpty { parts.append(.text(literal)) }
        self.parts = parts
    }

    /// Its text where it has no variable.
    var literal: String? {
        var text = ""
        for part in parts {
            guard case .text(let piece) = part else { return nil }
            text += piece
        }
        return text
    }

    /// As nginx writes it, for messages.
    var written: String {
        parts.map { part in
            switch part {
            case .text(let text): text
            case .variable(let name): "$\(name)"
            case .authorizerField(let name): "$upstream_http_\(name)"
            }
        }.joined()
    }

    /// Whether it is this one variable.
    func isVariable(_ names: String...) -> Bool {
        guard parts.count == 1, case .variable(let name) = parts[0] else { return false }
        return names.contains(name)
    }

    /// With neighbouring texts made one.
    var joined: NginxText {
        var result: [Part] = []
        for part in parts {
            if case .text(let more) = part, case .text(let before)? = result.last {
                result[result.count - 1] = .text(before + more)
            } else {
                result.append(part)
            }
        }
        return NginxText(parts: result)
    }
}
