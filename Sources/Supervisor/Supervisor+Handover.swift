import Observability
import Time
import CLinux
import Processes
import System

/// A new executable takes over (SIGUSR2), without a moment at which nobody listens.
///
/// The program is started again from the file that this one was started from. Over descriptor 3 it hears of the listening
/// sockets, the shared memory with its limits, the ticket keys and what the control process has found out; then it starts
/// its own processes. When they take connections it says so, and this supervisor lets its own finish, and ends. A new
/// program that fails before that costs nothing: this one goes on.
extension Supervisor {
    /// The process that is to take over.
    final class Successor {
        let process: pid_t
        let channel: MessageChannel
        let readyBy: Instant

        init(process: pid_t, channel: MessageChannel, readyBy: Instant) {
            self.process = process
            self.channel = channel
            self.readyBy = readyBy
        }
    }

    // MARK: - The old program

    func handOver() {
        guard !isStopping, leavesAt == .never, successor == nil, !generations.contains(where: { $0.readyBy != .never }) else {
            return log.warning("SIGUSR2 is passed over: the gateway is reloading, stopping or handing over already")
        }
        do {
            let (own, childs) = try Socket.pair()
            let ownEnd = Descriptor(owning: own)
            let childEnd = try Descriptor(owning: childs).duplicate(atLeast: descriptorsFrom)
            let process = try Child.start(
                ["run", "--config", path], passing: [childEnd.raw], executable: executable,
                environment: Environment.all.merging([predecessorVariable: String(getpid())]) { $1 })
            let channel = try MessageChannel(ownEnd, on: loop, receiver: self)
            successor = Successor(process: process, channel: channel, readyBy: loop.now.adding(readyWithin + handoverSlack))
            bequeath(to: channel)
            log.info("a new \(executable) is started as process \(process); it takes over as soon as it is ready")
        } catch {
            log.error("a new \(executable) cannot be started, this one goes on: \(error)")
        }
    }

    private func bequeath(to channel: MessageChannel) {
        for (address, descriptor) in sockets.all {
            var message = MessageWriter(.listeningSocket)
            message.text(address.text)
            channel.send(message.output, descriptor: descriptor)
        }
        var message = MessageWriter(.sharedMemory)
        message.number(UInt64(usedSlots.count))
        for slot in usedSlots { message.number(UInt64(slot)) }
        channel.send(message.output, descriptor: memory.memory.descriptor.raw)
        for (slot, memory) in slotMemories {
            var message = MessageWriter(.slotMemory)
            message.number(UInt64(slot))
            channel.send(message.output, descriptor: memory.memory.descriptor.raw)
        }
        channel.send([MessageKind.ticketKeys.rawValue] + ticketKeys)
        channel.send([MessageKind.logLevel.rawValue, log.level.rawValue])
        for message in Array(remembered.values) + events.events.map(EventMessage.output) { channel.send(message) }
        channel.send(MessageWriter(.bequestComplete).output)
    }

    /// The successor takes connections: what is in flight here is finished, then this process ends.
    func retire(for successor: Successor) {
        log.info("process \(successor.process) has taken over; requests in flight are finished here")
        service.handedOver(to: successor.process)
        successor.channel.send(MessageWriter(.handedOver).output)
        for generation in generations { generation.control?.channel?.send(MessageWriter(.leaveLocalSockets).output) }
        // It was told to stop, and the one that comes after it is too.
        if leavesAt != .never { kill(successor.process, SIGTERM) }
        isStopping = true
        sockets.closeAll()
        if reloadsAgain { kill(successor.process, SIGHUP) }
        for asker in exchange(&nextReloadAskers, with: []) {
            answer(asker, isDone: true, "a new program has taken over, which has read the file")
        }
        for generation in generations where !generation.isDraining { drain(generation, closingIdle: false) }
        endIfDone()
    }

    /// The successor ended, or broke off, before it was ready.
    func successorFailed(_ reason: String) {
        guard let failed = successor else { return }
        successor = nil
        kill(failed.process, SIGKILL)
        failed.channel.close()
        log.error("the new executable \(reason); this one goes on")
        refused("the last upgrade was refused: the new program \(reason)")
        reloadIfAskedMeanwhile()
    }

    // MARK: - The new program

    /// The channel to the program that this one is to take over from, if it was started for that.
    static func predecessorChannel(_ environment: [String: String]) throws(SystemError) -> Descriptor? {
        guard let text = environment[predecessorVariable], text == String(getppid()) else { return nil }
        return try Descriptor(owning: 3).duplicate(atLeast: descriptorsFrom)
    }

    func received(bequest message: [UInt8], descriptor: consuming Descriptor?) {
        var reader = MessageReader(message)
        switch reader.kind() {
        case .listeningSocket:
            guard let descriptor, let address = reader.text().flatMap({ SocketAddress($0) }),
                let socket = try? descriptor.duplicate(atLeast: descriptorsFrom)
            else { return }
            sockets.adopt(socket, of: address)
        case .sharedMemory:
            guard let descriptor, let count = reader.number(), count <= UInt64(ProcessMemory.slotsMax) else { return }
            slotsOfPredecessor = Set((0..<count).compactMap { _ in reader.number().flatMap { Int(exactly: $0) } })
            usedSlots.formUnion(slotsOfPredecessor)
            guard let inherited = HostMemory(inherited: descriptor) else {
                return log.warning(
                    "the memory of the program before has another layout: limits kept in memory, how servers are and maintenance start again"
                )
            }
            memory = inherited
        case .slotMemory:
            guard let descriptor, let slot = reader.number(), slot < UInt64(ProcessMemory.slotsMax),
                let memory = ProcessMemory(inherited: descriptor)
            else { return }
            slotMemories[Int(slot)] = memory
        case .handedOver:
            service.isMain = true
            service.ready()
        case .ticketKeys: ticketKeys = Array(message.dropFirst())
        case .logLevel: if let level = LogLevel(message: message) { setLogLevel(level) }
        case .remember: remember(message)
        case .bequestComplete: startFirst()
        default: break
        }
    }

    func predecessorEnded() {
        predecessor = nil
        usedSlots.subtract(slotsOfPredecessor)
        for slot in slotsOfPredecessor {
            slotMemories[slot]?.metrics.clearGauges()
            memory.processEnded(slot: slot)
        }
        // One of an earlier version has not said so.
        service.isMain = true
        if generations.isEmpty {
            log.error("the program that was to hand over its sockets ended before it had")
            exitCode = 1
            loop.stop()
        }
    }
}

private let predecessorVariable = "PORTCULLIS_PREDECESSOR"
/// For reading the configuration, before the workers are waited for.
private let handoverSlack = Nanoseconds.seconds(5)
