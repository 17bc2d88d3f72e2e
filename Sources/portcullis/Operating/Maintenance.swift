import Administration
import ArgumentParser

struct Maintenance: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Close the gateway for maintenance, or open it again.",
        discussion:
            "Requests get 503 with Retry-After, but for routes that have `maintenance off;` and clients that `except` names. It stays so over reloads and upgrades, until the service is restarted.",
        subcommands: [On.self, Off.self])

    struct On: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Close the gateway.")
        @OptionGroup var admin: AdminOption
        func run() throws { try Maintenance.set("on", admin) }
    }

    struct Off: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Open the gateway.")
        @OptionGroup var admin: AdminOption
        func run() throws { try Maintenance.set("off", admin) }
    }

    private static func set(_ state: String, _ admin: AdminOption) throws {
        let response = try admin.socket.post("/v1/maintenance", JSON.object([("state", .text(state))]).line)
        guard response.status == 200 else {
            complain(response.message)
            throw ExitCode(1)
        }
        print(response.message)
    }
}
