import Time
package import Observability

/// What is counted of the decisions of limits.
package final class LimitMetrics {
    enum Result: Int, CaseIterable {
        case allowed, refused, wouldRefuse, failedOpen, failedClosed, local, last

        var word: String {
            switch self {
            case .allowed: "allowed"
            case .refused: "refused"
            case .wouldRefuse: "would_refuse"
            case .failedOpen: "failed_open"
            case .failedClosed: "failed_closed"
            case .local: "local"
            case .last: "last"
            }
        }
    }

    private let metrics: Metrics
    private let cells: [Metrics.Cell]
    private let missedPlans: [Metrics.Cell?]
    private let near: [Metrics.Cell]
    private let kept: [Metrics.Cell]
    private let delayed: [Metrics.Cell?]
    private let leased: [Metrics.Cell?]
    private let returned: [Metrics.Cell?]

    package init(_ limits: [Limit], _ metrics: Metrics) {
        self.metrics = metrics
        missedPlans = limits.map { $0.plans == nil ? nil : metrics.cell(.limitPlansMissed, $0.name) }
        near = limits.map { metrics.cell(.limitNear, $0.name) }
        kept = limits.map { metrics.cell(.limitRefusalsKept, $0.name) }
        delayed = limits.map { $0.delay > .zero ? metrics.cell(.limitDelayed, $0.name) : nil }
        leased = limits.map { $0.lease > 1 ? metrics.cell(.limitLeased, $0.name, "taken") : nil }
        returned = limits.map { $0.lease > 1 ? metrics.cell(.limitLeased, $0.name, "given_back") : nil }
        cells = limits.flatMap { limit in Result.allCases.map { metrics.cell(.limitDecisions, limit.name, $0.word) } }
    }

    /// A token names none of the limit's plans.
    func planMissed(_ limit: LimitID) { if let cell = missedPlans[limit.index] { metrics.add(cell) } }

    /// A request was let through; of a quota of which little is left that is told.
    func allowed(_ limit: LimitID, _ decision: GCRA.Decision, of quota: Quota) {
        allowed(limit, leaving: quota.told(decision).remaining, of: quota)
    }

    /// As above.
    func allowed(_ limit: LimitID, leaving remaining: UInt64, of quota: Quota) {
        decided(limit, .allowed)
        let whole = quota.windows?.count ?? quota.burst
        // Of a quota that no five divide, too.
        if remaining < whole / 5 + (whole % 5 > 0 ? 1 : 0) { metrics.add(near[limit.index]) }
    }

    /// A request was refused for what is known.
    func refusedUnasked(_ limit: LimitID) { metrics.add(kept[limit.index]) }

    /// A request waits for its turn.
    func delayed(_ limit: LimitID) { if let cell = delayed[limit.index] { metrics.add(cell) } }

    /// So many requests were taken of a store for later ones.
    func leased(_ limit: LimitID, _ units: UInt64) { if let cell = leased[limit.index] { metrics.add(cell, units) } }

    /// So many of them were not needed.
    func returned(_ limit: LimitID, _ units: UInt64) { if let cell = returned[limit.index] { metrics.add(cell, units) } }

    func decided(_ limit: LimitID, _ result: Result) { metrics.add(cells[limit.index * Result.allCases.count + result.rawValue]) }
}
