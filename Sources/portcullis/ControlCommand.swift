import Observability
import ArgumentParser
import CLinux
import ConfigFile
import Configuration
import Control
import Gateway
import Processes
import Supervisor
import System

struct ControlCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "control", shouldDisplay: false)

    @OptionGroup var file: ConfigurationOption

    func run() throws {
        let inherited = try Inherited(config: file.config)
        let log = makeLog("portcullis control")
        let control = try ControlProcess(
            settings: inherited.settings, files: inherited.files, environment: Environment.all, memory: inherited.memory,
            own: inherited.own, version: version, supervisor: Descriptor(owning: 3), log: log)
        control.run()
    }
}
