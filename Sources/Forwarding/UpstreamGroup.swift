import ConfigFile
package import Time
package import Bytes
package import HTTP2
import HTTPMessage
package import Observability
import RateLimiting
package import System
package import UpstreamHealth

/// A group of servers as one worker sees it: who is there, who is busy, which connections wait.
package final class UpstreamGroup: EndOfTurnHandler, TimerHandler {
    let settings: UpstreamSettings
    /// Whether clients are bound to servers.
    let isSticky: Bool
    /// The longest silence of a response that is a stream, and of a tunnel.
    package let streamTimeout: Nanoseconds
    package let speaksHTTP2: Bool
    let buffers: BufferPool
    let windows: WindowBudget
    let metrics: UpstreamMetrics
    /// Of all servers together, where they stand in the DNS: a series for each that ever stood there would be one too many some day.
    private let serviceMetrics: ServerMetrics?
    /// What decides which server a request goes to; nil where nothing of the request does.
    let keyVariable: Variable?
    /// Nil where the upstream takes any number of requests, however many fail.
    let gate: UpstreamGate?
    /// What all workers have to do with the upstream; nil where their memory has no room for it.
    private let load: UpstreamLoad?
    let loop: EventLoop
    /// Changed by ``use(_:)`` alone.
    var servers: [UpstreamServer] = []
    var order: ServerOrder
    /// How many tiers the servers have; see ``ServerSettings/tier``.
    var tierCount = 1
    /// How servers are, for all workers.
    private let table: ServerTable?
    let log: ProgramLog
    private var retryBudget: RetryBudget?
    private let waiting = WaitingList()
    /// Exchanges that hold a place at a server.
    private var holders: [Exchange] = []
    private var lastTicket: UInt64 = 0
    private var relievesNext = Instant.past
    private var isTurnQueued = false
    private var hasToldOfRoom = false
    private var timer: Timer?

    /// - Parameters:
    ///   - table: how servers are, for all workers.
    ///   - load: what the upstream has to do, for all workers.
    ///   - log: takes what an operator should know.
    package init(
        _ settings: UpstreamSettings, buffers: BufferPool, windows: WindowBudget, metrics: Metrics, table: ServerTable? = nil,
        load: UpstreamLoad? = nil,
        on loop: EventLoop, log: ProgramLog = .silent
    ) {
        self.log = log
        retryBudget = settings.retry.map { RetryBudget($0, at: loop.now) }
        if case .hash(let variable) = settings.balance { keyVariable = variable } else { keyVariable = nil }
        order = ServerOrder(settings.balance, servers: 0, seed: 0)
        self.table = table
        self.metrics = UpstreamMetrics(settings, metrics)
        serviceMetrics = settings.service.map { [metrics = self.metrics] in ServerMetrics($0.name, of: metrics) }
        self.load = load
        gate = UpstreamGate(settings, load: load, table: table, metrics: self.metrics, on: loop, report: log.warning)
        self.settings = settings
        isSticky = settings.sticky != nil
        streamTimeout = settings.timeouts.silence.stream
        speaksHTTP2 = settings.speaksHTTP2
        self.buffers = buffers
        self.windows = windows
        self.loop = loop
        use(settings.serverSettings)
    }

    /// Which servers there are. Those that are there already keep what is known of them, and their connections; of those that are gone no
    /// connection is used again.
    func use(_ list: [ServerSettings]) {
        let known = servers
        let isSame = known.map(\.address) == list.map(\.address)
        servers = list.map { own in
            if let same = known.first(where: { $0.address == own.address }) {
                same.own = own
                return same
            }
            let health = table?.health(of: own.address.text, in: settings.name, at: loop.now)
            if table != nil, health == nil, !hasToldOfRoom {
                hasToldOfRoom = true
                log.warning(
                    "upstream \(settings.name): there are so many servers that nothing can be remembered of \(own.address.text): it is not ejected, checked or taken out"
                )
            }
            let server = UpstreamServer(own, settings, buffers, health: health, of: self)
            if case .socket(let socket) = own.address { server.resolve(to: [socket]) }
            return server
        }
        for server in known where !servers.contains(where: { $0 === server }) { server.resolve(to: []) }
        tierCount = (list.map(\.tier).max() ?? 0) + 1
        // Whose turn it is stays, as long as the servers do.
        if isSame, !known.isEmpty { return }
        order = ServerOrder(
            settings.balance, servers: servers.count, names: servers.map { Self.hash(Array($0.address.text.utf8)) },
            seed: SystemRandom.word())
    }

    func metrics(of server: String) -> ServerMetrics { serviceMetrics ?? ServerMetrics(server, of: metrics) }

    /// Where a server's name leads, told by the control process. Connections to addresses that are gone are not used again.
    package func resolve(_ host: String, to addresses: [IPAddress]) {
        if settings.service != nil { return }
        for server in servers {
            guard case .host(host, let port) = server.address, !addresses.isEmpty else { continue }
            server.resolve(to: addresses.map { .ip($0, port: port) })
        }
    }

    /// A channel for an exchange: on a connection that is there, or a new one; nil when as many as may be are busy.
    ///
    /// - Parameters:
    ///   - fresh: whether a connection that waits will not do.
    ///   - origin: the client that a new connection announces, where the upstream asks for it.
    ///   - failed: a server that comes last, because it has just failed the request.
    ///   - key: see ``Exchange/key(in:)``.
    ///   - bound: the server that the client has begun with.
    func acquire(
        fresh: Bool, for origin: DownstreamOrigin, after failed: UpstreamServer? = nil, key: UInt64? = nil, bound: UpstreamServer? = nil
    ) throws(ForwardingError) -> (any UpstreamChannel)? {
        var lastError = ForwardingError.unresolved
        var isFull = false
        let preamble = settings.proxyProtocol.map { ProxyProtocol.header($0, origin.addresses) } ?? []
        if servers.count == 1 {
            // A server that is alone is not taken out for its failures.
            guard servers[0].mayBeAskedAlone else { throw noServer() }
            if let channel = channel(to: servers[0], fresh: fresh, preamble, &isFull, &lastError) { return channel }
            if isFull { return nil }
            throw lastError
        }
        // Of a service nothing may be known yet.
        if servers.isEmpty { throw .unresolved }
        let isBound = bound?.isThere == true
        var tiers = inOrder(movesOn: !fresh && !isBound, key)
        if isBound, let bound { prefer(bound, &tiers) }
        if tiers.allSatisfy({ $0.isEmpty }) { throw noServer() }
        for var candidates in tiers {
            if let failed, candidates.count > 1, let place = candidates.firstIndex(where: { servers[$0] === failed }) {
                candidates.append(candidates.remove(at: place))
            }
            for index in candidates {
                // One request finds out whether a server is well again.
                if candidates.count > 1, !servers[index].mayBeTried {
                    if lastError == .unresolved { lastError = .noServer }
                    continue
                }
                if let channel = channel(to: servers[index], fresh: fresh, preamble, &isFull, &lastError) { return channel }
            }
            // Those that are busy are worth waiting for: what stands behind them is for when there are none.
            if isFull { return nil }
        }
        throw lastError
    }

    /// What stands for a text where requests go by one. No secret: all gateways are to make the same of it.
    static func hash(_ text: [UInt8]) -> UInt64 { SipHash(key0: 0, key1: 0).hash(text.span) }

    private func noServer() -> ForwardingError {
        metrics.rejected("no_server")
        return .noServer
    }

    /// A channel to one server; nil where it has none, because it is busy or cannot be reached.
    private func channel(
        to server: UpstreamServer, fresh: Bool, _ preamble: [UInt8], _ isFull: inout Bool, _ lastError: inout ForwardingError
    ) -> (any UpstreamChannel)? {
        if let stream = server.openStream() { return stream }
        // A second attempt cannot wait.
        if !fresh, server.awaitsSettings {
            isFull = true
            return nil
        }
        if !fresh, let idle = server.checkOutIdle() { return idle }
        guard server.connectionCount < settings.connectionsMax else {
            isFull = true
            return nil
        }
        for _ in 0..<server.addressCount {
            guard let address = server.nextAddress(at: loop.now) else { break }
            do {
                return try server.connect(to: address, preamble: preamble, on: loop)
            } catch {
                server.metrics.connectFailed()
                server.refused(address, at: loop.now)
                lastError = .connectFailed(error.reason)
            }
        }
        return nil
    }

    var now: Instant { loop.now }

    /// Whether every server that is looked at has been.
    package var isChecked: Bool { !servers.contains(where: \.isUnchecked) }

    /// Called now and then: what there is at the moment.
    package func measure() {
        var (active, idle) = (0, 0)
        for server in servers {
            server.touch(at: loop.now)
            if serviceMetrics == nil {
                server.metrics.connections(active: server.connections.active, idle: server.connections.idle)
            } else {
                active += server.connections.active
                idle += server.connections.idle
            }
        }
        serviceMetrics?.connections(active: active, idle: idle)
        load?.touch(at: loop.now)
        gate?.touch(at: loop.now)
    }

    // MARK: - Trying again

    /// Whether a server other than the one that failed may be asked now.
    func hasOther(than failed: UpstreamServer) -> Bool {
        servers.contains { $0 !== failed && ($0.state == .up || $0.state == .probation) && $0.mayBeTried }
    }

    /// Has a timer fire after a while, of an exchange that waits before it tries again.
    func set(_ timer: Timer, after length: Nanoseconds) { loop.set(timer, after: length) }

    /// A request that may be tried again has begun.
    func requestBegan() { retryBudget?.requestBegan() }

    /// Whether there may be one more retry now.
    var hasRetry: Bool { retryBudget?.has(at: loop.now) ?? false }

    /// There was one.
    func retried() { retryBudget?.take() }

    // MARK: - Waiting for a connection

    /// Has an exchange wait; ``Exchange/connectionMayBeHad(_:of:)`` or ``Exchange/waitedInVain(_:for:)`` is called with its entry's ticket.
    ///
    /// Where as many wait as may, a client of which many more wait gives way to others.
    func wait(_ exchange: Exchange, of account: ClientAccount) throws(ForwardingError) -> WaitingList.Entry {
        // A part is each worker's own, so that those who fill the queue of one keep nobody from another's.
        let isFull = waiting.count >= settings.waitingMax || waiting.count >= settings.waitingMax / 16 && hostWaiting >= settings.waitingMax
        if isFull {
            guard let youngest = waiting.youngestOfLargest(than: account) else {
                metrics.rejected("max_waiting")
                throw .queueFull
            }
            metrics.rejected("max_waiting")
            leave(youngest)
            youngest.exchange.waitedInVain(youngest.ticket, for: self, .queueFull)
        }
        lastTicket += 1
        let entry = WaitingList.Entry(exchange, lastTicket, from: loop.now, until: loop.now.adding(settings.timeouts.connect), account)
        waiting.add(entry)
        metrics.waitBegan()
        load?.began(.waiting)
        // It goes on by itself; later ones must not put it off.
        if waiting.count == 1 { armTimer() }
        return entry
    }

    /// An exchange does not wait any longer.
    func stopWaiting(_ entry: WaitingList.Entry) { leave(entry) }

    private var hostWaiting: Int { load?.total(.waiting) ?? 0 }

    private func leave(_ entry: WaitingList.Entry) {
        guard waiting.remove(entry) else { return }
        metrics.waitEnded(after: loop.now.since(entry.beganAt))
        load?.ended(.waiting)
    }

    /// Whether those who came before are still waiting.
    var hasWaiting: Bool { !waiting.isEmpty }

    /// A connection has become idle or is gone.
    func connectionFreed() {
        guard !waiting.isEmpty, !isTurnQueued else { return }
        isTurnQueued = true
        loop.atEndOfTurn(self)
    }

    package func turnEnded() {
        isTurnQueued = false
        while let entry = waiting.next() {
            guard entry.exchange.connectionMayBeHad(entry.ticket, of: self) else { return }
            leave(entry)
            waiting.turn()
        }
    }

    package func fired(_ timer: Timer) {
        while let oldest = waiting.oldest(), oldest.deadline <= loop.now {
            metrics.rejected("max_connections")
            leave(oldest)
            oldest.exchange.waitedInVain(oldest.ticket, for: self, .busy)
        }
        if !waiting.isEmpty { relieve() }
        armTimer()
    }

    private func armTimer() {
        guard let oldest = waiting.oldest() else { return }
        let timer = timer ?? Timer(self)
        self.timer = timer
        loop.set(timer, at: min(oldest.deadline, max(relievesNext, loop.now.adding(reliefPause))))
    }

    // MARK: - Sharing the places

    /// An exchange has a place now.
    func hold(_ exchange: Exchange) {
        exchange.holderIndex = holders.count
        var list: [Exchange] = Swift.exchange(&holders, with: [])
        list.append(exchange)
        swap(&list, &holders)
    }

    /// An exchange has given its place back.
    func release(_ exchange: Exchange) {
        var list: [Exchange] = Swift.exchange(&holders, with: [])
        let index = exchange.holderIndex
        if list.indices.contains(index), list[index] === exchange {
            let last = list.removeLast()
            if last !== exchange {
                list[index] = last
                last.holderIndex = index
            }
        }
        swap(&list, &holders)
        exchange.holderIndex = -1
    }

    /// Has those looked at whose responses go on.
    package func checkResponses() { for client in holders.compactMap(\.answeredClient) { client.responseGoesOn() } }

    /// Has streams and tunnels end.
    package func endStreams() { for client in holders.compactMap(\.client) { client.responseMustEnd() } }

    /// Where clients wait for a place, exchanges that only wait for their own client give theirs up: those of the client that has the
    /// most, as long as it has more than the one that waits would have.
    private func relieve() {
        guard relievesNext <= loop.now, let waiter = waiting.next() else { return }
        relievesNext = loop.now.adding(reliefPause)
        var held: [ObjectIdentifier: Int] = [:]
        for exchange in holders { held[ObjectIdentifier(exchange.account), default: 0] += 1 }
        let own = held[ObjectIdentifier(waiter.account)] ?? 0
        let stalled = holders.filter { $0.account !== waiter.account && $0.isHeldByClient(at: loop.now) }
        var left = min(waiting.count, relievedAtOnce)
        for exchange in stalled.sorted(by: { held[ObjectIdentifier($0.account)] ?? 0 > held[ObjectIdentifier($1.account)] ?? 0 }) {
            guard left > 0, let count = held[ObjectIdentifier(exchange.account)], count > own + 1 else { break }
            held[ObjectIdentifier(exchange.account)] = count - 1
            left -= 1
            metrics.rejected("gave_way")
            exchange.giveWay()
        }
    }

    /// In how many places a request may be tried.
    var addressCount: Int { servers.reduce(0) { $0 + $1.addressCount } }

    // MARK: - How the servers are

    /// Whether the group can do without one more server: another is well, and no more are missing than the rule has it.
    func mayDoWithout(_ server: UpstreamServer) -> Bool {
        guard let rule = settings.ejection else { return false }
        let missing = servers.count { $0 !== server && $0.state != .up } + 1
        return missing < servers.count && missing * 100 <= servers.count * rule.atMostPercent
    }

    func ejected(_ server: UpstreamServer, _ cause: ServerHealth.Cause, _ what: String) {
        metrics.ejected(settings.service?.name ?? server.address.text, cause.word)
        guard let health = server.health else { return }
        let length = health.ejectedUntil.since(loop.now)
        log.warning(
            "upstream \(settings.name): \(server.address.text) is given no requests for \(max(1, length.secondsUp)) s: "
                + (cause == .consecutive
                    ? "it failed again and again, last with \(what)" : "too many of its requests failed, last with \(what)"))
    }
}

private let reliefPause = Nanoseconds.milliseconds(250)
private let relievedAtOnce = 64
