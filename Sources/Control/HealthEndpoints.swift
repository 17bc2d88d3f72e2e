import Administration
import Observability
import Processes

/// `/livez`, `/readyz` and `/metrics`.
final class HealthEndpoints: LocalRequestHandler {
    private let sources: LocalServices.Sources
    private let tellsMetrics: Bool

    init(_ sources: LocalServices.Sources, tellsMetrics: Bool) {
        self.sources = sources
        self.tellsMetrics = tellsMetrics
    }

    func respond(to request: LocalRequest, _ reply: @escaping (LocalResponse) -> Void) {
        guard request.method == "GET" || request.method == "HEAD" else { return reply(.error(405, "this is read with GET")) }
        switch request.path {
        case "/livez": reply(live())
        case "/readyz": reply(ready())
        case "/metrics" where tellsMetrics: reply(metrics(accept: request.accept))
        default:
            reply(LocalResponse(404, text: "here are /livez and /readyz\(tellsMetrics ? ", and /metrics" : "")\n"))
        }
    }

    /// Whether the gateway is worth keeping: what restarts it should not do so for what a restart does not mend.
    private func live() -> LocalResponse {
        if let complaint = sources.complaint() { return LocalResponse(503, text: "not alive: \(complaint)\n") }
        return LocalResponse(200, text: "alive\n")
    }

    /// Whether it should be sent requests.
    private func ready() -> LocalResponse {
        let state = sources.state()
        if let complaint = sources.complaint() { return LocalResponse(503, text: "not ready: \(complaint)\n") }
        if state.isReady { return LocalResponse(200, text: "ready\n") }
        let reason =
            switch state.phase {
            case .starting: "the workers are starting"
            case .leaving, .stopping: "the gateway is stopping"
            case .serving: "\(state.workersMissing) of its workers do not take connections"
            }
        return LocalResponse(503, text: "not ready: \(reason)\n")
    }

    private func metrics(accept: String) -> LocalResponse {
        let format = MetricText.Format(accept: accept)
        return LocalResponse(200, format.contentType, sources.scrape.text(format))
    }
}
