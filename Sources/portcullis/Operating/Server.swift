import Administration
import ArgumentParser

struct Server: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Take a server of an upstream out, so that it is given no more requests, or back in.",
        discussion:
            "What it has under way is finished. It stays so over reloads and upgrades, until it is taken back in or the gateway stops.",
        subcommands: [Drain.self, Undrain.self])

    struct Drain: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Take a server out.")
        @OptionGroup var change: Change
        func run() throws { try change.make("drained") }
    }

    struct Undrain: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Take a server back in.")
        @OptionGroup var change: Change
        func run() throws { try change.make("up") }
    }

    struct Change: ParsableArguments {
        @OptionGroup var admin: AdminOption
        @Argument(help: "The upstream's name.") var upstream: String
        @Argument(help: "The server's address, as it stands in the file.") var server: String

        func make(_ state: String) throws {
            let body = JSON.object([("upstream", .text(upstream)), ("server", .text(server)), ("state", .text(state))]).line
            let response = try admin.socket.post("/v1/servers", body)
            guard response.status == 200 else {
                complain(response.message)
                throw ExitCode(1)
            }
            print(response.message)
        }
    }
}
