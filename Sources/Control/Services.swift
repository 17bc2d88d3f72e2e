import Configuration
import System
import Time
import UpstreamHealth

/// Keeps the servers of all services of the configuration fresh, for as long as the DNS says that what it said is good.
final class Services: TimerHandler {
    private struct Service {
        let name: ServiceName
        var servers: [ServiceServer] = []
        var isLookingUp = false
        var hasBeenTried = false
        var nextAt = Instant.past
        /// What was told of it last; empty while all is well.
        var failure = ""
    }

    /// Set by the control process once it is made.
    weak var observer: (any ServiceObserver)?

    private let loop: EventLoop
    private var services: [Service] = []
    private var work: BackgroundWork<(Int, ServiceLookup.Outcome)>?
    private var timer: Timer?
    private let report: (String) -> Void
    private(set) var isFirstRoundComplete = false

    init(_ settings: Settings, on loop: EventLoop, report: @escaping (String) -> Void) throws(SystemError) {
        self.loop = loop
        self.report = report
        services = settings.services.map { Service(name: $0) }
        isFirstRoundComplete = services.isEmpty
        guard !services.isEmpty else { return }
        work = try BackgroundWork(on: loop) { [unowned self] outcome in settled(outcome.0, outcome.1) }
        timer = Timer(self)
        loop.set(timer!, at: loop.now)
    }

    var known: [(service: ServiceName, servers: [ServiceServer])] {
        services.filter { !$0.servers.isEmpty }.map { ($0.name, $0.servers) }
    }

    func servers(of service: ServiceName) -> [ServiceServer] { services.first { $0.name == service }?.servers ?? [] }

    /// Takes what an earlier control process found out, until it can be found out again.
    func recall(_ text: String, _ servers: [ServiceServer]) {
        for index in services.indices where services[index].name.text == text && services[index].servers.isEmpty {
            services[index].servers = servers
            observer?.serviceResolved(services[index].name, servers)
        }
    }

    func fired(_ timer: Timer) {
        for index in services.indices where !services[index].isLookingUp && services[index].nextAt <= loop.now {
            services[index].isLookingUp = true
            let lookup = ServiceLookup(service: services[index].name, known: services[index].servers)
            work?.start { (index, lookup.run()) }
        }
        loop.set(timer, after: tick)
    }

    private func settled(_ index: Int, _ outcome: ServiceLookup.Outcome) {
        services[index].isLookingUp = false
        services[index].hasBeenTried = true
        let name = services[index].name
        switch outcome {
        case .failed(let reason):
            services[index].nextAt = loop.now.adding(failurePause)
            if services[index].failure != reason {
                let rest = services[index].servers.isEmpty ? "" : "; requests go on to the servers that were known last"
                report("the servers of \(name.name) cannot be found out: \(reason)\(rest)")
            }
            services[index].failure = reason
        case .servers(let servers, let seconds):
            services[index].nextAt = loop.now.adding(.seconds(min(max(seconds, secondsMin), secondsMax)))
            if !services[index].failure.isEmpty { report("the servers of \(name.name) can be found out again") }
            services[index].failure = ""
            if services[index].servers != servers {
                if Set(services[index].servers.map(\.text)) != Set(servers.map(\.text)) {
                    report("\(name.name) has \(servers.count) server\(servers.count == 1 ? "" : "s"): \(Self.list(servers))")
                }
                services[index].servers = servers
                observer?.serviceResolved(name, servers)
            }
        }
        if !isFirstRoundComplete, services.allSatisfy(\.hasBeenTried) {
            isFirstRoundComplete = true
            observer?.firstRoundCompleted()
        }
    }

    private static func list(_ servers: [ServiceServer]) -> String {
        servers.prefix(toldMax).map(\.text).joined(separator: " ") + (servers.count > toldMax ? " …" : "")
    }
}

/// Learns the servers of services.
protocol ServiceObserver: AnyObject {
    /// The servers are others than before, or elsewhere.
    func serviceResolved(_ service: ServiceName, _ servers: [ServiceServer])
    /// Everything has been tried once.
    func firstRoundCompleted()
}

private let tick = Nanoseconds.milliseconds(250)
private let failurePause = Nanoseconds.seconds(2)
/// Some servers of the DNS say that nothing may be kept; some, that it may be for days.
private let (secondsMin, secondsMax) = (UInt64(1), UInt64(3_600))
private let toldMax = 16
