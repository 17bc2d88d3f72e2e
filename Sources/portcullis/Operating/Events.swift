import ArgumentParser
import Observability

struct Events: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show what the gateway has said of itself lately.",
        discussion:
            "The last 128 messages of all its processes, over reloads and upgrades, the newest at the end. Standard error has them all, as far as the log level goes."
    )

    @OptionGroup var admin: AdminOption
    @Flag(help: "Print JSON, one object with an array.") var json = false

    func run() throws {
        let socket = try admin.socket
        if json {
            print(String(decoding: try socket.get("/v1/events").body, as: UTF8.self), terminator: "")
            return
        }
        for event in try socket.part("events").list("events") {
            var time: [UInt8] = []
            TimeText.append(min(event.count("at"), 1 << 33) * 1_000_000_000, to: &time)
            print(
                "\(String(decoding: time.prefix(19), as: UTF8.self))Z  \(pad(event.text("level"), 8)) \(pad(event.text("source"), 11)) \(event.text("text"))"
            )
        }
    }
}
