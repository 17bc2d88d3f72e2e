import Observability
import Time
import Bytes
import HTTP2
import HTTPMessage
import RateLimiting
import System
import UpstreamHealth

/// One server of a group.
final class UpstreamServer {
    /// What its upstream says of it; its address stays.
    var own: ServerSettings
    var address: UpstreamSettings.Address { own.address }
    /// How it is, as all workers see it; nil where their memory has no room for it.
    let health: ServerHealth?
    /// How long its responses take, in seconds: the longest, which counts less and less.
    private(set) var latency = 0.0
    private var latencyAt = Instant.past
    private let ejects: Bool
    private let isLookedAt: Bool
    private let measuresLatency: Bool
    /// What a client's cookie calls the server; empty where clients are not bound to servers.
    let mark: [UInt8]
    /// What a Host field calls the server.
    let hostText: String
    let settings: UpstreamSettings
    let buffers: BufferPool
    private unowned let group: UpstreamGroup
    let metrics: ServerMetrics
    var windows: WindowBudget { group.windows }
    /// Whether a connection may serve one client after the other.
    let keepsConnections: Bool
    /// Where it is; empty while its name is not resolved. After a failure to connect an address is tried last for a while.
    private var places: [Place] = []
    private struct Place {
        let address: SocketAddress
        var ejectedUntil = Instant.past
        /// Failures to connect since the last success.
        var failures = 0
        /// Whether a request is finding out if it is back.
        var isTried = false
    }

    /// Connections of HTTP/1 that work for an exchange or are being made.
    private var active = 0
    private var idle: [UpstreamConnection] = []
    /// Connections of HTTP/2.
    private var shared: [UpstreamHTTP2Connection] = []
    private var nextIndex = 0

    init(
        _ own: ServerSettings, _ settings: UpstreamSettings, _ buffers: BufferPool, health: ServerHealth?, of group: UpstreamGroup
    ) {
        self.own = own
        self.health = health
        self.settings = settings
        ejects = settings.ejection != nil
        isLookedAt = settings.check != nil
        if case .p2c = settings.balance { measuresLatency = true } else { measuresLatency = false }
        metrics = group.metrics(of: own.address.text)
        mark = settings.sticky?.mark(of: own.address.text, in: settings.name) ?? []
        self.buffers = buffers
        keepsConnections = settings.proxyProtocol == nil
        hostText = if case .socket(.unix) = own.address { "localhost" } else { own.address.text }
        self.group = group
    }

    var connectionCount: Int { active + idle.count + shared.count }

    /// Exchanges that are under way.
    var load: Int { active + shared.reduce(0) { $0 + $1.streamCount } }

    /// Connections that work or are being made, and those that wait for the next request.
    var connections: (active: Int, idle: Int) { (active + shared.count, idle.count) }

    /// Its entry stays its own for as long as somebody has use of it.
    func touch(at now: Instant) { health?.touch(at: now) }

    // MARK: - How it is

    var state: ServerHealth.State { health?.state(at: group.now, isChecked: isLookedAt, isEjected: ejects) ?? .up }
    /// Whether a group that has no other server asks it.
    var mayBeAskedAlone: Bool {
        guard let health else { return true }
        return !health.isDrained && !(isLookedAt && health.check == .down && !settings.triesWhenAllDown)
    }

    /// Whether it can be expected to answer.
    var isThere: Bool { (state == .up || state == .probation) && !places.isEmpty && !isEjected(at: group.now) }

    /// Whether it is looked at, and nobody has yet.
    var isUnchecked: Bool { isLookedAt && health?.check == .unknown }

    /// Whether a request may go there: of one that was ejected, and whose time is over, no more than one.
    var mayBeTried: Bool {
        guard let health, case .probation = state else { return true }
        return health.mayBegin(trialAt: group.now)
    }

    /// A request goes there; whether it is the one that finds out whether the server is well again.
    func beginTrial() -> Bool {
        guard ejects, let health, case .probation = state else { return false }
        return health.beginTrial(at: group.now)
    }

