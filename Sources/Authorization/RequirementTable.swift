package import Authentication

/// A demand for scopes: all of them, or any one.
package struct ScopeRequirement: Hashable, Sendable {
    let scopes: [DemandedScope]
    let isAny: Bool

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
