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

    fileprivate init(identity: Identity?) { self.identity = identity }
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
    /// Indices into the ``RequirementTable``; all must be met.
    package var requirements: [Int] = []
    package var rules: [VariableRule] = []

    package init() {}
}

/// The file's word `public` for a route: everybody may come, and no token is looked at.
package struct PublicRule: Sendable {
    package let word: Word

    /// - Parameter directive: the `public;` of the route.
    package init?(_ directive: Directive, _ diagnostics: Diagnostics) {
        guard directive.takes(0...0, "without arguments", diagnostics) else { return nil }
        word = directive.name
    }
}

package enum Authorization {
    package static func permit(_ identity: Identity, _ rule: AuthorizationRule, _ table: RequirementTable, in context: RequestContext)
        throws(AuthorizationError) -> Permit
    {
        for index in rule.requirements where !identity.verified.answers[index] {
            throw .scopeMissing(table.requirements[index].text)
        }
        for rule in rule.rules where !rule.isMet(by: identity, in: context) { throw .ruleUnmet(rule.text) }
        return Permit(identity: identity)
    }

    package static func permit(_ rule: PublicRule) -> Permit { Permit(identity: nil) }
}
