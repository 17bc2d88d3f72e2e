import ArgumentParser
import Logging
import Observability
import System

/// The command line.
@main
struct Portcullis: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "portcullis",
        abstract: "A reverse proxy that verifies tokens, checks scopes and limits rates in its own process.",
        version: version,
        subcommands: [
            Run.self, Check.self, Reload.self, Status.self, Top.self, Health.self, Server.self, Maintenance.self, LimitCommand.self,
            Events.self,
            LogLevelCommand.self, Fmt.self, Explain.self,
            Test.self,
            ImportNginx.self,
            Demo.self,
            JWS.self, Token.self, WorkerCommand.self,
            ControlCommand.self,
            BackendCommand.self, TrialServiceCommand.self,
        ])

    static func main() {
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch  where exitCode(for: error) == .validationFailure && tellsByStatus {
            complain(fullMessage(for: error))
            exit(withError: ExitCode(2))
        } catch {
            exit(withError: error)
        }
    }

    /// Whether the command's own statuses are documented, among which 2 is for a wrong command line.
    private static var tellsByStatus: Bool { ["explain", "test"].contains(CommandLine.arguments.dropFirst().first) }
}

/// The option that names the configuration file.
struct ConfigurationOption: ParsableArguments {
    @Option(name: [.short, .customLong("config")], help: "The configuration file.")
    var config = "/etc/portcullis/gateway.conf"
}

/// Messages of the program itself go to standard error.
func makeLog(_ part: String) -> ProgramLog {
    var logger = Logger(label: part) { StreamLogHandler.standardError(label: $0) }
    logger.logLevel = .debug
    return ProgramLog { [logger] level, text in
        switch level {
        case .error: logger.error("\(text)")
        case .warning: logger.warning("\(text)")
        case .info: logger.info("\(text)")
        case .debug: logger.debug("\(text)")
        }
    }
}

/// Writes to standard error, for what is said before or instead of running.
func complain(_ text: String) { say(text, to: 2) }

/// Writes a text and a line feed at once, past any buffer.
func say(_ text: String, to descriptor: Int32 = 1) {
    var bytes = Array(text.utf8)
    if bytes.last != 0x0A { bytes.append(0x0A) }
    var written = 0
    while written < bytes.count {
        guard case .moved(let count) = SystemIO.write(descriptor, bytes.span.extracting(written..<bytes.count)) else { return }
        written += count
    }
}