    /// The request that found out is over, whatever it has come to.
    func endTrial() { health?.abandonTrial() }

    /// Its part of the requests at the moment.
    var share: Double {
        let weight = Double(own.weight)
        guard own.slowStart > .zero, let health else { return weight }
        let isUp = health.timeUp(at: group.now)
        return isUp >= own.slowStart ? weight : weight * max(0.1, Double(isUp.count) / Double(own.slowStart.count))
    }

    /// The head of a response has come.
    func responded(_ status: Int, after length: Nanoseconds) {
        metrics.responded(status, after: length)
        if measuresLatency { took(length) }
        guard ejects, let health, let rule = settings.ejection else { return }
        switch status {
        case 502, 503, 504: failed("status \(status)")
        case 429: failed("status 429", countsInRow: false)
        default: health.succeeded(at: group.now, by: rule)
        }
    }

    /// There was no response.
    ///
    /// - Parameter reach: how far the request had come. What never set out, or what the server says it did nothing about, says nothing of how it
    ///   is: a kept connection may just have been closed. A connection that does not open is counted once, in ``refused(_:at:)``.
    func failed(_ error: ForwardingError, _ reach: RequestReach) {
        guard case .sent(isReused: let isReused) = reach else { return }
        metrics.failed()
        tell(error.explanation)
        switch error {
        case .responseTimedOut, .badResponse, .unexpectedResponse: failed(error.reason)
        case .closedEarly: if !isReused { failed(error.reason) }
        case .connectFailed, .connectTimedOut, .tlsFailed, .unresolved, .noServer, .busy, .queueFull, .tooManyRequests, .circuitOpen,
            .gaveWay,
            .headerUnusable, .pathUnusable:
            break
        }
    }

    private func tell(_ what: String) { group.log.debug { "upstream \(settings.name): \(address.text): \(what)" } }

    private func failed(_ what: String, countsInRow: Bool = true) {
        guard let health, let rule = settings.ejection else { return }
        let cause = health.failed(at: group.now, by: rule, countsInRow: countsInRow) { group.mayDoWithout(self) }
        if let cause { group.ejected(self, cause, what) }
    }

    private func took(_ length: Nanoseconds) {
        let (seconds, now) = (Double(length.count) / 1e9, group.now)
        let age = Double(now.since(latencyAt).count) / 1e9
        latency = seconds > latency ? seconds : seconds + (latency - seconds) / (1 + age / latencyMemory)
        latencyAt = now
    }

    /// A connection was opened.
    func connected(after duration: Nanoseconds) { group.metrics.connected(after: duration) }

    /// Starts to connect; the channel takes a request at once.
    func connect(to address: SocketAddress, preamble: [UInt8], on loop: EventLoop) throws(SystemError) -> any UpstreamChannel {
        if settings.speaksHTTP2 {
            let connection = try UpstreamHTTP2Connection(to: self, at: address, on: loop)
            shared.append(connection)
            return connection.openStream()
        }
        let connection = try UpstreamConnection(to: self, at: address, preamble: preamble, on: loop)
        active += 1
        return connection
    }

    /// A stream on a connection of HTTP/2 that has room for one.
    func openStream() -> UpstreamHTTP2Stream? {
        guard settings.speaksHTTP2 else { return nil }
        for connection in shared where connection.takesStreams && isAt(connection.address) { return connection.openStream() }
        return nil
    }

    /// Whether a connection of HTTP/2 is about to tell how much more it takes, so that another one is not worth its opening.
    var awaitsSettings: Bool { settings.speaksHTTP2 && shared.contains { $0.awaitsSettings && isAt($0.address) } }

    func closed(_ connection: UpstreamHTTP2Connection) {
        shared.removeAll { $0 === connection }
        group.connectionFreed()
    }

    /// A stream of a connection has ended.
    func streamEnded() { group.connectionFreed() }

