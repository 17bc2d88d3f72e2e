import Administration
import ArgumentParser
import Observability

struct LogLevelCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "log-level",
        abstract: "Show or change how much the gateway says of itself.",
        discussion:
            "error, warning, info (at first) or debug, which adds each check of a server, each try that failed and each answer of the DNS. It stays so over reloads and upgrades, until the service is restarted. The logs of requests are not touched."
    )

    @OptionGroup var admin: AdminOption
    @Argument(help: "The level; the present one is shown without it.") var level: String?

    func run() throws {
        let socket = try admin.socket
        guard let level else { return print(try socket.part("config").text("log_level")) }
        guard LogLevel(level) != nil else {
            throw usage("'\(level)' is not a level", "write one of: \(LogLevel.allCases.map(\.word).joined(separator: ", "))")
        }
        let response = try socket.post("/v1/log-level", JSON.object([("level", .text(level))]).line)
        guard response.status == 200 else {
            complain(response.message)
            throw ExitCode(1)
        }
        print(response.message)
    }
}
