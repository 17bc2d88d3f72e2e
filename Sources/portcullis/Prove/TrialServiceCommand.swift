import ArgumentParser
import HTTPMessage
import System

/// The services of a trial: each tells what it was sent, and at the paths of authorizers one decides by the session.
struct TrialServiceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "trial-service", shouldDisplay: false)

    @Option(help: "The address that it stands for, in the order of its sockets.") var service: [String] = []
    @Option(help: "A path at which an authorizer is asked.") var authorizer: [String] = []
    @Option(help: "A field that the authorizer tells.") var field: [String] = []

    func run() throws {
        let loop = try EventLoop()
        var backends: [Backend] = []
        for (index, name) in service.enumerated() {
            let backend = Backend(Descriptor(owning: Int32(3 + index)), loop) { response(to: $0, as: name) }
            try backend.start()
            backends.append(backend)
        }
        loop.run()
    }

    private func response(to head: borrowing RequestHead, as name: String) -> String {
        let target = head.text(head.targetRange)
        var session = ""
        var lines = "service \(name)\nmethod \(head.text(head.methodRange))\ntarget \(target)\n"
        for line in head.fields.lines {
            let (name, value) = (head.text(line.name), head.text(line.value))
            lines += "field \(name): \(value)\n"
            if name.lowercased() == "cookie" || name.lowercased() == "authorization" { session += value }
        }
        if authorizer.contains(String(target.prefix { $0 != "?" })) { return decision(session) }
        return "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: \(lines.utf8.count)\r\n\r\n\(lines)"
    }

    private func decision(_ session: String) -> String {
        let (status, fields): (String, [String]) =
            if session.contains("good") {
                ("200 OK", field.map { "\($0): a-\($0.lowercased())" })
            } else if session.contains("forbidden") {
                ("403 Forbidden", [])
            } else if session.contains("broken") {
                ("500 Internal Server Error", [])
            } else {
                ("401 Unauthorized", ["Location: https://sign-in.example.com/start?rd=here"])
            }
        return (["HTTP/1.1 \(status)", "Content-Length: 0"] + fields).joined(separator: "\r\n") + "\r\n\r\n"
    }
}
