import Authentication
import Bytes

/// Scopes in which a whole segment may be `*`: one segment, or as the last one the rest. Segments stand between `:`, `/`
/// and `.`, which must be the same on both sides.
enum WildcardScope {
    static func covers(_ held: String, _ demanded: String) -> Bool {
        let (held, demanded) = (parts(held), parts(demanded))
        for (index, part) in held.enumerated() {
            guard index < demanded.count else { return false }
            if part == "*" {
                if index == held.count - 1 { return true }
                continue
            }
            guard part.isExactly(demanded[index]) else { return false }
        }
        return held.count == demanded.count
    }

    /// Segments and separators in turn.
    private static func parts(_ scope: String) -> [String] {
        var parts = [""]
        for character in scope {
            if ":/.".contains(character) {
                parts.append(String(character))
                parts.append("")
            } else {
                parts[parts.count - 1].append(character)
            }
        }
        return parts
    }
}
