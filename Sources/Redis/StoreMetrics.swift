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
    private let opened: Metrics.Cell
    private let lost: Metrics.Cell
    private let late: Metrics.Cell
    private let batches: Metrics.Cell
    private let scripts: Metrics.Cell

    init(_ name: String, _ metrics: Metrics) {
        self.metrics = metrics
        answered = metrics.cell(.storeRequests, name, "ok")
        failed = metrics.cell(.storeRequests, name, "error")
        duration = metrics.cell(.storeDuration, name)
        redirects = metrics.cell(.storeRedirects, name)
        opened = metrics.cell(.storeConnections, name, "opened")
        lost = metrics.cell(.storeConnections, name, "lost")
        late = metrics.cell(.storeLateReplies, name)
        batches = metrics.cell(.storeBatches, name)
        scripts = metrics.cell(.storeScriptLoads, name)
        up = metrics.cell(.storeUp, name)
    }

    func decided(_ isGood: Bool) { metrics.add(isGood ? answered : failed) }

    /// A batch of requests has its last reply.
    func batchAnswered(after length: Nanoseconds) { metrics.observe(duration, fine: length) }

    /// A server of a cluster has said that another one has the keys.
    func redirected() { metrics.add(redirects) }

    func connectionOpened() { metrics.add(opened) }
    /// One that could be asked has ended.
    func connectionLost() { metrics.add(lost) }

    /// A reply came after its time.
    func repliedLate() { metrics.add(late) }

    /// The questions of a turn go out.
    func batchSent() { metrics.add(batches) }

    /// The server had lost the script.
    func scriptLost() { metrics.add(scripts) }

    func isAvailable(_ isAvailable: Bool) { metrics.set(up, isAvailable ? 1 : 0) }
}
