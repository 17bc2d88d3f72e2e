package import Authentication

/// A demand for scopes: all of them, or any one.
package struct ScopeRequirement: Hashable, Sendable {
    let scopes: [DemandedScope]
    package let isAny: Bool
    package var names: [String] { scopes.map(\.text) }

    package init(scopes: [String], isAny: Bool) {
        self.scopes = scopes.map(DemandedScope.init)
        self.isAny = isAny
    }

    /// The scopes as a challenge names them (RFC 6750 §3).
    package var text: String { scopes.map(\.text).joined(separator: " ") }

    /// As the file has it.
    package var summary: String { (isAny ? "any " : "") + text }

    func isMet(by held: HeldScopes) -> Bool {
        isAny ? scopes.contains { $0.isCovered(by: held) } : scopes.allSatisfy { $0.isCovered(by: held) }
    }
}

/// Every distinct scope requirement of the configuration, each with its index. A token's answers to all of them are worked
/// out once, when it is verified; from then on a requirement costs one bit test.
package final class RequirementTable: RequirementAnswering {
    package private(set) var requirements: [ScopeRequirement] = []
    private var indices: [ScopeRequirement: Int] = [:]
    private let issuers: [Issuer]

    package init(issuers: [Issuer]) { self.issuers = issuers }

    /// The index of a requirement; the same for equal ones.
    package func index(of requirement: ScopeRequirement) -> Int {
        if let present = indices[requirement] { return present }
        requirements.append(requirement)
        indices[requirement] = requirements.count - 1
        return requirements.count - 1
    }

    /// The scopes of a token, as they are compared with requirements.
    package func scopes(of claims: Claims, issuer: Int) -> [String] { claims.scopes(issuers[issuer].scopeClaims) }

    /// Why scopes that look alike do not do, where their levels are the reason: `read is level 10, create 20`.
    package func levels(of requirement: Int, held: [String], issuer: Int) -> String? {
        let match = issuers[issuer].scopeMatch
        guard match == .usso || match == .ussoAnchored else { return nil }
        for demanded in requirements[requirement].scopes {
            guard let wanted = USSOScope(demanded.text) else { continue }
            for text in held {
                guard let scope = USSOScope(text), scope.level < wanted.level,
                    scope.raised(to: wanted.level).covers(wanted, anchored: match == .ussoAnchored)
                else { continue }
                return "\(USSOScope.action(scope.level)) is level \(scope.level), \(USSOScope.action(wanted.level)) \(wanted.level)"
            }
        }
        return nil
    }

    package func answers(for claims: Claims, issuer: Int) -> RequirementAnswers {
        let issuer = issuers[issuer]
        let held = HeldScopes(claims.scopes(issuer.scopeClaims), issuer.scopeMatch)
        var answers = RequirementAnswers(count: requirements.count)
        for (index, requirement) in requirements.enumerated() where requirement.isMet(by: held) {
            answers[index] = true
        }
        return answers
    }
}
