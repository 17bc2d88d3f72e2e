import Time
import CLinux
import ConfigFile
package import Configuration
package import Observability
package import Processes
package import System
import TLS

/// The supervisor: reads the configuration, opens the sockets, starts the processes, starts again what dies, reloads, stops.
/// It never reads a byte of traffic.
package final class Supervisor: EventHandler, TimerHandler, MessageReceiver {
    let path: String
    private let reader: any ConfigurationReader
    let environment: [String: String]
    let log: ProgramLog
    let loop: EventLoop
    var service: ServiceManager
    let version: String
    /// In seconds since 1970.
    let startedAt = Clock.wallSeconds()
    var memory: HostMemory
    /// What each process's slot shares with the supervisor and the control process; kept for the next process of the slot.
    var slotMemories: [Int: ProcessMemory] = [:]
    var sockets = ListeningSockets()
    var generations: [Generation] = []
    var usedSlots: Set<Int> = []
    var ticketKeys: [UInt8]
    private var ticketsRotateAt: Instant
    private var signals: Descriptor?
    private var timer: Timer?
    var isStopping = false
    /// When the gateway begins to stop, of which health tells already.
    var leavesAt = Instant.never
    /// Asked for while one was under way.
    var reloadsAgain = false
    /// Who waits for the reload that is under way, and for the one after it.
    var reloadAskers: [Asker] = []
    var nextReloadAskers: [Asker] = []
    /// What was wrong with the last reading of the file, and when that was found, in seconds since 1970.
    var lastReload: (error: String, at: UInt64) = ("", 0)
    /// What this process counts itself.
    private(set) lazy var metrics = Metrics(ownMemory.metrics)
    private var ownMemory: ProcessMemory
    private var watchdogAt = Instant.past
    var certificatesLookedAt = Instant.past
    /// What control processes have found out, by kind and name; the next one starts from it.
    var remembered: [String: [UInt8]] = [:]
    /// What the gateway has said of itself lately.
    private(set) var events = EventList()
    var exitCode: Int32 = 0
    /// Reloads and upgrades that were refused since the start.
    private var refusedChanges = 0
    /// The file that this program was started from, where a newer one may stand by now.
    let executable: String
    /// While and after a new executable takes over.
    var successor: Successor?
    /// The program that this one takes over from, until it ends.
    var predecessor: MessageChannel?
    /// Of the predecessor's workers, in the shared memory.
    var slotsOfPredecessor: Set<Int> = []
    /// What the first generation is started with.
    private var first: (settings: Settings, files: FileBundle)?

    /// - Parameters:
    ///   - path: of the configuration, for messages and children.
    ///   - reader: reads it at a reload.
    ///   - settings: of the first reading, which had no error.
    ///   - files: what was read for it.
    package init(
        path: String, reader: any ConfigurationReader, settings: Settings, files: FileBundle, environment: [String: String],
        version: String,
        log: ProgramLog
    ) throws {
        self.version = version
        self.path = path
        self.reader = reader
        self.environment = environment
        self.log = log
        executable = try Self.ownPath(environment)
        let channel = try Self.predecessorChannel(environment)
        service = ServiceManager(environment: environment, isMain: channel == nil)
        loop = try EventLoop()
        ownMemory = try ProcessMemory()
        memory = try HostMemory(limitKeys: settings.limitTableKeys)
        ticketKeys = SystemRandom.bytes(TicketKeys.keyBytes)
        ticketsRotateAt = loop.now.adding(settings.ticketRotation)
        log.keep = { [unowned self] in note($0, $1) }
        try watchSignals()
        timer = Timer(self)
        loop.set(timer!, after: tick)
        first = (settings, files)
        if let channel {
            predecessor = try MessageChannel(channel, on: loop, receiver: self)
        } else {
            try startFirstGeneration()
        }
    }

    /// The path that this program was called by, links and all, so that a link that leads to a newer version is followed again.
    private static func ownPath(_ environment: [String: String]) throws -> String {
        let name = CommandLine.arguments.first ?? ""
        let current = try LocalFiles.target(ofLink: "/proc/self/exe")
        var candidates: [String] = []
        if name.hasPrefix("/") {
            candidates = [name]
        } else if name.contains("/") {
            candidates = ["\(try LocalFiles.target(ofLink: "/proc/self/cwd"))/\(name)"]
        } else {
            candidates = (environment["PATH"] ?? "").split(separator: ":").map { "\($0)/\(name)" }
        }
        // What is called otherwise than it was started is found where it is.
        return candidates.first { LocalFiles.signature(of: $0) != nil && LocalFiles.signature(of: $0) == LocalFiles.signature(of: current) }
            ?? current
    }

    private func startFirstGeneration() throws {
        guard let (settings, files) = first else { return }
        defer { files.wipePrivateKeys() }
        first = nil
        if let slot = takeSlot() { ownMemory = try memory(ofSlot: slot) }
        try start(settings, files)
    }

    /// As ``init``, once the predecessor has handed over.
    func startFirst() {
        do {
            try startFirstGeneration()
        } catch {
            log.error("\(error)")
            exitCode = 1
            stop()
            if let failed = generations.last { abandon(failed) }
            endIfDone()
        }
    }

    /// Runs until the gateway has stopped; the exit status.
    package func run() -> Int32 {
        loop.run()
        return exitCode
    }

    package enum StartError: Error, CustomStringConvertible {
        case cannotListen(String)
        case noUser(String)
        case tooManyWorkers

        package var description: String {
            switch self {
            case .cannotListen(let reason): reason
            case .noUser(let user): "there is no user '\(user)' on this host; create it or name another with: user NAME;"
            case .tooManyWorkers: "too many workers of earlier configurations are still finishing their requests; try again later"
            }
        }
    }

    // MARK: - Messages from children

    package func received(_ message: [UInt8], descriptor: consuming Descriptor?, on channel: MessageChannel) {
        if channel === predecessor { return received(bequest: message, descriptor: descriptor) }
        var reader = MessageReader(message)
        let kind = reader.kind()
        if kind == .remember {
            // Workers meet the world; only a control process is believed what it has fetched.
            if generations.contains(where: { $0.control?.channel === channel }) { remember(message, from: channel) }
            return
        }
        if kind == .command {
            if generations.contains(where: { $0.control?.channel === channel }) { received(command: &reader, from: channel) }
            return
        }
        guard kind == .ready else { return }
        if let successor, channel === successor.channel { return retire(for: successor) }
        for generation in generations {
            guard let worker = generation.workers.first(where: { $0.channel === channel }) else { continue }
            worker.isReady = true
            if generation.isReady { becameReady(generation) }
            tellState()
        }
    }

    /// - Parameter channel: of the control process that has told; nil for a program that hands over.
    func remember(_ message: [UInt8], from channel: MessageChannel? = nil) {
        var reader = MessageReader(message)
        guard reader.kind() == .remember, let what = reader.text() else { return }
        if what == EventMessage.word { return EventMessage.read(&reader).map { keep($0, from: channel) } ?? () }
        guard let name = reader.text() else { return }
        if remembered.count < rememberedMax || remembered["\(what) \(name)"] != nil { remembered["\(what) \(name)"] = message }
    }

    /// A control process that starts later is to know of it.
    private func keep(_ event: ProgramEvent, from channel: MessageChannel?) {
        events.add(event)
        let message = EventMessage.output(event)
        for other in generations.compactMap({ $0.control?.channel }) + [successor?.channel].compactMap(\.self) where other !== channel {
            other.sendIfIdle(message)
        }
    }

    /// The supervisor has said something.
    private func note(_ level: LogLevel, _ text: String) {
        keep(ProgramEvent(at: Clock.wallSeconds(), level, by: "supervisor", text), from: nil)
    }

    package func closed(_ channel: MessageChannel) {
        if channel === predecessor { return predecessorEnded() }
        if channel === successor?.channel, !isStopping { return successorFailed("ended before it was ready") }
        // The child is about to be reaped; that is where it is seen to.
        for member in generations.flatMap(\.members) where member.channel === channel { member.channel = nil }
    }

    // MARK: - Signals

    private func watchSignals() throws {
        var set = sigset_t()
        // SAFETY: the set lives for the calls.
        unsafe sigemptyset(&set)
        for number in [SIGHUP, SIGTERM, SIGINT, SIGCHLD, SIGUSR1, SIGUSR2] { unsafe _ = sigaddset(&set, number) }
        unsafe sigprocmask(SIG_BLOCK, &set, nil)
        let raw = unsafe signalfd(-1, &set, pc_signalfd_flags)
        guard raw >= 0 else { throw SystemError("signalfd") }
        _ = try loop.watch(raw, for: .readable, self)
        signals = Descriptor(owning: raw)
    }

    package func handle(_ readiness: Readiness) {
        guard let raw = signals?.raw else { return }
        while true {
            var info = signalfd_siginfo()
            // SAFETY: the structure is of the size given.
            let count = unsafe withUnsafeMutableBytes(of: &info) { unsafe read(raw, $0.baseAddress, $0.count) }
            guard count > 0 else { return }
            switch Int32(info.ssi_signo) {
            case SIGHUP: reload()
            case SIGTERM, SIGINT: stop()
            case SIGUSR1: reopenLogs()
            case SIGUSR2: handOver()
            case SIGCHLD: reap()
            default: break
            }
        }
    }

    /// - Parameter asker: who is told what became of it.
    func reload(for asker: Asker? = nil) {
        guard !isStopping, leavesAt == .never else {
            if let asker { answer(asker, isDone: false, "the gateway is stopping") }
            return
        }
        if successor != nil || generations.contains(where: { $0.readyBy != .never }) {
            reloadsAgain = true
            if let asker { nextReloadAskers.append(asker) }
            return
        }
        if let asker { reloadAskers.append(asker) }
        service.reloading()
        let diagnostics = Diagnostics()
        let files = RecordingFiles()
        defer { files.bundle.wipePrivateKeys() }
        let settings = reader.read(files: files, diagnostics)
        guard diagnostics.isEmpty else {
            log.error("the configuration is not reloaded, the one before stays in force:\n\(diagnostics.rendered())")
            refused("the last reload was refused: \(diagnostics.messages.first ?? "")")
            return reloadEnded(error: diagnostics.rendered())
        }
        if diagnostics.hasWarnings { log.warning("\(path) says what is hardly meant:\n\(diagnostics.renderedWarnings())") }
        do {
            try start(settings, files.bundle)
            log.info("reloading \(path)")
        } catch {
            log.error("the configuration is not reloaded, the one before stays in force: \(error)")
            refused("the last reload was refused: \(error)")
            if let failed = generations.last, failed.readyBy != .never { abandon(failed) }
            reloadEnded(error: "\(error)")
        }
    }

    /// Counts a reload or an upgrade that did not come about, and tells the service manager.
    func refused(_ what: String) {
        refusedChanges += 1
        service.refused(what, count: refusedChanges)
    }

    /// Stops, after a while in which health says that it will; at once when asked again.
    func stop() {
        if isStopping {
            // What a successor has left to finish here is to end sooner.
            for generation in generations { drain(generation, closingIdle: true) }
            return
        }
        // A successor that is not yet ready is to stop too: it would go on alone.
        if let successor { kill(successor.process, SIGTERM) }
        let delay = generations.last { $0.readyBy == .never }?.settings.shutdownDelay ?? .zero
        if delay > .zero, leavesAt == .never, exitCode == 0 {
            leavesAt = loop.now.adding(delay)
            service.stopping()
            log.info("stopping in \(delay.milliseconds) ms: /readyz says no from now on")
            return tellState()
        }
        isStopping = true
        service.stopping()
        log.info("stopping: requests in flight are finished")
        tellState()
        sockets.closeAll()
        for generation in generations { drain(generation, closingIdle: true) }
        endIfDone()
    }

    private func reopenLogs() {
        for generation in generations { sendLogs(generation) }
        log.info("logs are opened again")
    }

    /// Sees to children that have ended.
    private func reap() {
        while true {
            var status: Int32 = 0
            // SAFETY: `status` lives for the call.
            let process = unsafe waitpid(-1, &status, WNOHANG)
            guard process > 0 else { break }
            if process == successor?.process, !isStopping {
                successorFailed(
                    pc_signalled(status) != 0 ? "ended by signal \(pc_signalled(status))" : "ended with status \(pc_exited(status))")
            }
            for generation in generations {
                guard let member = generation.members.first(where: { $0.process == process }) else { continue }
                ended(member, of: generation, status)
            }
        }
        endIfDone()
    }

    func endIfDone() {
        if isStopping, generations.isEmpty { loop.stop() }
    }

    package func fired(_ timer: Timer) {
        let now = loop.now
        if ticketsRotateAt <= now { rotateTickets() }
        if leavesAt <= now, !isStopping { stop() }
        if let successor, !isStopping, successor.readyBy <= now { successorFailed("was not ready in time") }
        for generation in generations {
            for member in generation.members {
                if member.process > 0, member.isSilent() {
                    log.error("\(member.name) has given no sign of life for \(silentTicksMax / 20) s or more; it is ended")
                    member.wasSilent = true
                    kill(member.process, SIGKILL)
                }
                if let restartAt = member.restartAt, restartAt <= now, member.process < 0, !generation.isDraining {
                    restart(member, generation)
                }
            }
            if generation.killAt <= now { for member in generation.members where member.process > 0 { kill(member.process, SIGKILL) } }
            if generation.readyBy <= now { notReadyInTime(generation) }
        }
        lookAtCertificates(now)
        tellWatchdog(now)
        loop.set(timer, after: tick)
    }

    /// systemd is told that all is well while every process goes on with its work.
    private func tellWatchdog(_ now: Instant) {
        guard let interval = service.watchdogInterval, watchdogAt <= now else { return }
        watchdogAt = now.adding(interval)
        if !generations.flatMap(\.members).contains(where: { $0.process > 0 && $0.isDeaf }) { service.alive() }
    }

    /// A new first key; the two before it can still be read for as long as their tickets live.
    private func rotateTickets() {
        let interval = generations.last?.settings.ticketRotation ?? .zero
        ticketsRotateAt = loop.now.adding(interval)
        ticketKeys = SystemRandom.bytes(TicketKeys.keyBytes) + ticketKeys.prefix(TicketKeys.keyBytes * (TicketKeys.keysMax - 1))
        for worker in generations.flatMap(\.workers) { worker.channel?.send([MessageKind.ticketKeys.rawValue] + ticketKeys) }
    }
}

/// How many processors this host has at work.
package enum ProcessorCount {
    package static var online: Int { max(1, min(64, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))) }
}

private let tick = Nanoseconds.milliseconds(50)
/// Of this process's own time, so that a host that was asleep is no reason.
let silentTicksMax = 200
private let rememberedMax = 1_024
