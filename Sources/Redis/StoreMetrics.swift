import Observability
import Time

/// What is counted of the requests to one Redis.
struct StoreMetrics {
    private let metrics: Metrics
    private let answered: Metrics.Cell
    private let failed: Metrics.Cell
    private let duration: Metrics.Cell
    private let redirects: Metrics.Cell
    private let up: Metrics.Cell

    init(_ name: String, _ metrics: Metrics) {
        self.metrics = metrics
        answered = metrics.cell(.storeRequests, name, "ok")
        failed = metrics.cell(.storeRequests, name, "error")
        duration = metrics.cell(.storeDuration, name)
        redirects = metrics.cell(.storeRedirects, name)
        up = metrics.cell(.storeUp, name)
    }

    func decided(_ isGood: Bool) { metrics.add(isGood ? answered : failed) }

    /// A batch of requests has its last reply.
    func batchAnswered(after length: Nanoseconds) { metrics.observe(duration, fine: length) }

    /// A server of a cluster has said that another one has the keys.
    func redirected() { metrics.add(redirects) }

    func isAvailable(_ isAvailable: Bool) { metrics.set(up, isAvailable ? 1 : 0) }
}
