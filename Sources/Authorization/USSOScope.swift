import Bytes

/// A scope in USSO's grammar: `action:segment/segment?key=value&key=value`.
struct USSOScope: Equatable, Sendable {
    private(set) var level: Int
    /// An empty path or segment stands for any one.
    let segments: [String]
    let filters: [String: String]

    /// Reads a scope; nil for an empty one and for an action that is none. Without a colon the action is `read`.
    init?(_ text: String) {
        guard !text.isEmpty else { return nil }
        let question = text.firstIndex(of: "?") ?? text.endIndex
        var path = text[..<question]
        var action: Substring = "read"
        if let colon = path.firstIndex(of: ":") {
            action = path[..<colon]
            path = path[path.index(after: colon)...]
        }
        guard let level = Self.levels[String(action)] else { return nil }
        self.level = level
        segments = path.split(separator: "/", omittingEmptySubsequences: false).map { $0.isEmpty ? "*" : String($0) }
        var filters: [String: String] = [:]
        if question < text.endIndex {
            for pair in text[text.index(after: question)...].split(separator: "&") {
                let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                filters[String(parts[0])] = parts.count > 1 ? String(parts[1]) : ""
            }
        }
        self.filters = filters
    }

    /// The same with another action.
    func raised(to level: Int) -> USSOScope {
        var scope = self
        scope.level = level
        return scope
    }

    /// The name of an action.
    static func action(_ level: Int) -> String { levels.filter { $0.value == level }.map(\.key).min { $0.count > $1.count } ?? "\(level)" }

    /// Whether a token that has this scope may do what `required` names.
    func covers(_ required: USSOScope, anchored: Bool) -> Bool {
        guard level >= required.level else { return false }
        for (key, value) in filters where !(required.filters[key]?.isExactly(value) ?? false) { return false }
        return anchored ? coversWholePath(required.segments) : coversFromTheRight(required.segments)
    }

    /// Whole paths, from the left; a path that is `*` alone is every path.
    private func coversWholePath(_ required: [String]) -> Bool {
        if segments == ["*"] { return true }
        guard segments.count == required.count else { return false }
        return zip(segments, required).allSatisfy { Glob.matches($0, $1) }
    }

    private func coversFromTheRight(_ required: [String]) -> Bool {
        let shared = min(segments.count, required.count)
        var matchedWildcard = false
        for distance in 1...shared {
            let own = segments[segments.count - distance]
            let wanted = required[required.count - distance]
            let passes = Glob.matches(own, wanted) || distance > 1 && wanted == "*"
            guard passes else { return false }
            if own.contains("*") { matchedWildcard = true }
        }
        guard matchedWildcard, segments.count > shared else { return true }
        return segments.dropLast(shared).allSatisfy { $0 == "*" }
    }

    static let levels: [String: Int] = [
        "none": 0, "read": 10, "create": 20, "update": 30, "delete": 40, "manage": 50, "admin": 60, "owner": 90, "*": 90,
        "superadmin": 100,
    ]
}
