import ConfigFile

extension Limit {
    /// Reports parts of a quota that nobody could have, or that would be all of it.
    ///
    /// - Parameters:
    ///   - isRate: whether it is a rate and burst for all, of which nobody waits.
    ///   - others: directives by which requests count otherwise than as one.
    func checkShares(at directive: Directive, isRate: Bool, others: [Directive?], _ diagnostics: Diagnostics) {
        if !isRate {
            diagnostics.error(
                "parts are of a rate and burst that all have", at: directive.name, hint: "remove fair, or plans, windows and delay")
        }
        for case let other? in others {
            diagnostics.error(
                "parts are of requests that count as one, and for all alike", at: other.name, hint: "remove \(other.name.text), or fair")
        }
        let variables = key.flatMap(\.variables)
        if let sharedBy, sharedBy.variables.isEmpty || sharedBy.variables.allSatisfy({ variables.contains($0) }) {
            diagnostics.error(
                "who shares a key is not who it is counted for", at: directive.name,
                hint: "count all together and name who shares it: key $route; fair $claim.org;")
        }
        if isRate, quota.burst < 4 {
            diagnostics.error(
                "of \(quota.burst) at once nobody has a part", at: directive.name, hint: "take a larger burst, or remove fair")
        }
        let isMadeUp = sharedBy?.variables.contains { variable in
            switch variable {
            case .header, .cookie, .query, .requestQuery, .requestURI, .requestURL, .requestPath: true
            default: false
            }
        }
        if isMadeUp == true {
            diagnostics.warning(
                "a client that makes up \(sharedBy?.variables.first?.name ?? "a value") has a new part each time", at: directive.name,
                hint: "name what the client cannot choose: fair $claim.org; or fair $client.ip;")
        }
    }
}
