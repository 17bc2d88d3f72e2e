import Observability
import Time

/// What is counted of the requests to one server.
final class ServerMetrics {
    private let metrics: Metrics
    /// By the hundreds of the status, from 1xx on; at the end what gave no response.
    private let classes: [Metrics.Cell]
    private let responseDuration: Metrics.Cell
    private let connectFailures: Metrics.Cell
    private let active: Metrics.Cell
    private let idle: Metrics.Cell

    /// - Parameter server: its address, as in the file.
    init(_ server: String, of upstream: UpstreamMetrics) {
        metrics = upstream.metrics
        let metrics = metrics
        let (upstream, server) = (upstream.name, metrics.name(server))
        classes = ["1xx", "2xx", "3xx", "4xx", "5xx", "error"].map { metrics.cell(.upstreamRequests, upstream, server, metrics.name($0)) }
        responseDuration = metrics.cell(.upstreamResponseDuration, upstream, server)
        connectFailures = metrics.cell(.upstreamConnectFailures, upstream, server)
        active = metrics.cell(.upstreamConnections, upstream, server, metrics.name("active"))
        idle = metrics.cell(.upstreamConnections, upstream, server, metrics.name("idle"))
    }

    func responded(_ status: Int, after duration: Nanoseconds) {
        metrics.observe(responseDuration, duration: duration)
        metrics.add(classes[min(max(status / 100, 1), 5) - 1])
    }

    /// There was no response.
    func failed() { metrics.add(classes[5]) }

    func connectFailed() { metrics.add(connectFailures) }

    /// What there is at this moment.
    func connections(active activeCount: Int, idle idleCount: Int) {
        metrics.set(active, UInt64(activeCount))
        metrics.set(idle, UInt64(idleCount))
    }
}
