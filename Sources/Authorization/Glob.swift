import Bytes

/// Shell patterns within one segment: `*`, `?`, `[ab]`, `[a-z]`, `[!ab]`; case counts.
enum Glob {
    static func matches(_ pattern: String, _ text: String) -> Bool {
        let (pattern, text) = (Array(pattern.unicodeScalars), Array(text.unicodeScalars))
        var (p, t) = (0, 0)
        // Where to go on after a `*` takes one more character: quadratic at worst.
        var restart: (pattern: Int, text: Int)?
        while t < text.count {
            if p < pattern.count, pattern[p] == "*" {
                restart = (p + 1, t)
                p += 1
            } else if p < pattern.count, let next = step(pattern, p, text[t]) {
                p = next
                t += 1
            } else if let back = restart {
                restart = (back.pattern, back.text + 1)
                (p, t) = (back.pattern, back.text + 1)
            } else {
                return false
            }
        }
        return pattern[p...].allSatisfy { $0 == "*" }
    }

    /// The index after the element at `index` if it takes `scalar`.
    private static func step(_ pattern: [Unicode.Scalar], _ index: Int, _ scalar: Unicode.Scalar) -> Int? {
        switch pattern[index] {
        case "?": return index + 1
        case "[":
            var end = index + 1
            let negated = end < pattern.count && pattern[end] == "!"
            if negated { end += 1 }
            let first = end
            while end < pattern.count, pattern[end] != "]" || end == first { end += 1 }
            // An unclosed bracket stands for itself.
            guard end < pattern.count else { return scalar == "[" ? index + 1 : nil }
            return contains(pattern[first..<end], scalar) != negated ? end + 1 : nil
        default: return pattern[index] == scalar ? index + 1 : nil
        }
    }

    private static func contains(_ set: ArraySlice<Unicode.Scalar>, _ scalar: Unicode.Scalar) -> Bool {
        var index = set.startIndex
        while index < set.endIndex {
            if index + 2 < set.endIndex, set[index + 1] == "-" {
                if set[index] <= scalar, scalar <= set[index + 2] { return true }
                index += 3
            } else {
                if set[index] == scalar { return true }
                index += 1
            }
        }
        return false
    }
}
