import CLinux
import ConfigFile
package import EventLoop
package import Gateway
package import Logging
import Observability
import TLS

/// The supervisor: reads the configuration, opens the sockets, starts the processes, starts again what dies, reloads, stops.
/// It never reads a byte of traffic.
package final class Supervisor: EventHandler, TimerHandler, MessageReceiver {
    private let path: String
    private let environment: [String: String]
    private let log: Logger
    private let loop: EventLoop
    private let service: ServiceManager
    private let memory: HostMemory
    private var sockets = ListeningSockets()
    private var generations: [Generation] = []
    private var usedSlots: Set<Int> = []
    private var ticketKeys: [UInt8]
    private var ticketsRotateAt: Instant
    private var signals: Descriptor?
    private var timer: Timer?
    private var isStopping = false
    /// Asked for while one was under way.
    private var reloadsAgain = false
    /// What control processes have found out, by kind and name; the next one starts from it.
    private var remembered: [String: [UInt8]] = [:]
    private var exitCode: Int32 = 0

    /// - Parameters:
    ///   - settings: of the first reading, which had no error.
    ///   - files: what was read for it.
    package init(
        path: String, settings: Settings, files: FileBundle, environment: [String: String], log: Logger
    ) throws {
        self.path = path
        self.environment = environment
        self.log = log
        service = ServiceManager(environment: environment)
        loop = try EventLoop()
        memory = try HostMemory(limitKeys: settings.limitTableKeys)
        ticketKeys = SystemRandom.bytes(TicketKeys.keyBytes)
        ticketsRotateAt = loop.now.adding(ticketRotation)
        try watchSignals()
        timer = Timer(self)
        loop.set(timer!, after: tick)
        try start(settings, files)
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

    // MARK: - Starting processes

    /// Starts the processes of a new generation.
    private func start(_ settings: Settings, _ files: FileBundle) throws {
        if ProcessRights.isRoot, let user = settings.user, !ProcessRights.exists(user: user) { throw StartError.noUser(user) }
        guard usedSlots.count + settings.workers <= HostMemory.slotsMax else { throw StartError.tooManyWorkers }
        let addresses = settings.listeners.map(\.address)
        let before = sockets
        do {
            try sockets.open(addresses, count: settings.workers)
        } catch {
            sockets.restore(before)
            throw StartError.cannotListen(error.explanation)
        }
        let bundle = try LocalFiles.memoryFile(files.encoded).duplicate(atLeast: descriptorsFrom)
        let generation = Generation(
            settings: settings, bundle: bundle, path: path, sockets: addresses.map { sockets.sockets(of: $0) }, before: before)
        generation.readyBy = loop.now.adding(readyWithin)
        generations.append(generation)
        try startControl(generation)
        for number in 0..<settings.workers {
            let slot = (0..<HostMemory.slotsMax).first { !usedSlots.contains($0) } ?? 0
            usedSlots.insert(slot)
            generation.slots.append(slot)
            let worker = Generation.Member(slot: slot, number: number, process: -1, at: loop.now)
            generation.workers.append(worker)
            try start(worker, generation)
        }
    }

    private func startControl(_ generation: Generation) throws {
        let member = Generation.Member(slot: nil, number: 0, process: -1, at: loop.now)
        member.shortLives = generation.control?.shortLives ?? 0
        generation.control = member
        member.channel = try spawn(member, ["control", "--config", path], generation, [])
        sendLogs(generation)
        for message in remembered.values { member.channel?.send(message) }
        for worker in generation.workers where worker.channel != nil { try connect(worker, generation) }
    }

    private func start(_ worker: Generation.Member, _ generation: Generation) throws {
        let own = generation.sockets(of: worker.number)
        var arguments = ["worker", "--config", path, "--slot", String(worker.slot ?? 0)]
        arguments += ["--listeners"] + [own.map { String($0.listener) }.joined(separator: ",")]
        worker.isReady = false
        worker.channel = try spawn(worker, arguments, generation, own.map(\.descriptor))
        worker.channel?.send([MessageKind.ticketKeys.rawValue] + ticketKeys)
        try connect(worker, generation)
    }

    /// Starts a process with its channel, the bundle, the shared memory and `more` at the descriptors from 3 on.
    private func spawn(
        _ member: Generation.Member, _ arguments: [String], _ generation: Generation, _ more: [Int32]
    ) throws -> MessageChannel {
        let (own, childs) = try Socket.pair()
        let ownEnd = Descriptor(owning: own)
        let childEnd = try Descriptor(owning: childs).duplicate(atLeast: descriptorsFrom)
        let memoryCopy = try memory.memory.descriptor.duplicate(atLeast: descriptorsFrom)
        // Each reader of the bundle needs a position of its own, which opening anew gives.
        member.process = try Child.start(arguments, passing: [childEnd.raw, generation.bundle.raw, memoryCopy.raw] + more)
        member.startedAt = loop.now
        member.restartAt = nil
        return try MessageChannel(ownEnd, on: loop, receiver: self)
    }

    /// Connects a worker and the control process of its generation.
    private func connect(_ worker: Generation.Member, _ generation: Generation) throws {
        guard let control = generation.control?.channel, let slot = worker.slot else { return }
        let (first, second) = try Socket.pair()
        worker.channel?.send([MessageKind.controlChannel.rawValue], descriptor: first)
        var message = MessageWriter(.workerChannel)
        message.number(UInt64(slot))
        control.send(message.output, descriptor: second)
        // What could not be sent at once was duplicated.
        close(first)
        close(second)
    }

    /// Opens the logs and hands them to the control process, which writes them.
    private func sendLogs(_ generation: Generation) {
        let targets: [(LogKind, LogTarget)] = [(.access, generation.settings.accessLog), (.security, generation.settings.securityLog)]
        for (kind, target) in targets {
            let message = [MessageKind.log.rawValue, kind.rawValue]
            switch target {
            case .off: continue
            case .stdout: generation.control?.channel?.send(message, descriptor: 1)
            case .stderr: generation.control?.channel?.send(message, descriptor: 2)
            case .file(let file):
                do {
                    let log = try LocalFiles.openLog(file)
                    generation.control?.channel?.send(message, descriptor: log.raw)
                } catch {
                    self.log.error(
                        "cannot open the \(kind) log \(file): \(error.reason); its lines are dropped until it can be opened (SIGUSR1)")
                }
            }
        }
    }

    // MARK: - Messages from children

    package func received(_ message: [UInt8], descriptor: consuming Descriptor?, on channel: MessageChannel) {
        var reader = MessageReader(message)
        let kind = reader.kind()
        if kind == .remember, let what = reader.text(), let name = reader.text() {
            if remembered.count < rememberedMax || remembered["\(what) \(name)"] != nil { remembered["\(what) \(name)"] = message }
            return
        }
        guard kind == .ready else { return }
        for generation in generations {
            guard let worker = generation.workers.first(where: { $0.channel === channel }) else { continue }
            worker.isReady = true
            if generation.isReady { becameReady(generation) }
        }
    }

    package func closed(_ channel: MessageChannel) {
        // The child is about to be reaped; that is where it is seen to.
        for member in generations.flatMap(\.members) where member.channel === channel { member.channel = nil }
    }

    /// A whole generation takes connections: those before it take leave.
    private func becameReady(_ generation: Generation) {
        guard generation.readyBy != .never else { return }
        generation.readyBy = .never
        for older in generations where older !== generation && !older.isDraining { drain(older, closingIdle: false) }
        sockets.keepOnly(generation.settings.listeners.map(\.address))
        service.ready()
        let places = generation.settings.listeners.map(\.address.text).joined(separator: ", ")
        log.info("ready: \(generation.settings.workers) worker(s) take connections at \(places)")
        if reloadsAgain {
            reloadsAgain = false
            reload()
        }
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
            case SIGUSR2: log.warning("handing the sockets to a new executable (SIGUSR2) is not available yet; use SIGHUP to reload")
            case SIGCHLD: reap()
            default: break
            }
        }
    }

    private func reload() {
        guard !isStopping else { return }
        if generations.contains(where: { $0.readyBy != .never }) {
            reloadsAgain = true
            return
        }
        service.reloading()
        let diagnostics = Diagnostics()
        let files = RecordingFiles()
        let settings = Settings(path, files: files, environment: environment, processors: ProcessorCount.online, diagnostics)
        guard diagnostics.isEmpty else {
            log.error("the configuration is not reloaded, the one before stays in force:\n\(diagnostics.rendered())")
            service.ready()
            return
        }
        do {
            try start(settings, files.bundle)
            log.info("reloading \(path)")
        } catch {
            log.error("the configuration is not reloaded, the one before stays in force: \(error)")
            service.ready()
            if let failed = generations.last, failed.readyBy != .never { abandon(failed) }
        }
    }

    private func stop() {
        if isStopping { return }
        isStopping = true
        service.stopping()
        log.info("stopping: requests in flight are finished")
        sockets.closeAll()
        for generation in generations { drain(generation, closingIdle: true) }
        endIfDone()
    }

    private func reopenLogs() {
        for generation in generations { sendLogs(generation) }
        log.info("logs are opened anew")
    }

    /// Sees to children that have ended.
    private func reap() {
        while true {
            var status: Int32 = 0
            // SAFETY: `status` lives for the call.
            let process = unsafe waitpid(-1, &status, WNOHANG)
            guard process > 0 else { break }
            for generation in generations {
                guard let member = generation.members.first(where: { $0.process == process }) else { continue }
                ended(member, of: generation, status)
            }
        }
        endIfDone()
    }

    private func ended(_ member: Generation.Member, of generation: Generation, _ status: Int32) {
        member.process = -1
        member.channel?.close()
        member.channel = nil
        let name = member.slot == nil ? "the control process" : "worker \(member.number)"
        if generation.isDraining {
            if member.slot != nil {
                generation.workers.removeAll { $0 === member }
            } else {
                generation.control = nil
            }
            finishIfDrained(generation)
            return
        }
        let signal = pc_signalled(status)
        log.error("\(name) ended unexpectedly (\(signal != 0 ? "signal \(signal)" : "status \(pc_exited(status))")); it is started again")
        member.shortLives = loop.now.since(member.startedAt) < 1_000_000_000 ? member.shortLives + 1 : 0
        let pause = member.shortLives == 0 ? 0 : min(restartPauseMax, restartPauseFirst << UInt64(min(member.shortLives - 1, 16)))
        member.restartAt = loop.now.adding(pause)
        if pause == 0 { restart(member, generation) }
    }

    private func restart(_ member: Generation.Member, _ generation: Generation) {
        do {
            if member.slot == nil { try startControl(generation) } else { try start(member, generation) }
        } catch {
            log.error("a process cannot be started: \(error)")
            // The control process may have been put in place before it could not be started.
            generation.control?.restartAt = generation.control.flatMap { $0.process < 0 ? loop.now.adding(restartPauseMax) : $0.restartAt }
            member.restartAt = loop.now.adding(restartPauseMax)
        }
    }

    // MARK: - Draining

    private func drain(_ generation: Generation, closingIdle: Bool) {
        generation.isDraining = true
        generation.readyBy = .never
        generation.killAt = loop.now.adding(generation.settings.drainTimeout).adding(killAfterDrain)
        for worker in generation.workers {
            worker.channel?.send([MessageKind.drain.rawValue, closingIdle ? 1 : 0])
        }
        generation.workers.removeAll { $0.process < 0 }
        finishIfDrained(generation)
    }

    /// With the last worker the control process ends too, after it has written the last lines.
    private func finishIfDrained(_ generation: Generation) {
        guard generation.isDraining, generation.workers.isEmpty else { return }
        if let control = generation.control, control.process > 0 {
            control.channel?.send([MessageKind.finish.rawValue])
        } else {
            usedSlots.subtract(generation.slots)
            generations.removeAll { $0 === generation }
        }
    }

    /// Gives up a generation that never became ready.
    private func abandon(_ generation: Generation) {
        for member in generation.members where member.process > 0 { kill(member.process, SIGKILL) }
        if !isStopping { sockets.restore(generation.socketsBefore) }
        drain(generation, closingIdle: true)
    }

    private func endIfDone() {
        if isStopping, generations.isEmpty { loop.stop() }
    }

    package func fired(_ timer: Timer) {
        let now = loop.now
        if ticketsRotateAt <= now { rotateTickets() }
        for generation in generations {
            for member in generation.members {
                if let restartAt = member.restartAt, restartAt <= now, member.process < 0, !generation.isDraining {
                    restart(member, generation)
                }
            }
            if generation.killAt <= now { for member in generation.members where member.process > 0 { kill(member.process, SIGKILL) } }
            if generation.readyBy <= now { notReadyInTime(generation) }
        }
        loop.set(timer, after: tick)
    }

    private func notReadyInTime(_ generation: Generation) {
        if generations.contains(where: { $0 !== generation && !$0.isDraining }) {
            log.error("the new configuration's workers did not become ready; the one before stays in force")
            service.ready()
            abandon(generation)
        } else {
            log.critical("the workers did not become ready within \(readyWithin / 1_000_000_000) s; giving up")
            exitCode = 1
            stop()
            abandon(generation)
        }
    }

    /// A new first key; the two before it can still be read for as long as their tickets live.
    private func rotateTickets() {
        ticketsRotateAt = loop.now.adding(ticketRotation)
        ticketKeys = SystemRandom.bytes(TicketKeys.keyBytes) + ticketKeys.prefix(TicketKeys.keyBytes * (TicketKeys.keysMax - 1))
        for worker in generations.flatMap(\.workers) { worker.channel?.send([MessageKind.ticketKeys.rawValue] + ticketKeys) }
    }
}

/// How many processors this host has at work.
package enum ProcessorCount {
    package static var online: Int { max(1, min(64, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))) }
}

private let tick: UInt64 = 50_000_000
private let readyWithin: UInt64 = 15_000_000_000
private let rememberedMax = 1_024
private let killAfterDrain: UInt64 = 2_000_000_000
private let restartPauseFirst: UInt64 = 100_000_000
private let restartPauseMax: UInt64 = 5_000_000_000
/// OpenSSL's tickets live for two hours; three keys of four hours each cover that.
private let ticketRotation: UInt64 = 4 * 3_600 * 1_000_000_000
