package import ConfigFile

extension Limit {
    /// The most that a quota lets through at once.
    private func mostAtOnce(_ isCritical: Bool) -> UInt64 {
        let (quota, plans) = isCritical ? whole : (quota, plans)
        return (plans?.all.map(\.quota) ?? [quota]).map { $0.windows?.count ?? $0.burst }.min() ?? 1
    }

    /// Reports a cost that no request could pay.
    ///
    /// - Parameter isCritical: whether such a request has what is reserved, too.
    package func check(_ cost: LimitCost, isCritical: Bool = false, at directive: Directive, _ diagnostics: Diagnostics) {
        if quota.lockout != nil || isConcurrent {
            diagnostics.error(
                "\(name) counts \(isConcurrent ? "requests that are under way" : "failures"), of which none has a cost", at: directive.name,
                hint: "name the limit without a block")
        }
        if sharedBy != nil {
            diagnostics.error(
                "\(name) is shared fairly, of which requests count as one", at: directive.name, hint: "name it without a cost")
        }
        if lease > 1 { diagnostics.error("a lease counts requests that cost 1", at: directive.name, hint: "remove lease, or cost") }
        let mostAtOnce = mostAtOnce(isCritical)
        if cost.reserved > mostAtOnce {
            diagnostics.error(
                "a cost of \(cost.reserved) is more than the \(mostAtOnce) that the limit lets through at once: nothing would pass",
                at: directive.name, hint: "take a larger burst")
        }
    }
}
