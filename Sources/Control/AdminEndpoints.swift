import Administration
import Authentication
import Configuration
import Observability
import Processes
import System

/// What operators look at, and what they may have done: `/v1/…`, and what health tells.
final class AdminEndpoints: LocalRequestHandler {
    private let sources: LocalServices.Sources
    private let health: HealthEndpoints
    private let overview: Overview

    init(_ settings: Settings, _ sources: LocalServices.Sources) {
        self.sources = sources
        health = HealthEndpoints(sources, tellsMetrics: true)
        overview = Overview(settings)
    }

    func respond(to request: LocalRequest, _ reply: @escaping (LocalResponse) -> Void) {
        // No page in a browser has business here.
        guard !request.hasOrigin else { return reply(.error(403, "requests of web pages are not taken")) }
        guard request.path.hasPrefix("/v1/") else { return health.respond(to: request, reply) }
        let name = String(request.path.dropFirst("/v1/".utf8.count))
        switch request.method {
        case "GET", "HEAD": reply(read(name))
        case "POST":
            guard request.contentType.hasPrefix("application/json") else {
                return reply(.error(415, "changes are asked for with Content-Type: application/json"))
            }
            post(name, request, reply)
        default: reply(.error(405, "this is read with GET, and changed with POST"))
        }
    }

    private func read(_ name: String) -> LocalResponse {
        if name == "events" { return LocalResponse(200, .object([("events", .array(sources.events().map(\.json)))])) }
        if name == "certificates" { return LocalResponse(200, .object([("certificates", sources.certificates())])) }
        guard
            let part = overview.part(
                name, sources.state(), isClosed: sources.isClosed(), level: sources.logLevel(), sources.events(), sources.scrape.sum(),
                sources.servers(), sources.certificates())
        else {
            return .error(404, "there is no /v1/\(name); there are: \((Overview.parts + ["events"]).joined(separator: ", "))")
        }
        return LocalResponse(200, part)
    }

    private func post(_ name: String, _ request: LocalRequest, _ reply: @escaping (LocalResponse) -> Void) {
        let body = request.body
        switch name {
        case "reload": command(name, reply)
        case "servers": reply(changeServer(body))
        case "limits": askLimit(body, request.peer, reply)
        case "maintenance": reply(changeMaintenance(body))
        case "log-level": changeLogLevel(body, reply)
        default: reply(.error(404, "nothing is to be done at /v1/\(name)"))
        }
    }

    private func command(_ word: String, _ reply: @escaping (LocalResponse) -> Void) {
        sources.command(word) { isDone, text in
            reply(isDone ? LocalResponse(200, .object([("result", .text("done")), ("text", .text(text))])) : .error(422, text))
        }
    }

    private func askLimit(_ body: [UInt8], _ peer: PeerCredentials?, _ reply: @escaping (LocalResponse) -> Void) {
        guard let question = LimitEndpoint.question(body) else {
            return reply(
                .error(400, "the body names action (show, reset, set with used, or top), limit and key, which is a list of values"))
        }
        sources.askLimit(question, peer) { reply(LimitEndpoint.response(to: question, $0)) }
    }

    /// `{"state": "on"}`, or `"off"`.
    private func changeMaintenance(_ body: [UInt8]) -> LocalResponse {
        guard let state = (try? JSONReader.read(body))?["state"]?.string, ["on", "off"].contains(state) else {
            return .error(400, "the body names the state, which is on or off")
        }
        sources.setClosed(state == "on")
        return LocalResponse(
            200,
            .object([
                ("result", .text("done")),
                (
                    "text",
                    .text(
                        state == "on" ? "the gateway is closed for maintenance, but for routes with maintenance off" : "the gateway is open"
                    )
                ),
            ]))
    }

    /// `{"level": "debug"}`
    private func changeLogLevel(_ body: [UInt8], _ reply: @escaping (LocalResponse) -> Void) {
        guard let level = (try? JSONReader.read(body))?["level"]?.string.flatMap({ LogLevel($0) }) else {
            return reply(.error(400, "the body names the level, which is \(LogLevel.allCases.map(\.word).joined(separator: ", "))"))
        }
        command("log-level \(level.word)", reply)
    }

    /// `{"upstream": "app", "server": "127.0.0.1:9000", "state": "drained"}`, or `"up"`.
    private func changeServer(_ body: [UInt8]) -> LocalResponse {
        guard let json = try? JSONReader.read(body), let upstream = json["upstream"]?.string, let server = json["server"]?.string,
            let state = json["state"]?.string, ["up", "drained"].contains(state)
        else { return .error(400, "the body names upstream, server and state, which is up or drained") }
        guard sources.setDrained(state == "drained", server, upstream) else {
            return .error(404, "upstream '\(upstream)' has no server '\(server)'; servers are called as they are in the file")
        }
        return LocalResponse(
            200,
            .object([("result", .text("done")), ("text", .text("\(server) is \(state == "drained" ? "taken out" : "taken back in")"))]))
    }
}
