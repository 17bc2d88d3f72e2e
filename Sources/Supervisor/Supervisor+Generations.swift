import TLS
import Time
import CLinux
import Configuration
import Observability
import Processes
import System

/// The life of generations: their processes are started, started again when they die, and drained when another has come.
extension Supervisor {
    // MARK: - Starting processes

    /// Starts the processes of a new generation.
    func start(_ settings: Settings, _ files: FileBundle) throws {
        if ProcessRights.isRoot, let user = settings.user, !ProcessRights.exists(user: user) { throw StartError.noUser(user) }
        guard usedSlots.count + settings.workers + 1 <= ProcessMemory.slotsMax else {
            // What holds them are streams of earlier configurations, which end now.
            endOldestStreams(butFor: 0)
            throw StartError.tooManyWorkers
        }
        let addresses = settings.listeners.map(\.address)
        let before = sockets
        do {
            try sockets.open(addresses, count: settings.workers)
            try openLocalSockets(settings)
        } catch {
            sockets.restore(before)
            throw StartError.cannotListen(error.explanation)
        }
        // What was read just now is newer than what is remembered of these files.
        for file in files.contents.keys { remembered["keys \(file)"] = nil }
        let encoded = files.encoded
        defer { Secrets.wipe(encoded) }
        let bundle = try LocalFiles.memoryFile(encoded).duplicate(atLeast: descriptorsFrom)
        let generation = Generation(
            settings: settings, bundle: bundle, variables: files.mentionedVariables, path: path,
            sockets: addresses.map { sockets.sockets(of: $0) }, before: before, hash: Self.hash(of: files.contents[path] ?? []),
            certificates: Self.certificates(settings, files),
            passwords: settings.passwordFiles.map {
                PasswordWatch(store: $0.store, isOfSentinels: $0.isOfSentinels, path: $0.path, content: files.contents[$0.path] ?? [])
            })
        generation.readyBy = loop.now.adding(readyWithin)
        generations.append(generation)
        generation.controlSlot = takeSlot() ?? 0
        generation.slots.append(generation.controlSlot)
        try startControl(generation)
        for number in 0..<settings.workers {
            let slot = takeSlot() ?? 0
            generation.slots.append(slot)
            let memory = try memory(ofSlot: slot)
            let worker = Generation.Member(slot: slot, number: number, process: -1, memory: memory, at: loop.now)
            generation.workers.append(worker)
            try start(worker, generation)
        }
    }

    private static func certificates(_ settings: Settings, _ files: FileBundle) -> [CertificateWatch] {
        func watch(_ use: CertificateWatch.Use, _ pair: CertificateFiles) -> CertificateWatch {
            CertificateWatch(use, files: pair, chain: files.contents[pair.chain] ?? [], key: files.contents[pair.key] ?? [])
        }
        let ofListeners = settings.listeners.enumerated().flatMap { listener, one -> [CertificateWatch] in
            guard case .tls(let tls) = one.role else { return [] }
            return tls.files.enumerated().map { index, pair in watch(.listener(listener, index: index), pair) }
        }
        let ofClients = Set(settings.clientTLS.compactMap(\.files)).sorted { $0.chain < $1.chain }
        return ofListeners + ofClients.map { watch(.client, $0) }
    }

    func startControl(_ generation: Generation) throws {
        let member = Generation.Member(
            slot: nil, number: 0, process: -1, memory: try memory(ofSlot: generation.controlSlot), at: loop.now)
        member.shortLives = generation.control?.shortLives ?? 0
        generation.control = member
        member.channel = try spawn(member, ["control", "--config", path], generation, [])
        sendLogs(generation)
        tellLogLevel(member)
        for message in Array(remembered.values) + events.events.map(EventMessage.output) { member.channel?.send(message) }
        if let channel = member.channel { for (slot, memory) in slotMemories { tell(channel, of: memory, slot) } }
        for worker in generation.workers where worker.channel != nil { try connect(worker, generation) }
        let isAlone = !generations.contains { $0 !== generation && !$0.isDraining }
        if generation.readyBy == .never || isAlone { serveLocally(generation) }
        tellState()
    }

