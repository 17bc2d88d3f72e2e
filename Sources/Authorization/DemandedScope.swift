import Authentication
import Bytes

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
