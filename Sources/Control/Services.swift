import Configuration
import Observability
import System
import Time
import UpstreamHealth

/// Keeps the servers of all services of the configuration fresh, for as long as the DNS says that what it said is good.
final class Services: TimerHandler {
    private struct Service {
        let name: ServiceName
        var servers: [ServiceServer] = []
        /// Of the lookup that is under way; nil where none is.
        var lookup: UInt64?
        var hasBeenTried = false
        var nextAt = Instant.past
        /// By when the lookup has come to an end, or is given up.
        var lateAt = Instant.never
        /// Lookups that have not come to an end, late ones too.
        var outstanding = 0
        /// Not told of again before this moment.
        var quietUntil = Instant.past
        /// What was told of it last; empty while all is well.
        var failure = ""
    }

    /// Set by the control process once it is made.
    weak var observer: (any ServiceObserver)?

    private let loop: EventLoop
    private var services: [Service] = []
    private var work: BackgroundWork<(Int, UInt64, ServiceLookup.Outcome)>?
    private var lastLookup: UInt64 = 0
    private var isSilent = false
    private var timer: Timer?
    private let log: ProgramLog
    private(set) var isFirstRoundComplete = false

    init(_ settings: Settings, on loop: EventLoop, log: ProgramLog) throws(SystemError) {
        self.loop = loop
        self.log = log
        services = settings.services.map { Service(name: $0) }
        isFirstRoundComplete = services.isEmpty
        guard !services.isEmpty else { return }
        work = try BackgroundWork(on: loop) { [unowned self] outcome in settled(outcome.0, outcome.1, outcome.2) }
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
        for index in services.indices {
            if services[index].lookup != nil, services[index].lateAt <= loop.now {
                // The C library waits without an end for some answers, such as over TCP.
                settle(index, .failed("no answer within \(lateAfter.seconds) s"))
            }
            guard services[index].lookup == nil, services[index].nextAt <= loop.now, services[index].outstanding < outstandingMax else {
                continue
            }
            lastLookup += 1
            services[index].lookup = lastLookup
            services[index].lateAt = loop.now.adding(lateAfter)
            services[index].outstanding += 1
            let (number, lookup) = (lastLookup, ServiceLookup(service: services[index].name, known: services[index].servers))
            work?.start { (index, number, lookup.run()) }
        }
        loop.set(timer, after: tick)
    }

    /// Another control process tells of it from now on.
    func stopTelling() { isSilent = true }

    private func settled(_ index: Int, _ number: UInt64, _ outcome: ServiceLookup.Outcome) {
        services[index].outstanding -= 1
        if services[index].lookup == number { settle(index, outcome) }
    }

    private func settle(_ index: Int, _ outcome: ServiceLookup.Outcome) {
        services[index].lookup = nil
        services[index].hasBeenTried = true
        let name = services[index].name
        switch outcome {
        case .failed(let reason):
            services[index].nextAt = loop.now.adding(failurePause)
            if services[index].failure != reason {
                let rest = services[index].servers.isEmpty ? "" : "; requests go on to the servers that were known last"
                tell(index, .warning, "the servers of \(name.name) cannot be found out: \(reason)\(rest)")
            }
            services[index].failure = reason
        case .servers(let servers, let seconds):
            services[index].nextAt = loop.now.adding(.seconds(min(max(seconds, secondsMin), secondsMax)))
            if !services[index].failure.isEmpty { tell(index, .info, "the servers of \(name.name) can be found out again") }
            services[index].failure = ""
            if services[index].servers != servers {
                if Set(services[index].servers.map(\.text)) != Set(servers.map(\.text)) {
                    tell(index, .info, "\(name.name) has \(servers.count) server\(servers.count == 1 ? "" : "s"): \(Self.list(servers))")
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

    /// What changes all the time is told of now and then.
    private func tell(_ index: Int, _ level: LogLevel, _ text: String) {
        guard !isSilent, services[index].quietUntil <= loop.now || level == .warning else { return log.debug { text } }
        services[index].quietUntil = loop.now.adding(quietTime)
        log.say(level, text)
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
private let lateAfter = Nanoseconds.seconds(30)
/// Lookups of one service that may hang at once.
private let outstandingMax = 3
private let quietTime = Nanoseconds.seconds(5)
