import Authentication
package import ConfigFile
package import Routing

/// What a route, or one of its methods, demands of an identity.
package struct AuthorizationRule: Sendable {
    /// Whose demands these are.
    package let route: RouteID
    /// Indices into the ``RequirementTable``; all must be met.
    package private(set) var requirements: [Int] = []
    /// Where each of them stands in the file.
    package private(set) var requirementLines: [SourceLine] = []
    package private(set) var rules: [VariableRule] = []

    package init(of route: RouteID) { self.route = route }

    package mutating func demand(_ requirement: Int, at line: SourceLine) {
        requirements.append(requirement)
        requirementLines.append(line)
    }

    package mutating func demand(_ rule: VariableRule) { rules.append(rule) }

    /// These demands, and then others.
    package func and(_ others: AuthorizationRule) -> AuthorizationRule {
        var both = self
        both.requirements += others.requirements
        both.requirementLines += others.requirementLines
        both.rules += others.rules
        return both
    }
}

/// The file's word `public` for a route: everybody may come, and no token is looked at.
package struct PublicRule: Sendable {
    package let route: RouteID
    package let line: SourceLine

    /// - Parameter directive: the `public;` of the route.
    package init?(_ directive: Directive, of route: RouteID, _ diagnostics: Diagnostics) {
        guard directive.takes(0...0, "without arguments", diagnostics) else { return nil }
        self.route = route
        line = diagnostics.line(of: directive.position)
    }
}
