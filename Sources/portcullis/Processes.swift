import Gateway
import Logging
import ArgumentParser
import CLinux
import ConfigFile
import Control
import System
import Configuration
import Processes
import Supervisor

/// What the supervisor starts. The descriptors are those of `Supervisor.spawn`: 3 the channel, 4 the bundle, 5 the shared
/// memory, 6 the process's own memory, from 7 on the listening sockets.
private struct Inherited {
    let settings: Settings
    let files: FileBundle
    let memory: HostMemory
    let own: ProcessMemory

    init(config: String) throws {
        ProcessRights.hideMemory()
        // Opened by path, so that each process reads from a position of its own.
        let encoded = try LocalFiles.read("/proc/self/fd/4")
        guard let bundle = FileBundle(encoded: encoded) else { throw ExitCode(1) }
        Secrets.wipe(encoded)
        let diagnostics = Diagnostics()
        settings = Settings(
            config, files: BundledFiles(bundle), environment: Environment.all, processors: ProcessorCount.online, diagnostics)
        guard diagnostics.isEmpty else {
            complain(diagnostics.rendered())
            throw ExitCode(1)
        }
        bundle.wipePrivateKeys()
        files = bundle
        memory = try HostMemory(mapping: Descriptor(owning: 5))
        own = try ProcessMemory(mapping: Descriptor(owning: 6))
        close(4)
        ProcessRights.ignoreSignals([SIGPIPE, SIGINT, SIGHUP, SIGTERM, SIGUSR1])
        try ProcessRights.drop(to: settings.user)
    }
}

struct WorkerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "worker", shouldDisplay: false)

    @OptionGroup var file: ConfigurationOption
    @Option var slot: Int
    @Option(help: "The listener of each inherited socket.") var listeners: String

    func run() throws {
        let inherited = try Inherited(config: file.config)
        let log = makeLogger("portcullis worker \(slot)")
        let indices = listeners.split(separator: ",").compactMap { Int($0) }
        let worker = try Worker(
            settings: inherited.settings, files: inherited.files, memory: inherited.memory, own: inherited.own,
            supervisor: Descriptor(owning: 3),
            sockets: indices.enumerated().map { (listener: $0.element, descriptor: Int32(7 + $0.offset)) },
            report: { log.warning("\($0)") })
        worker.run()
    }
}

struct ControlCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "control", shouldDisplay: false)

    @OptionGroup var file: ConfigurationOption

    func run() throws {
        let inherited = try Inherited(config: file.config)
        let log = makeLogger("portcullis control")
        let control = try ControlProcess(
            settings: inherited.settings, files: inherited.files, environment: Environment.all, memory: inherited.memory,
            own: inherited.own, supervisor: Descriptor(owning: 3), report: { log.warning("\($0)") })
        control.run()
    }
}
