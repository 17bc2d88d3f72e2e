import Time
import Authentication
import Bytes
package import Configuration
import Forwarding
import HTTP2
import HTTPMessage
package import Observability
package import Processes
import RateLimiting
import Redis
package import System
import TLS

/// A worker: the data plane, on one thread and one loop.
///
/// It tells the supervisor when it takes connections, and hears from it when to stop. The control process tells it keys and
/// addresses; without it the worker goes on with what it last heard.
package final class Worker: MessageReceiver, TimerHandler, KeyRequester, ConnectionRegistry, RedisStoreObserver {
    let settings: Settings
    private let loop: EventLoop
    private let own: ProcessMemory
    private let metrics: Metrics
    private var ticks = 0
    private let memoryCell: Metrics.Cell
    private let heartbeatCell: Metrics.Cell
    /// What the cache of tokens has been counted for so far.
    private var cacheTold: (hits: UInt64, misses: UInt64) = (0, 0)
    private let tickets = TicketKeys()
    private let authenticator: Authenticator
    let path: RequestPath
    private let groups: [UpstreamGroup]
    private let services: DownstreamServices
    private var redisStores: [any RedisStore] = []
    private var supervisor: MessageChannel?
    private var control: MessageChannel?
    private var sockets: [(listener: Int, descriptor: Int32)]
    private var listeners: [Listener] = []
    /// By listener, where it speaks TLS.
    private var contexts: [Int: ServerContexts] = [:]
    /// Certificates that came before there were contexts.
    private var earlyCertificates: [(listener: Int, index: Int, certificate: Certificate)] = []
    private var connections: [ObjectIdentifier: any ClientConnection] = [:]
    private var timer: Timer?
    private var phase = Phase.starting
    private var streamsEndAt = Instant.never
    private var hasTickets = false
    private var hasInitialState = false

    private enum Phase: Equatable {
        /// Waits for what it needs before it takes connections.
        case starting
        case serving
        /// Takes no connections; what is under way may end.
        case draining(until: Instant)
        /// The time for requests is over; streams and tunnels may go on.
        case streaming(until: Instant)
        /// Streams and tunnels have been told to end; what is left at the next tick is cut.
        case ending
    }
    /// Ready without the control process's first news after this moment.
    private let readyAnyway: Instant
    private let log: ProgramLog
    let report: (String) -> Void

    /// - Parameters:
    ///   - slot: names the worker in metrics.
    ///   - sockets: the listening sockets of this worker, each with the index of its listener.
    ///   - files: what the configuration's files held when it was read.
    ///   - loop: one with a test's clock, that the test turns.
    ///   - log: takes the worker's own messages.
    package init(
        settings: Settings, files: FileBundle, memory: HostMemory, own: ProcessMemory, supervisor: consuming Descriptor,
        slot: Int = 0, sockets: [(listener: Int, descriptor: Int32)], loop: EventLoop? = nil, log: ProgramLog
    ) throws {
        self.settings = settings
        self.own = own
        self.sockets = sockets
        self.log = log
        report = log.warning
        let loop = try loop ?? EventLoop()
        self.loop = loop
        readyAnyway = loop.now.adding(initialStateWait)
        let counters = own.counters
        let metrics = Metrics(own.metrics)
        self.metrics = metrics
        memoryCell = metrics.cell(.workerMemory, String(slot))
        heartbeatCell = metrics.cell(.workerHeartbeat, String(slot))
        authenticator = Authenticator(
            issuers: settings.issuers, authorizers: settings.authorizers, networks: settings.networks, passwords: settings.passwords,
            sources: settings.tokenSources,
            cacheCapacity: settings.tokenCacheCapacity, cacheHash: memory.hash,
            requirements: settings.requirements)
        var stores: [String: any RemoteStore] = [:]
        for redis in settings.redis {
            let store = redis.makeStore(on: loop, metrics: metrics)
            stores[redis.name] = store
            redisStores.append(store)
        }
        let upstreamBuffers = BufferPool(bufferBytes: Limits.streamBytes, keptMax: 256)
        // An eighth of what a worker may hold, for clients and upstreams together.
        let windows = WindowBudget(bytes: Int(clamping: settings.clientLimits.memoryBytes / 8))
        groups = settings.upstreams.map {
            UpstreamGroup(
                $0, buffers: upstreamBuffers, windows: windows, metrics: metrics, table: memory.servers,
                load: memory.load(of: $0.name, slot: slot, at: loop.now), on: loop, log: log)
        }
        path = RequestPath(
            settings: settings, loop: loop, authenticator: authenticator,
            limiter: RateLimiter(
                limits: settings.limits, memory: memory.limits, stores: stores, metrics: LimitMetrics(settings.limits, metrics)),
            groups: groups,
            log: RequestLog(ring: own.logRing, settings), counters: counters, metrics: metrics,
            tracer: settings.tracing.map { Tracer($0, settings, ring: own.logRing, metrics, on: loop) },
            host: memory)
        services = DownstreamServices(
            loop: loop, path: path, settings: settings, counters: counters,
            buffers: BufferPool(bufferBytes: Limits.receiveBytes, keptMax: 1_024), requestIDs: RequestIDs(), windows: windows)
        services.registry = self
        for store in redisStores { store.observer = self }
        path.keyFetches.requester = self
        path.onPlans({ [unowned self] text in report(text) }, { [unowned self] in becomeReadyIfPossible() })
        for (index, issuer) in settings.issuers.enumerated() {
            guard let keys = issuer.keySet({ files.contents[$0] }) else { continue }
            authenticator.tokens.replaceKeys(of: IssuerID(index), with: keys)
        }
        self.supervisor = try MessageChannel(supervisor, on: loop, receiver: self)
        timer = Timer(self)
        loop.set(timer!, after: tick)
    }

    package func run() {
        own.beat()
        loop.run()
    }

    // MARK: - Messages

    package func received(_ message: [UInt8], descriptor: consuming Descriptor?, on channel: MessageChannel) {
        var reader = MessageReader(message)
        switch reader.kind() {
        case .ticketKeys:
            tickets.replace(with: Array(message.dropFirst()))
            hasTickets = true
            becomeReadyIfPossible()
        case .controlChannel:
            guard let descriptor else { return }
            control?.close()
            control = try? MessageChannel(descriptor, on: loop, receiver: self)
        case .certificate: received(certificate: message, &reader)
        case .clientCertificate:
            if channel === supervisor { received(clientCertificate: message, &reader) }
        case .storePassword: if channel === supervisor { received(password: message, &reader) }
        case .endStreams: streamsMustEnd()
        case .logLevel: if channel === supervisor, let level = LogLevel(message: message) { log.level = level }
        case .drain: drain(closingIdle: message.count > 1 && message[1] == 1)
        case .keySet:
            guard let issuer = reader.number(), let document = reader.bytes(), let index = Int(exactly: issuer) else { return }
            if let keys = try? KeySet(document) {
                authenticator.tokens.replaceKeys(of: IssuerID(index), with: keys)
                path.keysChanged(of: IssuerID(index))
            }
            path.keysSettled(of: IssuerID(index), hasFailed: false)
        case .keySetUnchanged:
            guard let issuer = reader.number(), let hasFailed = reader.number(), let index = Int(exactly: issuer) else { return }
            path.keysSettled(of: IssuerID(index), hasFailed: hasFailed == 1)
        case .keySetWithdrawn:
            guard let issuer = reader.number(), let index = Int(exactly: issuer) else { return }
            authenticator.tokens.replaceKeys(of: IssuerID(index), with: nil)
            path.keysChanged(of: IssuerID(index))
        case .addresses:
            guard let host = reader.text(), let count = reader.number(), count <= 64 else { return }
            resolve(host, (0..<count).compactMap { _ in reader.text().flatMap { IPAddress($0) } })
        case .service:
            guard let told = ServiceMessage.read(&reader) else { return }
            for group in groups { group.resolve(service: told.service, to: told.servers) }
        case .limitQuestion: received(limitQuestion: &reader, on: channel)
        case .initialStateComplete:
            hasInitialState = true
            becomeReadyIfPossible()
        default: report("a message that a worker does not know was passed over")
        }
    }

    package func closed(_ channel: MessageChannel) {
        if channel === supervisor {
            // Without a supervisor nobody would stop this worker.
            supervisor = nil
            drain(closingIdle: true)
        } else if channel === control {
            control = nil
            for index in settings.issuers.indices { path.keysSettled(of: IssuerID(index), hasFailed: true) }
        }
    }

    package func fired(_ timer: Timer) {
        own.beat()
        path.endOverdueWaits()
        path.expiry.recheckSome()
        path.checkResponses()
        path.keepLimits()
        shareMemory()
        services.forgetIdleAccounts()
        ticks &+= 1
        if ticks % 4 == 0 { measure() }
        becomeReadyIfPossible()
        switch phase {
        case .draining(let deadline) where deadline <= loop.now: requestsAreOver()
        case .streaming(let deadline) where deadline <= loop.now: endStreams()
        case .starting, .serving, .draining, .streaming: break
        case .ending:
            for connection in Array(connections.values) { connection.abort() }
            loop.stop()
        }
        loop.set(timer, after: tick)
    }

    /// What is there at this moment, and what is counted elsewhere.
    private func measure() {
        for group in groups { group.measure() }
        metrics.set(memoryCell, HeapMemory.pageBytes)
        metrics.set(heartbeatCell, loop.wallSeconds)
        let (hits, misses) = authenticator.tokens.cacheUse
        if hits != cacheTold.hits { metrics.add(metrics.cell(.tokenCacheRequests, "hit"), hits &- cacheTold.hits) }
        if misses != cacheTold.misses { metrics.add(metrics.cell(.tokenCacheRequests, "miss"), misses &- cacheTold.misses) }
        cacheTold = (hits, misses)
    }

    private func shareMemory() {
        let limit = settings.clientLimits.memoryBytes
        let before = path.memory
        let isHigh = HeapMemory.isInUse(moreThan: limit)
        path.memory = !isHigh ? .none : HeapMemory.isInUse(moreThan: limit + limit / 2) ? .extreme : .high
        guard isHigh else { return before != .none ? services.memoryIsEnough() : () }
        // What waits for its next request gives way to what is under way.
        for connection in Array(connections.values) { connection.closeIfIdle() }
        services.shareMemory(among: Array(connections.values), isFarBeyond: path.memory == .extreme)
    }

    // MARK: - Beginning

    /// Whether anything must come from the control process before requests can be answered.
    private var needsControl: Bool {
        !settings.issuers.isEmpty
            || settings.upstreams.contains { $0.service != nil || $0.servers.contains { if case .host = $0 { true } else { false } } }
            || settings.redis.contains { $0.topology.addresses.contains { if case .host = $0 { true } else { false } } }
    }

    /// Takes connections once it has ticket keys, has heard from the control process what it needs, and knows of each Redis
    /// whether it answers, and of each server that is checked whether it is well; without the last two after a while too.
    private func becomeReadyIfPossible() {
        guard phase == .starting, hasTickets else { return }
        path.keepLimits()
        let knowsAll =
            (hasInitialState || !needsControl) && redisStores.allSatisfy { $0.hasSettled } && path.hasReadPlans
            && groups.allSatisfy(\.isChecked)
        guard knowsAll || loop.now >= readyAnyway else { return }
        phase = .serving
        for (index, raw) in sockets {
            let settings = settings.listeners[index]
            let socket = Descriptor(owning: raw)
            do {
                if case .tls(let tls) = settings.role, contexts[index] == nil {
                    contexts[index] = try ServerContexts(
                        certificates: tls.certificates, minimum: tls.minimum, protocols: settings.protocols, tickets: tickets)
                }
                let redirect: HTTPSRedirect? = if case .redirect(let rule) = settings.role { rule } else { nil }
                let listener = try Listener(
                    socket, contexts: contexts[index], redirect: redirect, decisions: settings.decisions, proxies: settings.proxies,
                    metrics: ListenerMetrics(settings.address.text, isTLS: contexts[index] != nil, metrics), services)
                listeners.append(listener)
            } catch {
                report("cannot take connections at \(settings.address.text): \(error)")
            }
        }
        sockets = []
        for early in exchange(&earlyCertificates, with: []) { replace(early.listener, early.index, early.certificate) }
        supervisor?.send(MessageWriter(.ready).output)
    }

    private func received(certificate message: [UInt8], _ reader: inout MessageReader) {
        defer { Secrets.wipe(message) }
        guard let listener = reader.number(), let index = reader.number(), let chain = reader.bytes(), let key = reader.bytes() else {
            return
        }
        defer {
            Secrets.wipe(key)
            Secrets.wipe(chain)
        }
        guard let certificate = try? Certificate(chainPEM: chain, keyPEM: key) else {
            return report("a certificate that was changed cannot be used here; the one before stays")
        }
        if phase == .starting {
            earlyCertificates.append((Int(clamping: listener), Int(clamping: index), certificate))
        } else {
            replace(Int(clamping: listener), Int(clamping: index), certificate)
        }
    }

    private func replace(_ listener: Int, _ index: Int, _ certificate: Certificate) {
        do {
            try contexts[listener]?.replace(index, with: certificate)
        } catch {
            report("a certificate that was changed cannot be used: \(error.explanation); the one before stays")
        }
    }

    // MARK: - Ending

    /// Takes no more connections and ends with the last one, or at the end of the drain timeout.
    private func drain(closingIdle: Bool) {
        switch phase {
        case .starting, .serving:
            phase = .draining(until: loop.now.adding(settings.drainTimeout))
            streamsEndAt = loop.now.adding(settings.streamDrainTimeout)
        case .streaming where closingIdle: phase = .draining(until: loop.now.adding(settings.drainTimeout))
        case .draining, .streaming, .ending: break
        }
        services.isDraining = true
        path.giveLeasesBack()
        if closingIdle { services.isStopping = true }
        for listener in listeners { if closingIdle { listener.takeLastAndClose() } else { listener.close() } }
        listeners = []
        for socket in sockets { Descriptor(owning: socket.descriptor).discardByClosing() }
        sockets = []
        // After a reload idle clients may send one more request, whose response then tells them to come again.
        for connection in Array(connections.values) { if closingIdle { connection.closeIfIdle() } else { connection.drain() } }
        if connections.isEmpty { loop.stop() }
    }

    /// The drain timeout is over: after a reload streams may go on, when the gateway stops they do not.
    private func requestsAreOver() {
        guard !services.isStopping, streamsEndAt > loop.now else { return endStreams() }
        phase = .streaming(until: streamsEndAt)
        for connection in Array(connections.values) where !connection.carriesStream { connection.abort() }
    }

    /// Other configurations have streams too: those of this one end, and requests have the time that they were promised.
    private func streamsMustEnd() {
        guard services.isDraining else { return }
        streamsEndAt = loop.now
        if case .draining = phase { path.endStreams() } else { endStreams() }
    }

    /// They end in their own terms; what has not by the next tick is cut.
    private func endStreams() {
        phase = .ending
        path.endStreams()
    }

    func connectionBegan(_ connection: any ClientConnection) { connections[ObjectIdentifier(connection)] = connection }

    func connectionEnded(_ connection: any ClientConnection) {
        connections[ObjectIdentifier(connection)] = nil
        if services.isDraining, connections.isEmpty { loop.stop() }
    }

    // MARK: - Redis

    package func storeChanged(_ title: String, isAvailable: Bool, _ reason: String) {
        report("redis \(title) is \(isAvailable ? "back" : "away"): \(reason)")
    }

    package func storeSaid(_ title: String, _ text: String) { report("redis \(title): \(text)") }

    private func received(password message: [UInt8], _ reader: inout MessageReader) {
        defer { Secrets.wipe(message) }
        guard let number = reader.number(), let isOfSentinels = reader.number(), let content = reader.bytes(),
            let index = Int(exactly: number), settings.redis.indices.contains(index)
        else { return }
        defer { Secrets.wipe(content) }
        if settings.redis[index].replacePassword(content, isOfSentinels: isOfSentinels == 1) { redisStores[index].passwordChanged() }
    }

    package func storeSettled() { becomeReadyIfPossible() }

    // MARK: - What the control process knows

    func requestKeys(of issuer: IssuerID) -> Bool {
        guard let control else { return false }
        var message = MessageWriter(.wantKeys)
        message.number(UInt64(issuer.index))
        control.send(message.output)
        return true
    }

    private func resolve(_ host: String, _ addresses: [IPAddress]) {
        for group in groups { group.resolve(host, to: addresses) }
        for store in redisStores { store.resolve(host, to: addresses) }
    }
}

extension Descriptor {
    fileprivate consuming func discardByClosing() {}
}

private let tick = Nanoseconds.milliseconds(250)
private let initialStateWait = Nanoseconds.seconds(3)
