import Bytes
import CLinux
import Configuration
import Observability
import Processes
import System
import TLS
import Time

/// What operators are told, and what they may ask for. The control process answers them; it hears from here how all processes are, and brings
/// here what they want done.
extension Supervisor {
    /// Who waits for the outcome of a command: a control process, and the number by which it knows the command.
    struct Asker {
        let channel: MessageChannel
        let number: UInt64
    }

    // MARK: - Sockets

    /// The addresses of the local sockets of a configuration, and what each is for.
    static func localAddresses(_ settings: Settings) -> [(role: LocalRole, place: Int, address: SocketAddress)] {
        let admin = settings.admin.map { [(LocalRole.admin, 0, $0.address)] } ?? []
        return admin + settings.health.enumerated().map { (LocalRole.health, $0, $1.address) }
    }

    /// Opens the local sockets of a configuration. Where the file does not ask for the socket of operators, it may be missing.
    func openLocalSockets(_ settings: Settings) throws(ListenError) {
        try sockets.open(settings.health.map(\.address), count: 1)
        guard let admin = settings.admin else { return }
        do {
            if admin.isDefault, !LocalFiles.isFolder(admin.folder) { return }
            try sockets.open(admin)
        } catch  where admin.isDefault {
            log.info("operators have no socket: \(error.explanation); name another one with: admin unix:PATH;")
        }
        for restriction in sockets.takeRestrictions() { log.warning("\(restriction)") }
    }

    /// Has the control process of a generation serve the local sockets, and those of others not.
    func serveLocally(_ generation: Generation) {
        for other in generations where other !== generation {
            other.control?.channel?.send(MessageWriter(.leaveLocalSockets).output)
        }
        guard let channel = generation.control?.channel else { return }
        for (role, place, address) in Self.localAddresses(generation.settings) {
            guard let socket = sockets.sockets(of: address).first else { continue }
            var message = MessageWriter(.localSocket)
            message.number(role.rawValue)
            message.number(UInt64(place))
            channel.send(message.output, descriptor: socket)
        }
    }

    // MARK: - State

    /// Tells the control processes how the gateway is.
    func tellState() {
        var message = MessageWriter(.state)
        state.write(to: &message)
        for generation in generations { generation.control?.channel?.send(message.output) }
    }

    private var state: GatewayState {
        var state = GatewayState()
        state.version = version
        state.process = getpid()
        state.startedAt = startedAt
        state.path = path
        let present = generations.last { !$0.isDraining && $0.readyBy == .never } ?? generations.last
        state.hash = present?.hash ?? ""
        state.loadedAt = present?.loadedAt ?? 0
        state.phase = isStopping ? .stopping : leavesAt != .never ? .leaving : present?.readyBy == .never ? .serving : .starting
        state.workersWanted = present?.settings.workers ?? 0
        state.isLastReloadGood = lastReload.error.isEmpty
        state.lastReloadAt = lastReload.at
        state.lastReloadError = lastReload.error
        for generation in generations {
            for worker in generation.workers where worker.process > 0 {
                state.workers.append(
                    GatewayState.Worker(
                        process: worker.process, slot: worker.slot ?? 0, isReady: worker.isReady, isDraining: generation.isDraining,
                        isCurrent: generation === present,
                        startedAt: worker.startedWall))
            }
        }
        return state
    }

    /// By which an operator tells one state of the file from another.
    package static func hash(of file: [UInt8]) -> String {
        var text: [UInt8] = []
        for byte in Digest.sha256(file).prefix(8) { text.append(hexadecimal: UInt64(byte), digits: 2) }
        return String(decoding: text, as: UTF8.self)
    }

    // MARK: - Commands

    /// A control process brings what an operator wants.
    func received(command reader: inout MessageReader, from channel: MessageChannel) {
        guard let number = reader.number(), let word = reader.text() else { return }
        let asker = Asker(channel: channel, number: number)
        switch word {
        case "reload":
            log.info("an operator asks for a reload")
            reload(for: asker)
        case let word where word.hasPrefix("log-level "):
            guard let level = LogLevel(String(word.dropFirst("log-level ".count))) else {
                return answer(asker, isDone: false, "there is no such level")
            }
            setLogLevel(level)
            log.info("an operator has set the log level to \(level.word)")
            answer(asker, isDone: true, "messages of the level \(level.word) and above are written")
        default: answer(asker, isDone: false, "this version of the gateway does not know the command '\(word)'")
        }
    }

    /// Has all processes say so much. It stays so over reloads and upgrades.
    func setLogLevel(_ level: LogLevel) {
        log.level = level
        for member in generations.flatMap(\.members) { tellLogLevel(member) }
    }

    func tellLogLevel(_ member: Generation.Member) { member.channel?.send([MessageKind.logLevel.rawValue, log.level.rawValue]) }

    func answer(_ asker: Asker, isDone: Bool, _ text: String) {
        var message = MessageWriter(.outcome)
        message.number(asker.number)
        message.number(isDone ? 1 : 0)
        message.text(text.prefix(utf8: outcomeBytesMax))
        asker.channel.send(message.output)
    }

    /// A reading of the file has taken effect, or not.
    ///
    /// - Parameter error: what was wrong; empty where it took effect.
    func reloadEnded(error: String) {
        // The first reading is no reload.
        if lastReload.at > 0 { metrics.add(metrics.cell(.configReloads, error.isEmpty ? "success" : "failure")) }
        lastReload = (error, Clock.wallSeconds())
        let askers = exchange(&reloadAskers, with: [])
        for asker in askers { answer(asker, isDone: error.isEmpty, error) }
        tellState()
    }

    // MARK: - Memory

    /// The memory of a slot. What was counted in it stays; every control process adds it to the sum.
    func memory(ofSlot slot: Int) throws -> ProcessMemory {
        if let known = slotMemories[slot], known.metrics.isUsable { return known }
        let memory = try ProcessMemory()
        slotMemories[slot] = memory
        for generation in generations { if let channel = generation.control?.channel { tell(channel, of: memory, slot) } }
        return memory
    }

    func tell(_ channel: MessageChannel, of memory: ProcessMemory, _ slot: Int) {
        var message = MessageWriter(.countingMemory)
        message.number(UInt64(slot))
        channel.send(message.output, descriptor: memory.memory.descriptor.raw)
    }

    /// A slot that no process has; it is this caller's from now on.
    func takeSlot() -> Int? {
        guard let slot = (0..<ProcessMemory.slotsMax).first(where: { !usedSlots.contains($0) }) else { return nil }
        usedSlots.insert(slot)
        return slot
    }
}

private let outcomeBytesMax = 60_000
