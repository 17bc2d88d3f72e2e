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
        var server: CheckedServer
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
    private let log: ProgramLog
    private let table: ServerTable
    /// By a number that none of them has had before.
    private var targets: [Int: Target] = [:]
    private var lastNumber = 0
    private var underWay = 0
    private var isStopped = false
    private var work: BackgroundWork<(Int, String?)>?
    private var timer: Timer?

    /// - Parameter addresses: of a host name, as far as they are known.
    init(
        _ servers: [CheckedServer], table: ServerTable, metrics: Metrics, addresses: @escaping (String) -> [IPAddress], on loop: EventLoop,
        log: ProgramLog
    ) throws(SystemError) {
        self.loop = loop
        self.metrics = metrics
        self.addresses = addresses
        self.log = log
        self.table = table
        for server in servers { add(server) }
        work = try BackgroundWork(on: loop) { [unowned self] outcome in settled(outcome.0, outcome.1) }
        if !targets.isEmpty { start() }
    }

    private func start() {
        guard timer == nil, !isStopped else { return }
        timer = Timer(self)
        loop.set(timer!, at: loop.now)
    }

    private func add(_ server: CheckedServer) {
        lastNumber += 1
        targets[lastNumber] = Target(
            server: server, health: table.health(of: server.name, in: server.upstream, at: loop.now), nextAt: loop.now)
    }

    /// The servers of upstreams that have them from a service: those that are looked at already are looked at further, elsewhere perhaps.
    func set(_ servers: [CheckedServer], of upstreams: Set<String>) {
        let known = targets.filter { upstreams.contains($0.value.server.upstream) }
        for (number, target) in known
        where !servers.contains(where: { $0.name == target.server.name && $0.upstream == target.server.upstream }) {
            targets[number] = nil
        }
        for server in servers {
            if let same = known.first(where: { $0.value.server.name == server.name && $0.value.server.upstream == server.upstream }) {
                targets[same.key]?.server = server
            } else {
                add(server)
            }
        }
        if !targets.isEmpty { start() }
    }

    /// Another control process looks from now on, by another configuration.
    func stop() {
        timer?.cancel()
        timer = nil
        isStopped = true
    }

    /// What was wrong with a server the last time that it was looked at.
    func lastFailure(of server: String, in upstream: String) -> String? {
        targets.values.first { $0.server.name == server && $0.server.upstream == upstream }?.lastFailure
    }

    func fired(_ timer: Timer) {
        // What hangs must not take all threads that there are, and who has waited longest comes first.
        let due = targets.filter { !$0.value.isUnderWay && $0.value.nextAt <= loop.now }.sorted { $0.value.nextAt < $1.value.nextAt }
        for (number, target) in due.prefix(max(0, atOnceMax - underWay)) { begin(number, target.server, target.health) }
        loop.set(timer, after: tick)
    }

    private func begin(_ number: Int, _ server: CheckedServer, _ health: ServerHealth?) {
        health?.touch(at: loop.now)
        targets[number]?.nextAt = loop.now.adding(Self.jittered(server.rule.interval))
        let places: [SocketAddress]
        switch server.place {
        case .socket(.ip(let ip, let port)): places = [.ip(ip, port: server.rule.port ?? port)]
        case .socket(let socket): places = [socket]
        case .addresses(let known, let port):
            places = known.prefix(addressesMax).map { .ip($0, port: server.rule.port ?? port) }
            if places.isEmpty { return }
        case .host(let host, let port):
            // Requests go to those of them that take connections.
            places = addresses(host).prefix(addressesMax).map { .ip($0, port: server.rule.port ?? port) }
            guard !places.isEmpty else {
                // Its name may not be resolved yet; then nothing can be said of it.
                targets[number]?.nextAt = loop.now.adding(tick)
                return
            }
        }
        targets[number]?.isUnderWay = true
        underWay += 1
        let check = ServerCheck(server, at: places)
        work?.start { (number, check.run()) }
    }

    /// So that many gateways do not look at the same moment.
    private static func jittered(_ interval: Nanoseconds) -> Nanoseconds {
        let tenth = max(1, interval.count / 10)
        return Nanoseconds(interval.count - tenth / 2 + SystemRandom.word() % tenth)
    }

    /// - Parameter failure: what was wrong; nil where all was well.
    private func settled(_ number: Int, _ failure: String?) {
        underWay -= 1
        guard !isStopped, var target = targets[number] else { return }
        defer { targets[number] = target }
        target.isUnderWay = false
        let (server, rule) = (target.server, target.server.rule)
        metrics.add(metrics.cell(.upstreamChecks, server.upstream, server.series, failure == nil ? "success" : "failure"))
        log.debug { "upstream \(server.upstream): \(server.name) was looked at: \(failure ?? "it is well")" }
        guard let health = target.health else { return }
        let before = health.check
        target.lastFailure = failure
        target.successes = failure == nil ? target.successes + 1 : 0
        target.failures = failure == nil ? 0 : target.failures + 1
        // The first look decides: there is nothing to go by before it.
        if let failure {
            guard before != .down, before == .unknown || target.failures >= rule.fall else { return }
            health.set(.down, at: loop.now)
            log.warning("upstream \(server.upstream): \(server.name) is down: \(failure)")
        } else {
            guard before != .up, before == .unknown || target.successes >= rule.rise else { return }
            health.set(.up, at: loop.now)
            if before == .down { log.info("upstream \(server.upstream): \(server.name) is up again") }
        }
    }
}

private let tick = Nanoseconds.milliseconds(100)
private let atOnceMax = 32
private let addressesMax = 4
