import Time
import CLinux
import Configuration
import Observability
import Processes
import System
import TLS

/// The processes that serve one reading of the configuration: a control process and the workers.
final class Generation {
    final class Member {
        /// Nil for the control process.
        let slot: Int?
        /// Which worker of the generation it is; decides which listening sockets it has.
        let number: Int
        var process: pid_t
        var channel: MessageChannel?
        var isReady = false
        var startedAt: Instant
        /// Deaths in a row without a second of life between them.
        var shortLives = 0
        var restartAt: Instant?
        let memory: ProcessMemory
        /// When the process was started, in seconds since 1970.
        var startedWall: UInt64 = 0
        private var beatsSeen: UInt64 = 0
        private var silentTicks = 0
        /// Whether it was ended for its silence.
        var wasSilent = false
        /// As above, also where the process was told to end for it.
        private var deafTicks = 0

        init(slot: Int?, number: Int, process: pid_t, memory: ProcessMemory, at now: Instant) {
            self.slot = slot
            self.memory = memory
            self.number = number
            self.process = process
            startedAt = now
        }

        var name: String { slot == nil ? "the control process" : "worker \(number)" }

        /// Another process begins its life as this member.
        func begin() {
            memory.begin()
            beatsSeen = 0
            silentTicks = 0
            deafTicks = 0
            wasSilent = false
        }

        /// Whether it could not even be ended for its silence.
        var isDeaf: Bool { deafTicks > 2 * silentTicksMax }

        /// Called at every tick: whether the process has not gone on with its work, or not begun it, for too long.
        func isSilent() -> Bool {
            let beats = memory.beats
            silentTicks = beats == beatsSeen ? silentTicks + 1 : 0
            deafTicks = beats == beatsSeen ? deafTicks + 1 : 0
            beatsSeen = beats
            guard silentTicks >= (beats == 0 ? 3 * silentTicksMax : silentTicksMax) else { return false }
            silentTicks = 0
            return true
        }
    }

    let settings: Settings
    private(set) var bundle: Descriptor
    /// The certificates of its listeners.
    let certificates: [CertificateWatch]
    /// The passwords of its Redis servers that stand in files.
    let passwords: [PasswordWatch]
    /// The variables of the environment that the configuration names.
    let variables: Set<String>
    let path: String
    /// For each listener of the settings, the sockets of its address.
    let sockets: [[Int32]]
    var control: Member?
    var workers: [Member] = []
    var isDraining = false
    var readyBy = Instant.never
    var killAt = Instant.never
    /// Until then requests may take their time, whatever becomes of streams.
    var requestsEndAt = Instant.past
    /// What was listened on before this generation; to go back to if it never becomes ready.
    let socketsBefore: ListeningSockets
    /// The slots of all its processes; free again when the control process has read their last lines.
    var slots: [Int] = []
    /// Of them, that of the control process.
    var controlSlot = 0
    /// Of the files that it was read from.
    let hash: String
    /// Since when it is in force, in seconds since 1970.
    var loadedAt: UInt64 = 0

    init(
        settings: Settings, bundle: consuming Descriptor, variables: Set<String>, path: String, sockets: [[Int32]],
        before: ListeningSockets,
        hash: String, certificates: [CertificateWatch], passwords: [PasswordWatch]
    ) {
        self.certificates = certificates
        self.passwords = passwords
        self.hash = hash
        self.settings = settings
        self.bundle = bundle
        self.variables = variables
        self.path = path
        self.sockets = sockets
        socketsBefore = before
    }

    /// Puts files that have changed into the bundle, for processes that are started from now on.
    func replace(_ files: [String: [UInt8]]) throws(SystemError) {
        let before = try LocalFiles.read("/proc/self/fd/\(bundle.raw)")
        defer { Secrets.wipe(before) }
        guard var decoded = FileBundle(encoded: before) else { return }
        defer { decoded.wipePrivateKeys() }
        for (path, content) in files {
            if let before = decoded.contents[path] { Secrets.wipe(before) }
            // A copy: what is wiped below is not the caller's.
            decoded.contents[path] = content.map { $0 }
        }
        let encoded = decoded.encoded
        defer { Secrets.wipe(encoded) }
        bundle = try LocalFiles.memoryFile(encoded).duplicate(atLeast: descriptorsFrom)
    }

    var isReady: Bool { workers.allSatisfy(\.isReady) }
    var members: [Member] { workers + (control.map { [$0] } ?? []) }

    /// The listening sockets of a worker, each with the index of its listener: every one is some worker's.
    func sockets(of number: Int) -> [(listener: Int, descriptor: Int32)] {
        var own: [(Int, Int32)] = []
        for (listener, group) in sockets.enumerated() {
            for (index, descriptor) in group.enumerated() where index % settings.workers == number { own.append((listener, descriptor)) }
        }
        return own
    }
}
