import ArgumentParser
import Authentication
import CLinux
import System
import Time

struct Top: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show what goes through the running gateway, by route, as it changes.",
        discussion:
            "The busiest routes first. On a terminal the screen is written again each time; elsewhere one follows the other. End it with Control-C."
    )

    @OptionGroup var admin: AdminOption
    @Option(help: "Seconds from one screen to the next.") var interval = 2
    @Option(help: "How many screens to show; 0 for no end.") var screens = 0
    @Option(help: "How many routes to show.") var routes = 20

    func validate() throws {
        guard (1...3_600).contains(interval), screens >= 0, routes > 0 else {
            throw ValidationError("--interval is from 1 to 3600, --screens at least 0, --routes at least 1")
        }
    }

    func run() throws {
        let socket = try admin.socket
        let isTerminal = isatty(1) == 1
        var before = (try socket.part("routes"), Clock.now())
        var shown = 0
        while screens == 0 || shown < screens {
            sleep(UInt32(interval))
            let present = (try socket.part("routes"), Clock.now())
            let screen = TopScreen(from: before.0, to: present.0, over: present.1.since(before.1), rows: routes)
            say((isTerminal ? "\u{1B}[H\u{1B}[J" : "") + screen.text)
            before = present
            shown += 1
        }
    }
}
