import Authentication
import Authorization
package import ConfigFile
import Configuration

/// Which demands of a file its tests have seen met and seen refuse.
package struct PolicyCoverage {
    /// A token that a rule asks for, one of its scopes or one of its rules on variables.
    package struct Demand {
        package let route: String
        package let text: String
        package let line: SourceLine
        package fileprivate(set) var wasMet = false
        package fileprivate(set) var hasRefused = false
        package var isCovered: Bool { wasMet && hasRefused }
    }

    package private(set) var demands: [Demand] = []
    /// Where the demands of a method's rule stand: first the token, then the scopes, then the rules.
    private var places: [ObjectIdentifier: Range<Int>] = [:]

    init(_ settings: Settings) {
        for route in settings.routes {
            for rule in (route.anyMethod.map { [$0] } ?? route.methods) + (route.tunnelRule.map { [$0] } ?? []) {
                guard let credentials = RouteMatch(route: route, rule: rule, upgrade: nil).credentials else { continue }
                let name = ([route.name] + (rule.names.isEmpty ? [] : [rule.names.joined(separator: " ")])).joined(separator: " ")
                let first = demands.count
                demands.append(Demand(route: name, text: "token", line: credentials.line))
                for (index, line) in zip(rule.authorization.requirements, rule.authorization.requirementLines) {
                    demands.append(
                        Demand(route: name, text: "scope \(settings.requirements.requirements[index].summary)", line: line))
                }
                for demand in rule.authorization.rules {
                    demands.append(Demand(route: name, text: "require \(demand.text)", line: demand.line))
                }
                places[ObjectIdentifier(rule)] = first..<demands.count
            }
        }
    }

    package var covered: Int { demands.count { $0.isCovered } }

    /// Of 100; a file that demands nothing is covered.
    package var percent: Int { demands.isEmpty ? 100 : covered * 100 / demands.count }

    mutating func count(_ outcome: OfflinePolicy.Outcome) {
        guard let rule = outcome.match?.rule, let places = places[ObjectIdentifier(rule)] else { return }
        switch outcome.decision {
        case .forwarded, .replied(.route): for place in places { demands[place].wasMet = true }
        case .refused(.token), .refused(.authorizer), .refused(.passwordWrong): demands[places.lowerBound].hasRefused = true
        case .refused(.authorization):
            guard let principal = outcome.identity?.principal else { return }
            let requirements = rule.authorization.requirements
            if let first = requirements.firstIndex(where: { !principal.answers[$0] }) {
                demands[places.lowerBound + 1 + first].hasRefused = true
            } else if let first = rule.authorization.rules.firstIndex(where: { !$0.isMet(by: outcome.identity, in: outcome.context) }) {
                demands[places.lowerBound + 1 + requirements.count + first].hasRefused = true
            }
        case .refused, .replied, .undecided: break
        }
    }
}
