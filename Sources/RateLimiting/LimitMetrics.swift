package import Observability

/// What is counted of the decisions of limits.
package final class LimitMetrics {
    enum Result: Int, CaseIterable {
        case allowed, refused, wouldRefuse, failedOpen, failedClosed, local

        var word: String {
            switch self {
            case .allowed: "allowed"
            case .refused: "refused"
            case .wouldRefuse: "would_refuse"
            case .failedOpen: "failed_open"
            case .failedClosed: "failed_closed"
            case .local: "local"
            }
        }
    }

    private let metrics: Metrics
    private let cells: [Metrics.Cell]

    package init(_ limits: [Limit], _ metrics: Metrics) {
        self.metrics = metrics
        cells = limits.flatMap { limit in Result.allCases.map { metrics.cell(.limitDecisions, limit.name, $0.word) } }
    }

    func decided(_ limit: LimitID, _ result: Result) { metrics.add(cells[limit.index * Result.allCases.count + result.rawValue]) }
}
