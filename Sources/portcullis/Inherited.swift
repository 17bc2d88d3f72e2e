import ArgumentParser
import CLinux
import ConfigFile
import Configuration
import Control
import Gateway
import Logging
import Processes
import Supervisor
import System

/// What the supervisor starts. The descriptors are those of `Supervisor.spawn`: 3 the channel, 4 the bundle, 5 the shared
/// memory, 6 the process's own memory, from 7 on the listening sockets.
struct Inherited {
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
            config, files: BundledFiles(bundle), environment: Environment.all, processors: ProcessorCount.online, keepsTests: false,
            diagnostics)
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
