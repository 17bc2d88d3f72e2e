/// The paths that a regular expression of a location matches, where they are routes.
///
/// Understood are expressions that begin with `^` and consist of text, alternatives, optional parts, classes of few characters, `[^/]+` for a
/// segment, and `.*` for the rest.
struct ExpressionPaths {
    /// Why an expression is none.
    struct Unconvertible: Error {
        let reason: String
        /// The path that everything begins with that it matches; `/` where nothing is known.
        var begins = "/"
    }

    /// One of the alternatives.
    struct Path: Hashable {
        /// `/a/*/b`; without the rest.
        var text: String
        /// Whether what is below belongs to it.
        var hasTail: Bool
        /// Whether nginx also matches paths that go on within the last segment.
        var goesOnWithinSegment = false
    }

    let paths: [Path]
    /// Whether the routes match more than the expression, because a segment of theirs may hold anything.
    let isWider: Bool
    /// Whether the expression matches more than the routes, because a sign of it may be another, or none.
    let isNarrower: Bool

    init(_ expression: String) throws(Unconvertible) {
        var reader = Reader(Array(expression.unicodeScalars))
        guard reader.take("^") else {
            throw Unconvertible(
                reason: "an expression without ^ at its beginning matches parts of paths, and a route begins at their beginning")
        }
        var alternatives: [[Token]]
        do throws(Unconvertible) {
            alternatives = try reader.alternatives(depth: 0)
            guard reader.isAtEnd else { throw Unconvertible(reason: "it has a ) too many") }
        } catch {
            throw Unconvertible(reason: error.reason, begins: Self.literalBeginning(expression))
        }
        if alternatives.isEmpty { alternatives = [[]] }
        var found: [Path] = []
        for tokens in alternatives {
            do throws(Unconvertible) {
                let path = try Self.path(tokens)
                if !found.contains(path) { found.append(path) }
            } catch {
                throw Unconvertible(reason: error.reason, begins: Self.literalBeginning(expression))
            }
        }
        paths = found.filter { path in
            path.hasTail || !found.contains { $0.hasTail && $0.text == path.text && !$0.goesOnWithinSegment }
        }
        isWider = reader.isWider
        isNarrower = reader.isNarrower
    }

    fileprivate enum Token: Hashable {
        case character(Unicode.Scalar)
        case segment, rest, end
    }

    /// Whether alternatives stand outside all groups.
    private static func hasTopLevelBar(_ expression: String) -> Bool {
        var depth = 0
        var isEscaped = false
        for character in expression {
            if isEscaped {
                isEscaped = false
            } else if character == "\\" {
                isEscaped = true
            } else if character == "(" {
                depth += 1
            } else if character == ")" {
                depth -= 1
            } else if character == "|", depth <= 0 {
                return true
            }
        }
        return false
    }

    /// The text before the first sign of the expression's own, to the last slash in it.
    private static func literalBeginning(_ expression: String) -> String {
        var text = expression.dropFirst().prefix { $0.isLetter || $0.isNumber || "/-_~".contains($0) }
        if let next = expression.dropFirst(text.count + 1).first, "?*{".contains(next) { text = text.dropLast() }
        guard text.hasPrefix("/"), !hasTopLevelBar(expression) else { return "/" }
        return text.lastIndex(of: "/").map { String(text[...$0]) } ?? "/"
    }

