import Configuration
import Observability
import Processes
import System
import TLS
import Time
import UpstreamHealth

/// Looks at the servers of upstreams that have a `health_check`, once for all workers, and writes down whether they are well.
final class HealthChecks: TimerHandler {
    private struct Target {
        let server: CheckedServer
        let health: ServerHealth?
        var nextAt: Instant
        var isUnderWay = false
        /// In a row.
        var successes = 0
        var failures = 0
        /// What was wrong the last time that something was; nil while all is well.
        var lastFailure: String?
    }

    private let loop: EventLoop
    private let metrics: Metrics
    private let addresses: (String) -> [IPAddress]
    private let report: (String) -> Void
    private var targets: [Target] = []
    private var underWay = 0
    private var isStopped = false
    private var work: BackgroundWork<(Int, String?)>?
    private var timer: Timer?

    /// - Parameter addresses: of a host name, as far as they are known.
    init(
        _ servers: [CheckedServer], table: ServerTable, metrics: Metrics, addresses: @escaping (String) -> [IPAddress], on loop: EventLoop,
        report: @escaping (String) -> Void
    ) throws(SystemError) {
        self.loop = loop
        self.metrics = metrics
        self.addresses = addresses
        self.report = report
        targets = servers.map { server in
            Target(server: server, health: table.health(of: server.name, in: server.upstream, at: loop.now), nextAt: loop.now)
        }
        guard !targets.isEmpty else { return }
        work = try BackgroundWork(on: loop) { [unowned self] outcome in settled(outcome.0, outcome.1) }
        timer = Timer(self)
        loop.set(timer!, at: loop.now)
    }

    /// Another control process looks from now on, by another configuration.
    func stop() {
        timer?.cancel()
        timer = nil
        isStopped = true
    }

    /// What was wrong with a server the last time that it was looked at.
    func lastFailure(of server: String, in upstream: String) -> String? {
        targets.first { $0.server.name == server && $0.server.upstream == upstream }?.lastFailure
    }

    func fired(_ timer: Timer) {
        for index in targets.indices where !targets[index].isUnderWay && targets[index].nextAt <= loop.now {
            // What hangs must not take all threads that there are.
            guard underWay < atOnceMax else { break }
            begin(index)
        }
        loop.set(timer, after: tick)
    }

    private func begin(_ index: Int) {
        let server = targets[index].server
        targets[index].health?.touch(at: loop.now)
        targets[index].nextAt = loop.now.adding(Self.jittered(server.rule.interval))
        let places: [SocketAddress]
        switch server.place {
        case .socket(.ip(let ip, let port)): places = [.ip(ip, port: server.rule.port ?? port)]
        case .socket(let socket): places = [socket]
        case .host(let host, let port):
            // Requests go to those of them that take connections.
            places = addresses(host).prefix(addressesMax).map { .ip($0, port: server.rule.port ?? port) }
            guard !places.isEmpty else {
                // Its name may not be resolved yet; then nothing can be said of it.
                targets[index].nextAt = loop.now.adding(tick)
                return
            }
        }
        targets[index].isUnderWay = true
        underWay += 1
        let check = ServerCheck(server, at: places)
        work?.start { (index, check.run()) }
    }

    /// So that many gateways do not look at the same moment.
    private static func jittered(_ interval: Nanoseconds) -> Nanoseconds {
        let tenth = max(1, interval.count / 10)
        return Nanoseconds(interval.count - tenth / 2 + SystemRandom.word() % tenth)
    }

    /// - Parameter failure: what was wrong; nil where all was well.
    private func settled(_ index: Int, _ failure: String?) {
        targets[index].isUnderWay = false
        underWay -= 1
        if isStopped { return }
        let target = targets[index]
        let (server, rule) = (target.server, target.server.rule)
        metrics.add(metrics.cell(.upstreamChecks, server.upstream, server.name, failure == nil ? "success" : "failure"))
        guard let health = target.health else { return }
        let before = health.check
        targets[index].lastFailure = failure
        targets[index].successes = failure == nil ? target.successes + 1 : 0
        targets[index].failures = failure == nil ? 0 : target.failures + 1
        // The first look decides: there is nothing to go by before it.
        if let failure {
            guard before != .down, before == .unknown || targets[index].failures >= rule.fall else { return }
            health.set(.down, at: loop.now)
            report("upstream \(server.upstream): \(server.name) is down: \(failure)")
        } else {
            guard before != .up, before == .unknown || targets[index].successes >= rule.rise else { return }
            health.set(.up, at: loop.now)
            if before == .down { report("upstream \(server.upstream): \(server.name) is up again") }
        }
    }
}

private let tick = Nanoseconds.milliseconds(100)
private let atOnceMax = 32
private let addressesMax = 4
