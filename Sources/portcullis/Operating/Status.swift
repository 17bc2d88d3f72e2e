import ArgumentParser
import Authentication
import Observability
import Supervisor
import System

struct Status: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show the running gateway on one screen.",
        discussion:
            "What needs attention stands first, behind a '!'. Ends with 0; with 1 where something needs attention; with 3 where no gateway answers."
    )

    @OptionGroup var admin: AdminOption
    @Flag(help: "Print all that is known as JSON.") var json = false

    func run() throws {
        let socket = try admin.socket
        if json {
            let response = try socket.get("/v1/overview")
            print(String(decoding: response.body, as: UTF8.self), terminator: "")
            if response.status != 200 { throw ExitCode(1) }
            return
        }
        let screen = StatusScreen(try socket.part("overview"), now: Clock.wallSeconds()) { path in
            (try? LocalFiles.read(path)).map { Supervisor.hash(of: $0) }
        }
        print(screen.text, terminator: "")
        if screen.needsAttention { throw ExitCode(1) }
    }
}
