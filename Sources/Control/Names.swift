import Time
import Configuration
import System

/// Keeps the addresses of all host names of the configuration fresh, through the system's resolver.
final class Names: TimerHandler {
    private struct Name {
        let host: String
        var addresses: [IPAddress] = []
        var isLookingUp = false
        var hasBeenTried = false
        var nextAt = Instant.past
        var hasFailed = false
    }

    /// Set by the control process once it is made.
    weak var observer: (any NameObserver)?

    private let loop: EventLoop
    private var names: [Name] = []
    private var work: BackgroundWork<(Int, [IPAddress])>?
    private var timer: Timer?
    private let report: (String) -> Void
    private(set) var isFirstRoundComplete = false

    init(_ settings: Settings, on loop: EventLoop, report: @escaping (String) -> Void) throws(SystemError) {
        self.loop = loop
        self.report = report
        names = settings.hostNames.sorted().map { Name(host: $0) }
        isFirstRoundComplete = names.isEmpty
        work = try BackgroundWork(on: loop) { [unowned self] outcome in settled(outcome.0, outcome.1) }
        timer = Timer(self)
        loop.set(timer!, at: loop.now)
    }

    var known: [(host: String, addresses: [IPAddress])] { names.filter { !$0.addresses.isEmpty }.map { ($0.host, $0.addresses) } }

    func addresses(of host: String) -> [IPAddress] { names.first { $0.host == host }?.addresses ?? [] }

    /// Takes what an earlier control process found out, until it can be found out again.
    func recall(_ host: String, _ addresses: [IPAddress]) {
        for index in names.indices where names[index].host == host && names[index].addresses.isEmpty { names[index].addresses = addresses }
    }

    func fired(_ timer: Timer) {
        for index in names.indices where !names[index].isLookingUp && names[index].nextAt <= loop.now {
            names[index].isLookingUp = true
            let lookup = NameLookup(host: names[index].host)
            work?.start { (index, lookup.run()) }
        }
        loop.set(timer, after: tick)
    }

    private func settled(_ index: Int, _ addresses: [IPAddress]) {
        names[index].isLookingUp = false
        names[index].hasBeenTried = true
        if addresses.isEmpty {
            // The last good ones stay.
            names[index].nextAt = loop.now.adding(failurePause)
            if !names[index].hasFailed { report("\(names[index].host) cannot be resolved") }
            names[index].hasFailed = true
        } else {
            names[index].nextAt = loop.now.adding(refreshPause)
            names[index].hasFailed = false
            if names[index].addresses != addresses {
                names[index].addresses = addresses
                observer?.nameResolved(names[index].host, addresses)
            }
        }
        if !isFirstRoundComplete, names.allSatisfy(\.hasBeenTried) {
            isFirstRoundComplete = true
            observer?.firstRoundCompleted()
        }
    }
}

/// Learns the addresses of names.
protocol NameObserver: AnyObject {
    /// The addresses are others than before.
    func nameResolved(_ host: String, _ addresses: [IPAddress])
    /// Everything has been tried once.
    func firstRoundCompleted()
}

private let tick = Nanoseconds.milliseconds(500)
private let failurePause = Nanoseconds.seconds(1)
private let refreshPause = Nanoseconds.seconds(30)