    var hasRoomForIdle: Bool { idle.count < settings.idleMax }

    /// The connection that was used last, so that the others may time out.
    func checkOutIdle() -> UpstreamConnection? {
        var list: [UpstreamConnection] = exchange(&idle, with: [])
        let last = list.popLast()
        swap(&list, &idle)
        if last != nil { active += 1 }
        return last
    }

    var addressCount: Int { places.count }

    /// How often that has changed: a connection that knows it need not look for its address among them.
    private(set) var resolutions = 0

    /// Addresses that are known already keep their record. Connections to those that are gone are not used again.
    func resolve(to addresses: [SocketAddress]) {
        resolutions += 1
        let known = places
        places = addresses.map { address in known.first { $0.address == address } ?? Place(address: address) }
        for connection in idle where !isAt(connection.address) { connection.close() }
        for connection in shared where !isAt(connection.address) { connection.closeAfterStreams() }
        group.connectionFreed()
    }

    /// The next in turn, if possible one that has not refused lately.
    func nextAddress(at now: Instant) -> SocketAddress? {
        guard !places.isEmpty else { return nil }
        for step in 1...places.count {
            let index = (nextIndex + step) % places.count
            guard places[index].ejectedUntil <= now else { continue }
            // One request finds out whether it is back; the others keep away until it has.
            if places[index].failures > 0 {
                places[index].isTried = true
                eject(at: index, from: now)
            }
            nextIndex = index
            return places[index].address
        }
        // Where all are avoided, each has its turn: one of them may be back.
        nextIndex = (nextIndex + 1) % places.count
        return places[nextIndex].address
    }

    func isEjected(at now: Instant) -> Bool { !places.isEmpty && places.allSatisfy { $0.ejectedUntil > now } }

    /// Whether the server's name still leads to `address`.
    func isAt(_ address: SocketAddress?) -> Bool { places.contains { $0.address == address } }

    func checkIn(_ connection: UpstreamConnection) {
        active -= 1
        // Taken out while it is changed, here and elsewhere (decision 011).
        var list: [UpstreamConnection] = exchange(&idle, with: [])
        list.append(connection)
        swap(&list, &idle)
        group.connectionFreed()
    }

    func closed(_ connection: UpstreamConnection) {
        var list: [UpstreamConnection] = exchange(&idle, with: [])
        if let index = list.firstIndex(where: { $0 === connection }) { list.remove(at: index) } else { active -= 1 }
        swap(&list, &idle)
        group.connectionFreed()
    }

    func answered(_ address: SocketAddress?) {
        for index in places.indices where places[index].address == address {
            places[index].failures = 0
            places[index].isTried = false
            places[index].ejectedUntil = .past
        }
    }

    func refused(_ address: SocketAddress?, at now: Instant) {
        metrics.failed()
        tell("a connection did not open")
        failed("a connection that did not open")
        for index in places.indices where places[index].address == address {
            // Of several that failed at once, one counts.
            let isNew = places[index].failures == 0 || places[index].ejectedUntil <= now || places[index].isTried
            if isNew { places[index].failures += 1 }
            places[index].isTried = false
            eject(at: index, from: now)
        }
    }

    /// Nobody has waited for the outcome of an attempt.
    func leftOpen(_ address: SocketAddress?) {
        for index in places.indices where places[index].address == address && places[index].isTried {
            places[index].isTried = false
            places[index].ejectedUntil = .past
        }
    }

    private func eject(at index: Int, from now: Instant) {
        let doublings = min(max(0, places[index].failures - 1), 3)
        places[index].ejectedUntil = now.adding(min(ejectionFirst * (1 << UInt64(doublings)), ejectionMax))
    }
}

/// Seconds after which half of a long response is forgotten.
private let latencyMemory = 10.0
private let ejectionFirst = Nanoseconds.seconds(10)

private let ejectionMax = Nanoseconds.seconds(60)