    private static func path(_ tokens: [Token]) throws(Unconvertible) -> Path {
        var path = Path(text: "", hasTail: false)
        var index = 0
        while index < tokens.count {
            let isLast = index == tokens.count - 1
            switch tokens[index] {
            case .character(let character):
                guard !"*{}".unicodeScalars.contains(character) else {
                    throw Unconvertible(reason: "a route has no \(character) in its path")
                }
                guard character != "/" || path.text.last != "/" else { throw Unconvertible(reason: "a route has no empty segment") }
                path.text.unicodeScalars.append(character)
            case .segment:
                guard path.text.last == "/", isLast || tokens[index + 1] == .character("/") || tokens[index + 1] == .end else {
                    throw Unconvertible(reason: "a route has whole segments, and this one has text and any text in one")
                }
                path.text += "*"
            case .rest:
                guard isLast || tokens[(index + 1)...].allSatisfy({ $0 == .end }) else {
                    throw Unconvertible(reason: "a route takes any rest only at its end: a suffix has no counterpart")
                }
                path.hasTail = true
                path.goesOnWithinSegment = path.text.last != "/"
                return trimmed(path)
            case .end:
                guard isLast || tokens[(index + 1)...].allSatisfy({ $0 == .end || $0 == .rest }) else {
                    throw Unconvertible(reason: "it goes on behind its $")
                }
                return trimmed(path)
            }
            index += 1
        }
        // Without a $ anything may follow.
        path.hasTail = true
        path.goesOnWithinSegment = path.text.last != "/"
        return trimmed(path)
    }

    private static func trimmed(_ path: Path) -> Path {
        var path = path
        if path.hasTail, path.text.hasSuffix("/") { path.text.removeLast() }
        return path
    }

