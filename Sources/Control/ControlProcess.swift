import Authentication
import UpstreamHealth
import Time
package import Configuration
package import Observability
package import Processes
import RateLimiting
package import System

/// The control process of one generation: what is slow or not about traffic. Fetches keys, resolves names, writes the logs
/// that the workers leave in their rings.
///
/// When it dies the supervisor starts another; the workers go on with what they last heard.
package final class ControlProcess: MessageReceiver, TimerHandler, KeySetObserver, NameObserver, ServiceObserver {
    private struct Worker {
        let slot: Int
        let channel: MessageChannel
    }

    let loop: EventLoop
    let memory: HostMemory
    private let own: ProcessMemory
    let keySets: KeySets
    let names: Names
    let services: Services
    let checks: HealthChecks
    let certificates: Certificates
    private var spans: SpanExporter?
    var exemplars = Exemplars()
    var supervisor: MessageChannel?
    private var workers: [Worker] = []
    /// The memory of the generation's workers, by slot; a worker's lines stay there when it dies.
    private var slots: [Int: ProcessMemory] = [:]
    /// The memory of all processes that have counted something, by slot.
    var counting: [Int: ProcessMemory] = [:]
    let settings: Settings
    private let metrics: Metrics
    var state = GatewayState()
    private lazy var local = LocalServices(
        settings,
        LocalServices.Sources(
            state: { [unowned self] in state }, scrape: Scrape(on: loop) { [unowned self] in sum() },
            command: { [unowned self] in command($0, $1) }, complaint: { [unowned self] in complaint },
            certificates: { [unowned self] in certificates.json }, servers: { [unowned self] in servers() },
            events: { [unowned self] in events.events }, logLevel: { [unowned self] in log.level },
            setClosed: { [unowned self] in setClosed($0) }, isClosed: { [unowned self] in memory.isClosed },
            setDrained: { [unowned self] in setDrained($0, $1, $2) }, askLimit: { [unowned self] in askLimit($0, $1, $2) }),
        on: loop, report: report)
    var commands: [UInt64: (Bool, String) -> Void] = [:]
    var lastCommand: UInt64 = 0
    lazy var limitQuestions = LimitQuestions(on: loop)
    /// Set when the process is to end, as soon as its last responses are out.
    private var endsAt = Instant.never
    private var logs: [LogKind: Log] = [:]
    private var timer: Timer?
    private var droppedSeen: UInt64 = 0
    private var evictionsTold: UInt64 = 0
    private var limitsTold: [UInt64] = []
    private var limitsToldNext = Instant.past
    private var rememberedAt = Instant.past
    let log: ProgramLog
    /// What the gateway has said of itself lately, the last at the end.
    var events = EventList()
    /// By slot: how much of its worker is told of.
    var eventBudgets: [Int: EventBudget] = [:]

    /// A log file in a class, so that it can stand in a dictionary.
    private final class Log {
        var file: LogFile
        /// Lines that it has dropped, as far as they are counted.
        var told: UInt64 = 0
        init(_ file: consuming LogFile) { self.file = file }
    }

    package init(
        settings: Settings, files: FileBundle, environment: [String: String], memory: HostMemory, own: ProcessMemory,
        version: String, supervisor: consuming Descriptor,
        log: ProgramLog
    ) throws {
        self.settings = settings
        self.memory = memory
        self.own = own
        metrics = Metrics(own.metrics)
        self.log = log
        let report = log.warning
        // What an earlier control process has told is not told again.
        evictionsTold = memory.limitTable.evictions
        loop = try EventLoop()
        keySets = try KeySets(settings, files: files, environment: environment, metrics: metrics, on: loop, report: report)
        names = try Names(settings, on: loop, report: report)
        services = try Services(settings, on: loop, log: log)
        certificates = Certificates(settings, at: loop.wallSeconds, report: report)
        if let tracing = settings.tracing { spans = try SpanExporter(tracing, version: version, metrics, on: loop, report: report) }
        let known = names
        checks = try HealthChecks(
            settings.checkedServers, table: memory.servers, metrics: metrics, addresses: { known.addresses(of: $0) }, on: loop,
            log: log)
        self.supervisor = try MessageChannel(supervisor, on: loop, receiver: self)
        keySets.observer = self
        names.observer = self
        services.observer = self
        limitsTold = Counter.allCases.map { _ in 0 }
        timer = Timer(self)
        loop.set(timer!, after: drainPause)
        log.keep = { [unowned self] level, text in note(ProgramEvent(at: loop.wallSeconds, level, by: "control", text)) }
    }

    func report(_ text: String) { log.warning(text) }

    package func run() {
        own.beat()
        loop.run()
    }

    // MARK: - What has been found out

    func keySetChanged(_ issuer: Int, _ document: [UInt8]) {
        tell(Self.keySet(issuer, document))
        remember()
    }

    func keySetUnchanged(_ issuer: Int, hasFailed: Bool) {
        log.debug {
            "the keys of issuer \(settings.issuers[issuer].name) were asked for: \(hasFailed ? "nobody answers" : "they are what they were")"
        }
        var message = MessageWriter(.keySetUnchanged)
        message.number(UInt64(issuer))
        message.number(hasFailed ? 1 : 0)
        tell(message.output)
        if !hasFailed { rememberSome() }
    }

    func keySetWithdrawn(_ issuer: Int) {
        var message = MessageWriter(.keySetWithdrawn)
        message.number(UInt64(issuer))
        tell(message.output)
    }

    func nameResolved(_ host: String, _ addresses: [IPAddress]) {
        log.debug { "\(host) has the addresses \(addresses.map(\.text).joined(separator: " "))" }
        tell(Self.addresses(host, addresses))
        remember()
    }

    func serviceResolved(_ service: ServiceName, _ servers: [ServiceServer]) {
        tell(Self.service(service, servers))
        let upstreams = settings.names.upstreams.filter { $0.service == service }.map(\.name)
        checks.set(settings.checkedServers(of: service, servers), of: Set(upstreams))
        remember()
    }

    func firstRoundCompleted() { tellIfComplete(workers) }

    private func tell(_ message: [UInt8]) { for channel in workerChannels { channel.send(message) } }

    /// The latest last.
    var workerChannels: [MessageChannel] { workers.map { $0.channel } }

    // MARK: - Messages

    package func received(_ message: [UInt8], descriptor: consuming Descriptor?, on channel: MessageChannel) {
        var reader = MessageReader(message)
        let kind = reader.kind()
        guard channel === supervisor || kind == .wantKeys || kind == .limitAnswer else {
            let slot = workers.first { $0.channel === channel }?.slot ?? -1
            return spendEvent(of: slot) ? report("worker \(slot) sent a message that is not its to send; it was passed over") : ()
        }
        switch kind {
        case .workerChannel:
            guard let descriptor, let slot = reader.number(), slot < UInt64(ProcessMemory.slotsMax) else { return }
            attach(Int(slot), descriptor)
        case .workerMemory:
            guard let descriptor, let slot = reader.number(), slot < UInt64(ProcessMemory.slotsMax) else { return }
            read(Int(slot), descriptor)
        case .countingMemory:
            guard let descriptor, let slot = reader.number(), slot < UInt64(ProcessMemory.slotsMax) else { return }
            counting[Int(slot)] = try? ProcessMemory(mapping: descriptor)
        case .localSocket:
            guard let descriptor, let role = reader.number().flatMap({ LocalRole(rawValue: $0) }), let place = reader.number() else {
                return
            }
            local.serve(descriptor, as: role, place: Int(clamping: place))
        case .certificate: received(certificate: &reader)
        case .clientCertificate: received(clientCertificate: message, &reader)
        case .leaveLocalSockets:
            local.leave()
            checks.stop()
            services.stopTelling()
        case .state: if let told = GatewayState(&reader) { state = told }
        case .logLevel: if let level = LogLevel(message: message) { log.level = level }
        case .outcome:
            guard let number = reader.number(), let isDone = reader.number(), let text = reader.text() else { return }
            commands.removeValue(forKey: number)?(isDone == 1, text)
        case .log:
            guard let descriptor, message.count == 2, let kind = LogKind(rawValue: message[1]) else { return }
            logs[kind]?.file.flush()
            logs[kind] = Log(LogFile(descriptor))
        case .wantKeys: if let issuer = reader.number(), let index = Int(exactly: issuer) { keySets.want(index) }
        case .limitAnswer: if let (number, answer) = LimitMessage.answer(&reader) { limitQuestions.answered(number, answer) }
        case .remember: recall(&reader)
        case .finish: finish()
        default: report("a message that the control process does not know was passed over")
        }
    }

    package func closed(_ channel: MessageChannel) {
        if channel === supervisor {
            supervisor = nil
            for done in exchange(&commands, with: [:]).values { done(false, "the supervisor is gone") }
        }
        workers.removeAll { $0.channel === channel }
        // Without a supervisor the workers finish what they have; their last lines are still written.
        if supervisor == nil, workers.isEmpty { finish() }
    }

    package func fired(_ timer: Timer) {
        own.beat()
        writeLogs()
        tellLimits()
        certificates.tell(at: loop.now, wall: loop.wallSeconds)
        if endsAt <= loop.now || endsAt != .never && !isBusy {
            spans?.dropRest()
            return loop.stop()
        }
        loop.set(timer, after: drainPause)
    }

    private func attach(_ slot: Int, _ descriptor: consuming Descriptor) {
        guard let channel = try? MessageChannel(descriptor, on: loop, receiver: self) else { return }
        let worker = Worker(slot: slot, channel: channel)
        workers.append(worker)
        for (issuer, document) in keySets.known { channel.send(Self.keySet(issuer, document)) }
        for (host, addresses) in names.known { channel.send(Self.addresses(host, addresses)) }
        for (service, servers) in services.known { channel.send(Self.service(service, servers)) }
        tellIfComplete([worker])
    }

    private func read(_ slot: Int, _ descriptor: consuming Descriptor) {
        guard slots[slot] == nil, let memory = try? ProcessMemory(mapping: descriptor) else { return }
        slots[slot] = memory
        // What was counted before is not told again.
        droppedSeen &+= memory.logRing.dropped
        for counter in Counter.allCases { limitsTold[counter.rawValue] &+= memory.counters[counter] }
    }

    /// Tells the supervisor what the next control process should start from: the one of a new generation, or the one after a
    /// crash. So a reload while a key server or a resolver is away changes nothing.
    private func remember() {
        rememberedAt = loop.now
        for (place, document, goodAt) in keySets.remembered {
            var message = MessageWriter(.remember)
            message.text("keys")
            message.text(place)
            message.bytes(document)
            message.number(goodAt)
            supervisor?.send(message.output)
        }
        for (host, addresses) in names.known {
            var message = MessageWriter(.remember)
            message.text("addresses")
            message.text(host)
            message.text(addresses.map(\.text).joined(separator: " "))
            supervisor?.send(message.output)
        }
        for (service, servers) in services.known {
            var message = MessageWriter(.remember)
            message.text("service")
            ServiceMessage.write(service.text, servers, to: &message)
            supervisor?.send(message.output)
        }
    }

    /// Once in a while, because of documents that are still current.
    private func rememberSome() { if loop.now.since(rememberedAt) > rememberPause { remember() } }

    private func recall(_ reader: inout MessageReader) {
        guard let kind = reader.text() else { return }
        switch kind {
        case "service": return ServiceMessage.read(&reader).map { services.recall($0.service, $0.servers) } ?? ()
        case EventMessage.word: return EventMessage.read(&reader).map { events.add($0) } ?? ()
        default: break
        }
        guard let name = reader.text(), let value = reader.bytes() else { return }
        if kind == "keys" {
            keySets.recall(name, value, goodAt: reader.number() ?? 0)
        } else {
            names.recall(name, String(decoding: value, as: UTF8.self).split(separator: " ").compactMap { IPAddress(String($0)) })
        }
    }

    private func tellIfComplete(_ workers: [Worker]) {
        guard keySets.isFirstRoundComplete, names.isFirstRoundComplete, services.isFirstRoundComplete else { return }
        for worker in workers { worker.channel.send(MessageWriter(.initialStateComplete).output) }
    }

    private func writeLogs() {
        var dropped: UInt64 = 0
        for (slot, memory) in slots {
            let ring = memory.logRing
            _ = ring.drain { kind, line in
                switch kind {
                case .access, .security: logs[kind]?.file.append(line)
                case .trace: took(spans: line)
                case .event: took(event: line, of: slot)
                }
            }
            dropped &+= ring.dropped
        }
        for (kind, log) in logs {
            log.file.flush()
            dropped &+= log.file.dropped
            let lost = log.file.dropped &- log.told
            if lost > 0 { metrics.add(metrics.cell(.logLinesDropped, "\(kind)"), lost) }
            log.told = log.file.dropped
        }
        if dropped > droppedSeen {
            let cause = logs.values.compactMap { $0.file.failure }.first ?? "the log cannot be written as fast as requests come"
            report("\(dropped) log lines were dropped so far: \(cause)")
            droppedSeen = dropped &+ dropped / 2
        }
        tellEvictions()
    }

    /// The spans of a request have come from a worker, whose word is not believed beyond that they are spans.
    private func took(spans bytes: [UInt8]) {
        guard let spans, let message = SpanMessage.Reading(bytes) else { return }
        exemplars.take(message, at: loop.wall)
        spans.take(message)
    }

    /// A limit whose key was evicted forgets what it has counted, so the operator should know that the table is too small.
    private func tellEvictions() {
        let evictions = memory.limitTable.evictions
        guard evictions > evictionsTold, evictions / 2 >= evictionsTold else { return }
        report("the limit table is full: \(evictions) keys have given way to others so far; give it more room with limit_table")
        evictionsTold = evictions
    }

    /// Says, now and then, that clients were held back: an operator should hear of it who looks at no metrics.
    private func tellLimits() {
        guard loop.now >= limitsToldNext else { return }
        let counted = heldBack
        let parts = zip(Counter.allCases, zip(counted, limitsTold)).filter { $1.0 > $1.1 }.map { "\($1.0 &- $1.1) \($0.phrase)" }
        limitsTold = counted
        guard !parts.isEmpty else { return }
        limitsToldNext = loop.now.adding(limitsPause)
        report("clients were held back: \(parts.joined(separator: ", ")); see client_limits")
    }

    private var heldBack: [UInt64] {
        Counter.allCases.map { counter in slots.values.reduce(UInt64(0)) { $0 &+ $1.counters[counter] } }
    }

    private func finish() {
        writeLogs()
        local.leave()
        spans?.finish()
        // Who asked for the reload that ends this process is told so first, and the last spans go out.
        if isBusy { endsAt = loop.now.adding(lastResponsesTime) } else { loop.stop() }
    }

    private var isBusy: Bool { local.isBusy || spans?.isBusy == true }

    private static func keySet(_ issuer: Int, _ document: [UInt8]) -> [UInt8] {
        var message = MessageWriter(.keySet)
        message.number(UInt64(issuer))
        message.bytes(document)
        return message.output
    }

    private static func service(_ service: ServiceName, _ servers: [ServiceServer]) -> [UInt8] {
        var message = MessageWriter(.service)
        ServiceMessage.write(service.text, servers, to: &message)
        return message.output
    }

    private static func addresses(_ host: String, _ addresses: [IPAddress]) -> [UInt8] {
        var message = MessageWriter(.addresses)
        message.text(host)
        message.number(UInt64(addresses.count))
        for address in addresses { message.text(address.text) }
        return message.output
    }
}

private let drainPause = Nanoseconds.milliseconds(50)
private let lastResponsesTime = Nanoseconds.seconds(2)
private let limitsPause = Nanoseconds.seconds(10)
private let rememberPause = Nanoseconds.seconds(60)