    func start(_ worker: Generation.Member, _ generation: Generation) throws {
        let own = generation.sockets(of: worker.number)
        var arguments = ["worker", "--config", path, "--slot", String(worker.slot ?? 0)]
        arguments += ["--listeners"] + [own.map { String($0.listener) }.joined(separator: ",")]
        worker.isReady = false
        worker.channel = try spawn(worker, arguments, generation, own.map(\.descriptor))
        worker.channel?.send([MessageKind.ticketKeys.rawValue] + ticketKeys)
        tellLogLevel(worker)
        try connect(worker, generation)
    }

    /// Starts a process with its channel, the bundle, the shared memory, its own and `more` at the descriptors from 3 on.
    func spawn(
        _ member: Generation.Member, _ arguments: [String], _ generation: Generation, _ more: [Int32]
    ) throws -> MessageChannel {
        let (own, childs) = try Socket.pair()
        let ownEnd = Descriptor(owning: own)
        let childEnd = try Descriptor(owning: childs).duplicate(atLeast: descriptorsFrom)
        let memoryCopy = try memory.memory.descriptor.duplicate(atLeast: descriptorsFrom)
        let ownCopy = try member.memory.memory.descriptor.duplicate(atLeast: descriptorsFrom)
        member.begin()
        // Each reader of the bundle needs a position of its own, which opening again gives.
        member.process = try Child.start(
            arguments, passing: [childEnd.raw, generation.bundle.raw, memoryCopy.raw, ownCopy.raw] + more,
            environment: Environment.needed(by: generation.variables))
        member.startedAt = loop.now
        member.startedWall = Clock.wallSeconds()
        member.restartAt = nil
        return try MessageChannel(ownEnd, on: loop, receiver: self)
    }

