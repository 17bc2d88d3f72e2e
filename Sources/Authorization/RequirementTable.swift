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

/// Every distinct scope requirement of the configuration, each with its index. A principal's answers to all of them are worked
/// out once, when it is made; from then on a requirement costs one bit test.
package final class RequirementTable: RequirementAnswering {
    package private(set) var requirements: [ScopeRequirement] = []
    private var indices: [ScopeRequirement: Int] = [:]
    private let readings: [CredentialID: ScopeReading]

    /// - Parameter readings: how the scopes of each credential are read.
    package init(_ readings: [CredentialID: ScopeReading]) { self.readings = readings }

    /// The index of a requirement; the same for equal ones.
    package func index(of requirement: ScopeRequirement) -> Int {
        if let present = indices[requirement] { return present }
        requirements.append(requirement)
        indices[requirement] = requirements.count - 1
        return requirements.count - 1
    }

    private func reading(of credential: CredentialID) -> ScopeReading {
        guard let reading = readings[credential] else { preconditionFailure("a credential that the file does not define") }
        return reading
    }

    /// The scopes of a principal, as they are compared with requirements.
    package func scopes(of principal: Principal) -> [String] {
        principal.claims.scopes(reading(of: principal.credential).claims)
    }

    /// Whether a scope of this credential covers those of lower levels.
    package func hasLevels(_ credential: CredentialID) -> Bool {
        switch reading(of: credential).match {
        case .exact, .wildcard: false
        case .usso, .ussoAnchored: true
        }
    }

    /// Why scopes that look alike do not do, where their levels are the reason: `read is level 10, create 20`.
    package func levels(of requirement: Int, held: [String], of credential: CredentialID) -> String? {
        guard hasLevels(credential) else { return nil }
        let match = reading(of: credential).match
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

    package func answers(for claims: Claims, of credential: CredentialID) -> RequirementAnswers {
        let reading = reading(of: credential)
        let held = HeldScopes(claims.scopes(reading.claims), reading.match)
        var answers = RequirementAnswers(count: requirements.count)
        for (index, requirement) in requirements.enumerated() where requirement.isMet(by: held) {
            answers[index] = true
        }
        return answers
    }
}