    /// Reads the signs of an expression into all the ways in which it may go.
    fileprivate struct Reader {
        private let signs: [Unicode.Scalar]
        private var index = 0
        private(set) var isWider = false
        private(set) var isNarrower = false

        init(_ signs: [Unicode.Scalar]) { self.signs = signs }

        var isAtEnd: Bool { index >= signs.count }
        private var sign: Unicode.Scalar? { index < signs.count ? signs[index] : nil }

        mutating func take(_ text: String) -> Bool {
            let wanted = Array(text.unicodeScalars)
            guard signs[min(index, signs.count)...].starts(with: wanted) else { return false }
            index += wanted.count
            return true
        }

        /// Up to the `)` that closes a group, which is left, or to the end.
        mutating func alternatives(depth: Int) throws(Unconvertible) -> [[Token]] {
            guard depth < 8 else { throw Unconvertible(reason: "its groups are nested too deep") }
            var all: [[Token]] = []
            var current: [[Token]] = [[]]
            while let next = sign {
                if next == ")" { break }
                if take("|") {
                    guard depth > 0 else {
                        throw Unconvertible(reason: "its ^ holds for the first alternative only: put them into parentheses")
                    }
                    all += current
                    current = [[]]
                    continue
                }
                let piece = try element(depth: depth)
                var product: [[Token]] = []
                for before in current { for after in piece { product.append(before + after) } }
                guard product.count + all.count <= 64, product.allSatisfy({ $0.count <= 512 }) else {
                    throw Unconvertible(reason: "it has more alternatives than a file should have routes")
                }
                current = product
            }
            return all + current
        }

        /// One element with its repetition.
        private mutating func element(depth: Int) throws(Unconvertible) -> [[Token]] {
            guard let first = sign else { return [[]] }
            var ways: [[Token]]
            index += 1
            switch first {
            case "$": return [[.end]]
            case "(":
                if take("?") {
                    if take(":") {
                    } else if take("<") || take("P<") {
                        guard let close = signs[index...].firstIndex(of: ">"), signs[index] != "=", signs[index] != "!" else {
                            throw Unconvertible(reason: "it looks behind")
                        }
                        index = close + 1
                    } else {
                        throw Unconvertible(reason: "it looks ahead, or changes how it matches")
                    }
                }
                ways = try alternatives(depth: depth + 1)
                guard take(")") else { throw Unconvertible(reason: "a group of it is never closed") }
            case "[": return try characterClass()
            case ".":
                if take("*") || take("+") {
                    _ = take("?")
                    return [[.rest]]
                }
                // Meant for a dot by almost everybody who writes it.
                isNarrower = true
                ways = [[.character(".")]]
            case "\\":
                guard let escaped = sign else { throw Unconvertible(reason: "it ends in a backslash") }
                index += 1
                if escaped == "d" || escaped == "w" { return try repeatedClass() }
                guard !escaped.properties.isAlphabetic, !("0"..."9" ~= escaped) else {
                    throw Unconvertible(reason: "it has \\\(escaped), for which a route has no sign")
                }
                ways = [[.character(escaped)]]
            case "*", "+", "?", "{", "}", "^": throw Unconvertible(reason: "it repeats what a route cannot repeat")
            default: ways = [[.character(first)]]
            }
            if take("?") { return ways + [[]] }
            if sign == "*" || sign == "+" || sign == "{" { throw Unconvertible(reason: "it repeats what a route cannot repeat") }
            return ways
        }

        /// `[…]`, behind its bracket.
        private mutating func characterClass() throws(Unconvertible) -> [[Token]] {
            if take("^/]+") { return [[.segment]] }
            if take("^/]*") {
                isNarrower = true
                return [[.segment]]
            }
            guard let close = signs[index...].firstIndex(of: "]"), close > index else {
                throw Unconvertible(reason: "a class of it is never closed")
            }
            let inner = signs[index..<close]
            index = close + 1
            if sign == "+" || sign == "*" || sign == "{" {
                guard Self.staysInSegment(inner) else {
                    throw Unconvertible(reason: "a repeated class of it may hold a slash, and so more than a segment")
                }
                return try repeatedClass()
            }
            guard inner.first != "^", !inner.contains("\\"), !inner.contains("["), let members = Self.members(inner), members.count <= 16
            else {
                throw Unconvertible(reason: "it has a class of more characters than a file should have routes")
            }
            let ways = members.map { [Token.character($0)] }
            return take("?") ? ways + [[]] : ways
        }

        /// Whether no character of a class is a slash.
        private static func staysInSegment(_ inner: ArraySlice<Unicode.Scalar>) -> Bool {
            var text = ""
            text.unicodeScalars.append(contentsOf: inner)
            if text.hasPrefix("^") { return text.dropFirst().contains("/") }
            let plain = text.replacing("\\w", with: "").replacing("\\d", with: "").replacing("\\-", with: "").replacing("\\.", with: "")
                .replacing("\\_", with: "")
            for range in ["a-z", "A-Z", "0-9", "a-f", "A-F"] where text.contains(range) && plain.replacing(range, with: "").isEmpty {
                return true
            }
            let rest = ["a-z", "A-Z", "0-9", "a-f", "A-F"].reduce(plain) { $0.replacing($1, with: "") }
            // What is left has no range but one whose - stands at an end, no escape and no slash.
            return !rest.contains("/") && !rest.contains("\\") && !rest.dropFirst().dropLast().contains("-")
        }

        /// The characters of a class; nil for a range that is none.
        private static func members(_ inner: ArraySlice<Unicode.Scalar>) -> [Unicode.Scalar]? {
            let signs = Array(inner)
            var result: [Unicode.Scalar] = []
            var index = 0
            while index < signs.count {
                if index + 2 < signs.count, signs[index + 1] == "-" {
                    let (low, high) = (signs[index].value, signs[index + 2].value)
                    guard low <= high, high - low <= 16, high < 0x80 else { return nil }
                    result += (low...high).compactMap { Unicode.Scalar($0) }
                    index += 3
                } else {
                    result.append(signs[index])
                    index += 1
                }
            }
            return result
        }

        /// A class that is repeated is any text of a segment.
        private mutating func repeatedClass() throws(Unconvertible) -> [[Token]] {
            if take("{") {
                if sign == "0" || sign == "," { isNarrower = true }
                guard let close = signs[index...].firstIndex(of: "}") else {
                    throw Unconvertible(reason: "it repeats what a route cannot repeat")
                }
                index = close + 1
            } else if take("*") {
                isNarrower = true
            } else if !take("+") {
                throw Unconvertible(reason: "it has a class of characters, for which a route has no sign")
            }
            isWider = true
            return [[.segment]]
        }
    }
}
