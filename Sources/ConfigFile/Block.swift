/// Reads the directives of one block by name, and complains of what nobody asked for.
///
/// A stage takes its own directives with ``one(_:)`` and ``all(_:)``; ``finish(later:)`` then reports every directive that is
/// left as unknown, with the likely meant word.
package final class Block {
    package let diagnostics: Diagnostics
    /// What the block is called in messages, such as "a route".
    package let title: String
    /// The directive that opened the block; nil for the file itself.
    package let opening: Directive?
    private let directives: [Directive]
    private var asked: Set<String> = []

    package init(_ directives: [Directive], title: String, opening: Directive? = nil, diagnostics: Diagnostics) {
        self.directives = directives
        self.title = title
        self.opening = opening
        self.diagnostics = diagnostics
    }

    /// The block of a directive; reports a directive without one and reads it as empty.
    package convenience init(of directive: Directive, title: String, _ diagnostics: Diagnostics) {
        if directive.block == nil {
            diagnostics.error(
                "'\(directive.name.text)' needs a block", at: directive.position, hint: "write \(directive.name.text) … { … }")
        }
        self.init(directive.block ?? [], title: title, opening: directive, diagnostics: diagnostics)
    }

    /// Every directive of these names, in order.
    package func all(_ names: String...) -> [Directive] { all(names) }

    package func all(_ names: [String]) -> [Directive] {
        asked.formUnion(names)
        return directives.filter { names.contains($0.name.text) }
    }

    /// The directive of this name; a second one is an error.
    package func one(_ name: String) -> Directive? {
        let found = all(name)
        for extra in found.dropFirst() {
            diagnostics.error(
                "'\(name)' stands twice in \(title)", at: extra.position,
                hint: "it is first given at \(diagnostics.place(found[0].name.position))")
        }
        return found.first
    }

    /// Reports what is left.
    ///
    /// - Parameter later: directives that the language has but this version does not do.
    package func finish(later: Set<String> = []) {
        for directive in directives where !asked.contains(directive.name.text) {
            let name = directive.name.text
            if later.contains(name) {
                diagnostics.error("'\(name)' is not available yet", at: directive.name, hint: "this version does without it")
            } else if let advice = NginxWords.advice(name) {
                diagnostics.error("\(title) has no directive '\(name)'", at: directive.name, hint: advice)
            } else {
                let meant = nearest(to: name, among: asked.union(later))
                diagnostics.error(
                    "\(title) has no directive '\(name)'", at: directive.name,
                    hint: meant.map { "did you mean '\($0)'?" } ?? "it has: \(asked.sorted().joined(separator: ", "))")
            }
        }
    }
}

/// Arguments with their types. Each reports a wrong argument and returns nil.
extension Directive {
    /// Checks the number of arguments, and that there is no block.
    package func takes(_ counts: ClosedRange<Int>, _ what: String, _ diagnostics: Diagnostics) -> Bool {
        if block != nil {
            diagnostics.error("'\(name.text)' takes no block", at: name, hint: "write \(name.text) \(what);")
            return false
        }
        return hasArguments(counts, what, diagnostics)
    }

    /// Checks the number of arguments.
    package func hasArguments(_ counts: ClosedRange<Int>, _ what: String, _ diagnostics: Diagnostics) -> Bool {
        guard counts.contains(arguments.count) else {
            diagnostics.error("'\(name.text)' has \(arguments.count) arguments", at: position, hint: "write \(name.text) \(what)")
            return false
        }
        return true
    }

    /// The only argument.
    package func word(_ what: String, _ diagnostics: Diagnostics) -> Word? {
        takes(1...1, what, diagnostics) ? arguments[0] : nil
    }

    /// One or more arguments.
    package func words(_ what: String, _ diagnostics: Diagnostics) -> [Word] {
        takes(1...Int.max, what, diagnostics) ? arguments : []
    }

    package func integer(_ range: ClosedRange<Int>, _ diagnostics: Diagnostics) -> Int? {
        guard let word = word("NUMBER", diagnostics) else { return nil }
        guard let value = Int(word.text), range.contains(value) else {
            diagnostics.error("'\(word.text)' is not a number from \(range.lowerBound) to \(range.upperBound)", at: word)
            return nil
        }
        return value
    }

    package func duration(_ diagnostics: Diagnostics, in range: ClosedRange<Duration> = .zero...(.seconds(366 * 86_400))) -> Duration? {
        guard let word = word("TIME", diagnostics) else { return nil }
        guard let value = Duration(word: word.text) else {
            diagnostics.error("'\(word.text)' is not a time", at: word, hint: "write a number with ms, s, m, h or d, such as 30s")
            return nil
        }
        guard range.contains(value) else {
            diagnostics.error(
                "'\(word.text)' is out of range", at: word, hint: "from \(range.lowerBound.written) to \(range.upperBound.written)")
            return nil
        }
        return value
    }

    /// Bytes.
    package func size(_ diagnostics: Diagnostics) -> UInt64? {
        guard let word = word("SIZE", diagnostics) else { return nil }
        guard let value = byteCount(word.text) else {
            diagnostics.error("'\(word.text)' is not a size", at: word, hint: "write a number of bytes, or with k, m or g, such as 16k")
            return nil
        }
        return value
    }

    package func flag(_ diagnostics: Diagnostics) -> Bool? { choice(["on": true, "off": false], diagnostics) }

    /// One of several words.
    package func choice<Value>(_ values: [String: Value], _ diagnostics: Diagnostics) -> Value? {
        let names = values.keys.sorted()
        guard let word = word(names.joined(separator: "|"), diagnostics) else { return nil }
        guard let value = values[word.text] else {
            diagnostics.error(
                "'\(name.text)' cannot be '\(word.text)'", at: word,
                hint: nearest(to: word.text, among: names).map { "did you mean '\($0)'?" }
                    ?? "it is one of: \(names.joined(separator: ", "))")
            return nil
        }
        return value
    }
}

extension Duration {
    /// As a file has it, in the largest unit that says it exactly.
    package var written: String {
        let (seconds, attoseconds) = components
        guard attoseconds == 0 else { return "\(seconds * 1_000 + attoseconds / 1_000_000_000_000_000)ms" }
        for (unit, length) in [("d", Int64(86_400)), ("h", 3_600), ("m", 60)] where seconds >= length && seconds % length == 0 {
            return "\(seconds / length)\(unit)"
        }
        return seconds == 0 ? "0" : "\(seconds)s"
    }

    /// `250ms 30s 5m 1h 2d`; a bare `0` too.
    package init?(word: String) {
        let digits = word.prefix { $0.isASCII && $0.isNumber }
        guard !digits.isEmpty, digits.count <= 12, let number = Int64(digits) else { return nil }
        switch word.dropFirst(digits.count) {
        case "ms": self = .milliseconds(number)
        case "s": self = .seconds(number)
        case "m": self = .seconds(number * 60)
        case "h": self = .seconds(number * 3_600)
        case "d": self = .seconds(number * 86_400)
        case "" where number == 0: self = .zero
        default: return nil
        }
    }
}

/// `512`, `16k`, `8m`, `1g`.
private func byteCount(_ word: String) -> UInt64? {
    let digits = word.prefix { $0.isASCII && $0.isNumber }
    guard !digits.isEmpty, let number = UInt64(digits) else { return nil }
    let shift: UInt64? =
        switch word.dropFirst(digits.count).lowercased() {
        case "": 0
        case "k": 10
        case "m": 20
        case "g": 30
        default: nil
        }
    guard let shift, number <= UInt64.max >> (shift + 1) else { return nil }
    return number << shift
}
