package import Authentication
import ConfigFile
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

package enum Authorization {
    package static func permit(_ identity: Identity, _ rule: AuthorizationRule, _ table: RequirementTable, in context: RequestContext)
        throws(AuthorizationError) -> Permit
    {
        for index in rule.requirements where !identity.principal.answers[index] {
            throw .scopeMissing(table.requirements[index].text)
        }
        for demand in rule.rules where !demand.isMet(by: identity, in: context) { throw .ruleUnmet(demand.text) }
        return Permit(identity: identity, route: rule.route)
    }

    package static func permit(_ rule: PublicRule) -> Permit { Permit(identity: nil, route: rule.route) }
}