    /// Connects a worker and the control process of its generation.
    func connect(_ worker: Generation.Member, _ generation: Generation) throws {
        guard let control = generation.control?.channel, let slot = worker.slot else { return }
        var memory = MessageWriter(.workerMemory)
        memory.number(UInt64(slot))
        control.send(memory.output, descriptor: worker.memory.memory.descriptor.raw)
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
    func sendLogs(_ generation: Generation) {
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
                    let reason =
                        error.code == ELOOP ? "it is a symbolic link, in a folder where others than root may put one" : error.reason
                    self.log.error(
                        "cannot open the \(kind) log \(file): \(reason); mend that and send SIGUSR1; until then they go where they went before, or nowhere"
                    )
                }
            }
        }
    }

    /// A whole generation takes connections: those before it take leave.
    func becameReady(_ generation: Generation) {
        guard generation.readyBy != .never else { return }
        generation.readyBy = .never
        generation.loadedAt = Clock.wallSeconds()
        // Told before the process that asked for it ends with its generation.
        reloadEnded(error: "")
        serveLocally(generation)
        for older in generations where older !== generation && !older.isDraining { drain(older, closingIdle: false) }
        sockets.keepOnly(generation.settings.listeners.map(\.address) + Self.localAddresses(generation.settings).map(\.address))
        service.ready()
        predecessor?.send(MessageWriter(.ready).output)
        let places = generation.settings.listeners.map(\.address.text).joined(separator: ", ")
        log.info("ready: \(generation.settings.workers) worker(s) take connections at \(places)")
        reloadIfAskedMeanwhile()
    }

    /// Reads the file once more if that was asked for while another reading was taking effect.
    func reloadIfAskedMeanwhile() {
        guard reloadsAgain else { return }
        reloadsAgain = false
        reloadAskers += exchange(&nextReloadAskers, with: [])
        reload()
    }

    // MARK: - Deaths

    func ended(_ member: Generation.Member, of generation: Generation, _ status: Int32) {
        member.process = -1
        member.channel?.close()
        member.channel = nil
        member.memory.metrics.clearGauges()
        if let slot = member.slot { memory.processEnded(slot: slot) }
        defer { tellState() }
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
        if member.slot != nil { metrics.add(metrics.cell(.workerRestarts, member.wasSilent ? "hang" : "crash")) }
        log.error(
            "\(member.name) ended unexpectedly (\(signal != 0 ? "signal \(signal)" : "status \(pc_exited(status))")); it is started again")
        member.shortLives = loop.now.since(member.startedAt) < .seconds(1) ? member.shortLives + 1 : 0
        let pause =
            member.shortLives == 0 ? .zero : min(restartPauseMax, restartPauseFirst * (1 << UInt64(min(member.shortLives - 1, 16))))
        member.restartAt = loop.now.adding(pause)
        if pause == .zero { restart(member, generation) }
    }

    func restart(_ member: Generation.Member, _ generation: Generation) {
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

    func drain(_ generation: Generation, closingIdle: Bool) {
        generation.isDraining = true
        generation.readyBy = .never
        let settings = generation.settings
        let allowed = closingIdle ? settings.drainTimeout : max(settings.drainTimeout, settings.streamDrainTimeout)
        generation.requestsEndAt = loop.now.adding(settings.drainTimeout).adding(killAfterDrain)
        generation.killAt = loop.now.adding(allowed).adding(killAfterDrain)
        for worker in generation.workers {
            worker.channel?.send([MessageKind.drain.rawValue, closingIdle ? 1 : 0])
        }
        generation.workers.removeAll { $0.process < 0 }
        // While the gateway stops it still tells that it does.
        if !isStopping { generation.control?.channel?.send(MessageWriter(.leaveLocalSockets).output) }
        finishIfDrained(generation)
        endOldestStreams()
    }

    /// Where many configurations still have streams, those of the oldest end.
    ///
    /// - Parameter most: how many may keep theirs.
    private func endOldestStreams(butFor most: Int = drainingMax) {
        for generation in generations.filter(\.isDraining).dropLast(most) {
            let end = max(generation.requestsEndAt, loop.now.adding(killAfterDrain))
            guard generation.killAt > end else { continue }
            generation.killAt = end
            for worker in generation.workers { worker.channel?.send(MessageWriter(.endStreams).output) }
        }
    }

    /// With the last worker the control process ends too, after it has written the last lines.
    func finishIfDrained(_ generation: Generation) {
        guard generation.isDraining, generation.workers.isEmpty else { return }
        if let control = generation.control, control.process > 0 {
            control.channel?.send([MessageKind.finish.rawValue])
        } else {
            usedSlots.subtract(generation.slots)
            generations.removeAll { $0 === generation }
        }
    }

    /// Gives up a generation that never became ready as a whole. Those of its workers that take connections answer what they
    /// have taken.
    func abandon(_ generation: Generation) {
        for worker in generation.workers where worker.process > 0 && !worker.isReady { kill(worker.process, SIGKILL) }
        if !isStopping {
            sockets.restore(generation.socketsBefore)
            if let present = generations.last(where: { $0 !== generation && !$0.isDraining }) { serveLocally(present) }
        }
        drain(generation, closingIdle: true)
    }

    func notReadyInTime(_ generation: Generation) {
        if generations.contains(where: { $0 !== generation && !$0.isDraining }) {
            log.error("the new configuration's workers did not become ready; the one before stays in force")
            service.ready()
            abandon(generation)
            reloadEnded(error: "its workers did not become ready within \(readyWithin.seconds) s; the log says more")
            reloadIfAskedMeanwhile()
        } else {
            log.error("the workers did not become ready within \(readyWithin.seconds) s; giving up")
            exitCode = 1
            stop()
            abandon(generation)
        }
    }
}

let readyWithin = Nanoseconds.seconds(15)
/// Earlier configurations that may have streams.
private let drainingMax = 4
private let killAfterDrain = Nanoseconds.seconds(2)
private let restartPauseFirst = Nanoseconds.milliseconds(100)
private let restartPauseMax = Nanoseconds.seconds(5)
