/// A location of nginx and where it stands.
struct NginxLocation {
    enum Matching: Equatable {
        case exact(String)
        /// `isPreferred` for `^~`: no regular expression comes before it.
        case prefix(String, isPreferred: Bool)
        case expression(String, foldsCase: Bool)
        case named(String)
    }

    let directive: NginxDirective
    let matching: Matching
    /// From http to this location.
    let scope: NginxScope

    /// Locations within inherit it.
    var isInternal: Bool { scope.levels.dropFirst(2).contains { $0.contains { $0.name == "internal" } } }

    /// The prefix of the location in which it stands; nil for one of the server, and for one in an expression.
    var outerPrefix: String?

    /// Nil where nginx would refuse it.
    init?(_ directive: NginxDirective, in outer: NginxScope) {
        guard let block = directive.block else { return nil }
        let words = directive.arguments
        switch (words.first, words.count) {
        case ("=", 2): matching = .exact(words[1])
        case ("^~", 2): matching = .prefix(words[1], isPreferred: true)
        case ("~", 2): matching = .expression(words[1], foldsCase: false)
        case ("~*", 2): matching = .expression(words[1], foldsCase: true)
        case (let word?, 1):
            // nginx takes the sign and the path in one word too.
            if word.hasPrefix("@") {
                matching = .named(word)
            } else if word.hasPrefix("=") {
                matching = .exact(String(word.dropFirst()))
            } else if word.hasPrefix("^~") {
                matching = .prefix(String(word.dropFirst(2)), isPreferred: true)
            } else if word.hasPrefix("~*") {
                matching = .expression(String(word.dropFirst(2)), foldsCase: true)
            } else if word.hasPrefix("~") {
                matching = .expression(String(word.dropFirst()), foldsCase: false)
            } else {
                matching = .prefix(word, isPreferred: false)
            }
        default: return nil
        }
        self.directive = directive
        scope = outer.inner(block)
    }

    /// All locations of a block, with those that stand within others.
    static func all(in scope: NginxScope, below outer: String? = nil) -> [NginxLocation] {
        scope.here.filter { $0.name == "location" }.flatMap { directive -> [NginxLocation] in
            guard var location = NginxLocation(directive, in: scope) else { return [] }
            location.outerPrefix = outer
            var inner: String?
            if case .prefix(let text, _) = location.matching { inner = text }
            return [location] + all(in: location.scope, below: inner)
        }
    }
}
