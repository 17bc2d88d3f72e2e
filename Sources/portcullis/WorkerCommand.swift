import ArgumentParser
import CLinux
import ConfigFile
import Configuration
import Control
import Gateway
import Observability
import Processes
import Supervisor
import System

struct WorkerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "worker", shouldDisplay: false)

    @OptionGroup var file: ConfigurationOption
    @Option var slot: Int
    @Option(help: "The listener of each inherited socket.") var listeners: String

    func run() throws {
        let inherited = try Inherited(config: file.config)
        let log = makeLog("portcullis worker \(slot)")
        let ring = inherited.own.logRing
        log.keep = { level, text in
            ring.write([level.rawValue] + Array(ProgramEvent(at: 0, level, by: "", text).text.utf8), .event)
        }
        let indices = listeners.split(separator: ",").compactMap { Int($0) }
        let worker = try Worker(
            settings: inherited.settings, files: inherited.files, memory: inherited.memory, own: inherited.own,
            supervisor: Descriptor(owning: 3), slot: slot,
            sockets: indices.enumerated().map { (listener: $0.element, descriptor: Int32(7 + $0.offset)) },
            log: log)
        worker.run()
    }
}
