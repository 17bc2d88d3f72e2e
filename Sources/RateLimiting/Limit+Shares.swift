import ConfigFile

extension Limit {
    /// Reports parts of a quota that nobody could have, or that would be all of it.
    ///
    /// - Parameter isRate: whether it is a rate and burst for all, of which nobody waits.
    func checkShares(at directive: Directive, isRate: Bool, _ diagnostics: Diagnostics) {
        if !isRate {
            diagnostics.error(
                "parts are of a rate and burst that all have", at: directive.name, hint: "remove fair, or plans, windows and delay")
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
    }
}
