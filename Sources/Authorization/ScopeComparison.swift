import Bytes
import Authentication

/// One demanded scope, prepared for each way of comparing.
struct DemandedScope: Hashable, Sendable {
    let text: String

    /// What keeps this text from being compared in the given way; nil when it can be.
    func problem(for match: ScopeMatch) -> String? {
        switch match {
        case .exact, .wildcard: return nil
        case .usso, .ussoAnchored:
            guard text.contains(":") else { return "a USSO scope is written action:path" }
            guard USSOScope(text) != nil else {
                return
                    "'\(text.prefix { $0 != ":" })' is not an action; they are \(USSOScope.levels.sorted { $0.value < $1.value }.map(\.key).joined(separator: ", "))"
            }
            return nil
        }
    }

    /// Whether any of a token's scopes covers this one.
    func isCovered(by held: HeldScopes) -> Bool {
        switch held.match {
        case .exact: return held.texts.containsExactly(text)
        case .wildcard: return held.texts.contains { WildcardScope.covers($0, text) }
        case .usso, .ussoAnchored:
            guard let required = USSOScope(text) else { return false }
            return held.usso.contains { $0.covers(required, anchored: held.match == .ussoAnchored) }
        }
    }
}

/// The scopes of one token, read once for all the requirements that they are compared with.
struct HeldScopes {
    let match: ScopeMatch
    let texts: [String]
    let usso: [USSOScope]

    init(_ texts: [String], _ match: ScopeMatch) {
        self.match = match
        self.texts = texts
        switch match {
        case .exact, .wildcard: usso = []
        case .usso, .ussoAnchored: usso = texts.compactMap(USSOScope.init)
        }
    }
}

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
