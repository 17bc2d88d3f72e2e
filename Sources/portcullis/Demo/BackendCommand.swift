import ArgumentParser
import HTTPMessage
import System

/// The small service behind the demonstration's gateway: tells what it was sent, as JSON.
struct BackendCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "demo-backend", shouldDisplay: false)

    func run() throws {
        let loop = try EventLoop()
        let backend = Backend(Descriptor(owning: 3), loop, respond: Self.response)
        try backend.start()
        loop.run()
    }

    private static func response(to head: borrowing RequestHead) -> String {
        var body = "{\"method\":\"\(head.text(head.methodRange))\",\"target\":\"\(head.text(head.targetRange))\",\"headers\":{"
        var lines: [String] = []
        for line in head.fields.lines {
            lines.append("\"\(head.text(line.name))\":\"\(head.text(line.value).filter { $0 != "\"" && $0 != "\\" })\"")
        }
        body += lines.joined(separator: ",") + "}}\n"
        return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
    }
}
