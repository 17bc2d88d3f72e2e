/// How the gateway's processes are, as the supervisor sees it; told to the control process, which tells others.
import Bytes

package struct GatewayState: Equatable, Sendable {
    package struct Worker: Equatable, Sendable {
        package var process: Int32
        package var slot: Int
        /// Whether it takes connections.
        package var isReady: Bool
        package var isDraining: Bool
        /// Whether it is of the configuration that is in force.
        package var isCurrent: Bool
        /// Seconds since 1970.
        package var startedAt: UInt64

        package init(process: Int32, slot: Int, isReady: Bool, isDraining: Bool, isCurrent: Bool, startedAt: UInt64) {
            self.process = process
            self.slot = slot
            self.isReady = isReady
            self.isDraining = isDraining
            self.isCurrent = isCurrent
            self.startedAt = startedAt
        }
    }

    package enum Phase: UInt64, Sendable {
        case starting, serving
        /// About to stop: it still takes connections, and says that it should get no more.
        case leaving
        case stopping
    }

    package var version = ""
    package var process: Int32 = 0
    /// Seconds since 1970; as all moments here.
    package var startedAt: UInt64 = 0
    package var path = ""
    /// Of the file that is in force, and all that it names.
    package var hash = ""
    package var loadedAt: UInt64 = 0
    package var phase = Phase.starting
    /// Whether the last reading of the file took effect.
    package var isLastReloadGood = true
    package var lastReloadAt: UInt64 = 0
    /// What was wrong with it; empty otherwise.
    package var lastReloadError = ""
    package var workers: [Worker] = []
    /// How many the configuration that is in force has when all is well.
    package var workersWanted = 0

    package init() {}

    /// Workers of the configuration in force that do not take connections, those included that are not there.
    package var workersMissing: Int { max(0, workersWanted - workers.count { $0.isCurrent && $0.isReady }) }

    /// Whether all workers of the configuration in force take connections.
    package var isReady: Bool { phase == .serving && workersWanted > 0 && workersMissing == 0 }

    package func write(to writer: inout MessageWriter) {
        writer.text(version)
        writer.number(UInt64(bitPattern: Int64(process)))
        writer.number(startedAt)
        writer.text(path)
        writer.text(hash)
        writer.number(loadedAt)
        writer.number(phase.rawValue)
        writer.number(isLastReloadGood ? 1 : 0)
        writer.number(lastReloadAt)
        writer.text(lastReloadError.prefix(utf8: errorBytesMax))
        writer.number(UInt64(workersWanted))
        writer.number(UInt64(workers.count))
        for worker in workers {
            writer.number(UInt64(bitPattern: Int64(worker.process)))
            writer.number(UInt64(worker.slot))
            writer.number((worker.isReady ? 1 : 0) | (worker.isDraining ? 2 : 0) | (worker.isCurrent ? 4 : 0))
            writer.number(worker.startedAt)
        }
    }

    /// Nil where it is not a state.
    package init?(_ reader: inout MessageReader) {
        guard let version = reader.text(), let process = reader.number(), let startedAt = reader.number(), let path = reader.text(),
            let hash = reader.text(), let loadedAt = reader.number(), let phase = reader.number().flatMap({ Phase(rawValue: $0) }),
            let isGood = reader.number(), let reloadAt = reader.number(), let error = reader.text(), let wanted = reader.number(),
            let count = reader.number(),
            count <= UInt64(ProcessMemory.slotsMax)
        else { return nil }
        self.version = version
        self.process = Int32(truncatingIfNeeded: process)
        self.startedAt = startedAt
        self.path = path
        self.hash = hash
        self.loadedAt = loadedAt
        self.phase = phase
        isLastReloadGood = isGood == 1
        lastReloadAt = reloadAt
        lastReloadError = error
        workersWanted = Int(clamping: wanted)
        for _ in 0..<count {
            guard let process = reader.number(), let slot = reader.number(), slot < UInt64(ProcessMemory.slotsMax),
                let flags = reader.number(), let startedAt = reader.number()
            else { return nil }
            workers.append(
                Worker(
                    process: Int32(truncatingIfNeeded: process), slot: Int(slot), isReady: flags & 1 != 0, isDraining: flags & 2 != 0,
                    isCurrent: flags & 4 != 0,
                    startedAt: startedAt))
        }
    }
}

private let errorBytesMax = 16_384
