import Routing
import System
package import Time

/// What a worker does for its limits now and then, and when it ends.
extension RateLimiter {
    /// What a plan of a limit lets through.
    package func quota(ofPlan number: Int, _ limit: LimitID) -> Quota {
        let limit = (at: limit.index, limits[limit.index])
        guard let plans = limit.1.plans else { return limit.1.quota }
        return plans.all.indices.contains(number) ? plans.all[number].quota : planRates[limit.at]?.quota(number) ?? limit.1.quota
    }

    /// The names of the limits that would have refused the request, were they not there to be tried; with `, ` between them.
    package func exceeded(_ progress: AdmissionProgress) -> [UInt8] {
        var names: [String] = []
        for state in progress.states where limits[state.limit.index].isShadow && state.retryAfter > .zero {
            // A limit and what a host lets through of it are one.
            if !names.contains(limits[state.limit.index].name) { names.append(limits[state.limit.index].name) }
        }
        return [UInt8](names.joined(separator: ", ").utf8)
    }

    /// Whether stores have said the rates that stand there, or that they do not.
    package var hasReadPlans: Bool { planRates.values.allSatisfy(\.isSettled) }

    /// Called now and then.
    package func upkeep(at now: Instant) {
        renewHeld(at: now)
        meetHosts(at: now)
        readPlans(at: now)
    }

    /// Reads what stands in stores of plans, where it is time.
    private func readPlans(at now: Instant) {
        for rates in planRates.values where rates.dueAt <= now {
            let isAsked = stores[rates.source.store]?.read(rates: rates.source.name) { [weak self] fields in
                let isFirst = !rates.isSettled
                defer { if isFirst { self?.plansAreRead?() } }
                let wrong = rates.take(fields).prefix(4).joined(separator: ", ")
                if !wrong.isEmpty, wrong != rates.told {
                    self?.complain?("rates \(rates.source.name) of redis \(rates.source.store): no rate is \(wrong)")
                }
                rates.told = wrong
            }
            // A few seconds more or less, so that not all workers ask at once.
            if isAsked == true { rates.dueAt = now.adding(Nanoseconds.milliseconds(8_000 + SystemRandom.word() % 4_000)) }
        }
    }

    /// Says in each store that this host is there, and hears how many are.
    private func meetHosts(at now: Instant) {
        for name in countedStores where members.isDue(name, at: now) {
            let isAsked = stores[name]?.meet(members.name) { [members] count in members.heard(count, of: name, at: Clock.now()) }
            if isAsked != true { members.notAsked(name) }
        }
    }

    /// The worker ends, and others spend no lease of it: what is left of them goes back.
    package func giveLeasesBack(at now: Instant) {
        leases.giveAllBack(at: now) { refund in
            table.unlearn(refund.call.fingerprint, refund.call.quota, units: refund.charge.units, now: now.nanoseconds)
        }
    }
}
