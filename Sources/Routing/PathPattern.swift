import Bytes
package import ConfigFile
import HTTPMessage

/// The path of a route: literal segments, `{name}` and `*` for one segment, and a last `**` for any rest, also none.
package struct PathPattern: Sendable {
    package enum Segment: Hashable, Sendable {
        /// In the normal form of ``RequestTarget``.
        case literal(String)
        case one
    }

    package let segments: [Segment]
    package let hasTail: Bool
    /// Where each `{name}` stands among the segments.
    package let captures: [String: Int]
    package let text: String

    /// Reads `/api/{id}/**`; reports what is wrong with it.
    package init?(_ word: Word, _ diagnostics: Diagnostics) {
        func refuse(_ message: String, hint: String? = nil) {
            diagnostics.error(message, at: word, hint: hint)
        }
        text = word.text
        guard word.text.hasPrefix("/") else {
            refuse("a route's path begins with /", hint: "did you mean '/\(word.text)'?")
            return nil
        }
        var parts = word.text.dropFirst().split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        if parts.last == "" { parts.removeLast() }
        var segments: [Segment] = []
        var captures: [String: Int] = [:]
        var hasTail = false
        for (index, part) in parts.enumerated() {
            if part == "**" {
                guard index == parts.count - 1 else {
                    refuse("** stands only at the end of a path", hint: "use * or {name} for one segment")
                    return nil
                }
                hasTail = true
            } else if part == "*" {
                segments.append(.one)
            } else if part.hasPrefix("{"), part.hasSuffix("}") {
                let name = String(part.dropFirst().dropLast())
                guard captures.updateValue(index, forKey: name) == nil else {
                    refuse("{\(name)} stands twice in this path")
                    return nil
                }
                segments.append(.one)
            } else {
                guard !part.contains(where: { "{}*".contains($0) }) else {
                    refuse("'\(part)' mixes a wildcard with text", hint: "a segment is text, *, {name} or a last **")
                    return nil
                }
                guard !part.contains(where: { ";+".contains($0) }) else {
                    refuse(
                        "a route's path has no ; and no +", hint: "a request may spell them in two ways; use * or {name} for this segment")
                    return nil
                }
                guard !part.isEmpty else {
                    refuse("a route's path has no empty segment", hint: "remove the second /")
                    return nil
                }
                guard let literal = PathPattern.normalized(part, refuse) else { return nil }
                segments.append(.literal(literal))
            }
        }
        guard segments.count <= Limits.pathSegmentsMax else {
            refuse("a path has at most \(Limits.pathSegmentsMax) segments")
            return nil
        }
        self.segments = segments
        self.captures = captures
        self.hasTail = hasTail
    }

    /// The same with literals of one case.
    var folded: PathPattern {
        PathPattern(
            segments: segments.map { segment in
                if case .literal(let text) = segment { .literal(text.lowercased()) } else { segment }
            }, hasTail: hasTail, captures: captures, text: text)
    }

    private init(segments: [Segment], hasTail: Bool, captures: [String: Int], text: String) {
        self.segments = segments
        self.hasTail = hasTail
        self.captures = captures
        self.text = text
    }

    /// Two patterns of one shape match the same paths.
    package var shape: [String] {
        segments.map { segment in
            if case .literal(let text) = segment { text } else { "*" }
        } + (hasTail ? ["**"] : [])
    }

    private static func normalized(_ segment: String, _ refuse: (String, String?) -> Void) -> String? {
        let path = [UInt8]("/" + segment)
        var target = RequestTarget()
        do {
            try target.normalize(0..<path.count, of: path.span)
        } catch {
            refuse("no request has '\(segment)' in its path: \(error.explanation)", "write it percent-encoded, or without it")
            return nil
        }
        guard target.query.isEmpty else {
            refuse("a route's path has no query", "remove the part from '?'")
            return nil
        }
        guard target.doubts.isEmpty, target.segments.count == 1 else {
            refuse("programs read '\(segment)' in several ways", "use * or {name} for this segment")
            return nil
        }
        return String(target.pathSpan.text.dropFirst())
    }
}
