/// A route of the file that is written.
struct ImportedRoute {
    enum Target: Equatable {
        case upstream(String)
        case answer(status: String)
        /// Refused, and closed until somebody has looked at it.
        case closed
    }

    var hosts: [String]
    let path: ExpressionPaths.Path
    /// The directive of the location.
    var source = 0
    /// Whether it matches more than the expression of its location.
    var isWider = false
    /// Whether the location has a slash at its end.
    var endsWithSlash = false
    let foldsCase: Bool
    var access: Access
    var target: Target
    /// Besides who may come.
    var lines: [GatewayLine]
    var comments: [String]
    var differences: Set<KnownDifference> = []
    /// Fields that a request to the upstream has, for a test: with their values, where they are claims.
    var claimFields: [(field: String, claim: String)] = []
    /// The methods that may be used; nil for all.
    var methods: [String]?
    /// Whether it is made of a regular expression, or of a location that comes before those.
    var rank: Rank

    enum Rank: Int {
        case prefix, expression, preferredPrefix, exact
    }

    /// As after `route`.
    var pattern: String { path.hasTail ? path.text + "/**" : path.text.isEmpty ? "/" : path.text }

    /// Segments, for comparing patterns.
    var segments: [Substring] { path.text.split(separator: "/") }

    var line: GatewayLine {
        let first: [GatewayLine] =
            switch target {
            case .upstream(let name): [GatewayLine("upstream", name)]
            case .answer, .closed: []
            }
        let folding = foldsCase ? [GatewayLine("case_insensitive")] : []
        var line = GatewayLine("route", pattern, comments: comments, block: first + access.lines + folding + lines)
        line.source = source
        return line
    }
}
