import Observability
import Time

/// What is counted of the requests to one Redis.
struct StoreMetrics {
    /// What is counted of one of its servers.
    struct Server {
        private let metrics: Metrics
        private let workers: Metrics.Cell
        private let owed: Metrics.Cell
        private let duration: Metrics.Cell

        fileprivate init(_ store: String, _ server: String, _ metrics: Metrics) {
            self.metrics = metrics
            workers = metrics.cell(.storeServerWorkers, store, server)
            owed = metrics.cell(.storeServerOwed, store, server)
            duration = metrics.cell(.storeServerDuration, store, server)
        }

        func isAvailable(_ isAvailable: Bool) { metrics.set(workers, isAvailable ? 1 : 0) }
        func owes(_ replies: Int) { metrics.set(owed, UInt64(replies)) }
        func answered(after length: Nanoseconds) { metrics.observe(duration, fine: length) }
    }

    /// Addresses that have been told of; names may lead to others all the time.
    private final class Servers {
        var addresses: Set<String> = []
    }

    private let name: String
    private let servers = Servers()
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
    private let topologyRead: Metrics.Cell
    private let topologyMissed: Metrics.Cell

    init(_ name: String, _ metrics: Metrics) {
        self.name = name
        self.metrics = metrics
        topologyRead = metrics.cell(.storeTopology, name, "ok")
        topologyMissed = metrics.cell(.storeTopology, name, "error")
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

    /// - Parameter address: as it is connected to.
    func server(_ address: String) -> Server {
        if servers.addresses.count < serversMax { servers.addresses.insert(address) }
        return Server(name, servers.addresses.contains(address) ? address : "other", metrics)
    }

    /// A cluster or a sentinel was asked who has the keys.
    func topologyAsked(_ isGood: Bool) { metrics.add(isGood ? topologyRead : topologyMissed) }

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

/// Those beyond are told together.
private let serversMax = 256
