import Observability
import Time

/// What is counted of the requests to one group of servers.
final class UpstreamMetrics {
    let metrics: Metrics
    let name: Metrics.Name
    private let waiting: Metrics.Cell
    private let waitDuration: Metrics.Cell
    private let connectDuration: Metrics.Cell

    init(_ settings: UpstreamSettings, _ metrics: Metrics) {
        self.metrics = metrics
        name = metrics.name(settings.name)
        waiting = metrics.cell(.upstreamWaiting, name)
        waitDuration = metrics.cell(.upstreamWaitDuration, name)
        connectDuration = metrics.cell(.upstreamConnectDuration, name)
    }

    func waitBegan() { metrics.add(waiting) }

    func waitEnded(after duration: Nanoseconds) {
        metrics.subtract(waiting)
        metrics.observe(waitDuration, duration: duration)
    }

    /// A server is given no requests for a while.
    func ejected(_ server: String, _ reason: String) {
        metrics.add(metrics.cell(.upstreamEjections, name, metrics.name(server), metrics.name(reason)))
    }

    func connected(after duration: Nanoseconds) { metrics.observe(connectDuration, duration: duration) }

    /// A request got no server.
    ///
    /// - Parameter reason: names the limit that kept it from one.
    func rejected(_ reason: String) { metrics.add(metrics.cell(.upstreamRejections, name, metrics.name(reason))) }

    /// A request goes out once more.
    func retried(_ reason: String) { metrics.add(metrics.cell(.upstreamRetries, name, metrics.name(reason))) }

    /// A request could have gone out once more.
    func retryDenied(_ reason: String) { metrics.add(metrics.cell(.upstreamRetriesDenied, name, metrics.name(reason))) }
}
