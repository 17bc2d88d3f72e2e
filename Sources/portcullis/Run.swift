import ArgumentParser
import CLinux
import ConfigFile
import Configuration
import Policy
import Processes
import Supervisor
import System

struct Run: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run the gateway in the foreground.",
        discussion: """
            SIGHUP reads the configuration again; SIGTERM and SIGINT finish the requests in flight and end; SIGUSR1 opens the \
            logs again; SIGUSR2 has a new version of the program take over.
            """)

    @OptionGroup var file: ConfigurationOption

    func run() throws {
        let (settings, files) = try readSettings(file.config)
        ProcessRights.hideMemory()
        ProcessRights.raiseDescriptorLimit()
        ProcessRights.ignoreSignals([SIGPIPE])
        let supervisor: Supervisor
        do {
            supervisor = try Supervisor(
                path: file.config, reader: TestedConfiguration(path: file.config), settings: settings, files: files,
                environment: Environment.all, version: version,
                log: makeLog("portcullis"))
        } catch {
            complain("portcullis: \(error)")
            throw ExitCode(1)
        }
        throw ExitCode(supervisor.run())
    }
}

/// The configuration of this host: the file, held to its own tests.
struct TestedConfiguration: ConfigurationReader {
    let path: String
    var runsTests = true

    func read(files: any FileSource, _ diagnostics: Diagnostics) -> Settings {
        let settings = Settings(path, files: files, environment: Environment.all, processors: ProcessorCount.online, diagnostics)
        if runsTests { PolicyTestRun.check(settings, at: Clock.wallSeconds(), diagnostics) }
        return settings
    }
}

/// Reads the configuration; shows all its errors and exits if there are any.
///
/// - Parameters:
///   - runsTests: whether the file's own tests must hold.
///   - isStrict: whether warnings, which are shown in any case, count as errors.
///   - errorCode: the exit status for a file with errors.
func readSettings(
    _ path: String, runsTests: Bool = true, isStrict: Bool = false, errorCode: Int32 = 1
) throws -> (Settings, FileBundle) {
    let diagnostics = Diagnostics()
    let files = RecordingFiles()
    let settings = TestedConfiguration(path: path, runsTests: runsTests).read(files: files, diagnostics)
    guard diagnostics.isEmpty else {
        complain(diagnostics.rendered())
        complain("\(diagnostics.count) error\(diagnostics.count == 1 ? "" : "s") in \(path)")
        throw ExitCode(errorCode)
    }
    if diagnostics.hasWarnings {
        complain(diagnostics.renderedWarnings())
        if isStrict { throw ExitCode(1) }
    }
    return (settings, files.bundle)
}
