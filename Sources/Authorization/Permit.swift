package import Authentication
package import ConfigFile
package import Routing

/// Proof that a request may go where it wants to: its identity meets all that the route demands, or the route is public
/// by an explicit rule.
///
/// Only ``Authorization`` makes one. It is used up by the next stage.
package struct Permit: ~Copyable {
    /// Nil on a public route.
    package let identity: Identity?
    /// The route that it holds for, and no other.
    package let route: RouteID

    fileprivate init(identity: Identity?, route: RouteID) {
        self.identity = identity
        self.route = route
    }
}

/// Why an identity is not enough.
package enum AuthorizationError: Error, Equatable, Sendable {
    /// The scopes that are demanded, separated by spaces.
    case scopeMissing(String)
    /// The rule that is not met, as the file has it.
    case ruleUnmet(String)

    package var reason: String {
        switch self {
        case .scopeMissing: "scope_missing"
        case .ruleUnmet: "rule_unmet"
        }
    }
}

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

package enum Authorization {
    package static func permit(_ identity: Identity, _ rule: AuthorizationRule, _ table: RequirementTable, in context: RequestContext)
        throws(AuthorizationError) -> Permit
    {
        for index in rule.requirements where !identity.verified.answers[index] {
            throw .scopeMissing(table.requirements[index].text)
        }
        for demand in rule.rules where !demand.isMet(by: identity, in: context) { throw .ruleUnmet(demand.text) }
        return Permit(identity: identity, route: rule.route)
    }

    package static func permit(_ rule: PublicRule) -> Permit { Permit(identity: nil, route: rule.route) }
}
