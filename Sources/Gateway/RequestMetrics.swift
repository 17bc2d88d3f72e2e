import Authentication
import Configuration
import HTTPMessage
import Observability
import Policy
import Routing
import Time

/// What is counted of requests: by route, and by credential.
final class RequestMetrics {
    private struct RouteCells {
        let name: Metrics.Name
        let duration: Metrics.Cell
        let overhead: Metrics.Cell
        let inFlight: Metrics.Cell
        let requestBytes: Metrics.Cell
        let responseBytes: Metrics.Cell

        init(_ name: String, _ metrics: Metrics) {
            self.name = metrics.name(name)
            duration = metrics.cell(.requestDuration, self.name)
            overhead = metrics.cell(.overhead, self.name)
            inFlight = metrics.cell(.requestsInFlight, self.name)
            requestBytes = metrics.cell(.requestBytes, self.name)
            responseBytes = metrics.cell(.responseBytes, self.name)
        }
    }

    let metrics: Metrics
    private let routes: [RouteCells]
    /// Of requests that no route was found for.
    private let unmatched: RouteCells
    private let methods: [Metrics.Name]
    private struct CredentialCells {
        let accepted: Metrics.Cell
        let duration: Metrics.Cell

        init(_ name: String, _ metrics: Metrics) {
            accepted = metrics.cell(.authDecisions, name, "accepted")
            duration = metrics.cell(.authDuration, name)
        }
    }

    /// By kind of credential, each by its place.
    private let issuers, authorizers, passwords, networks: [CredentialCells]
    private let none: Metrics.Name

    init(_ settings: Settings, _ metrics: Metrics) {
        self.metrics = metrics
        none = metrics.name("_none")
        unmatched = RouteCells("_none", metrics)
        routes = settings.routes.map { RouteCells($0.name, metrics) }
        issuers = settings.issuers.map { CredentialCells($0.name, metrics) }
        authorizers = settings.authorizers.map { CredentialCells($0.name, metrics) }
        passwords = settings.passwords.map { CredentialCells($0.name, metrics) }
        networks = settings.networks.map { CredentialCells($0.name, metrics) }
        methods = Method.allCases.map { metrics.name($0 == .other ? "_OTHER" : "\($0)".uppercased()) }
    }

    /// A route was found for a request.
    func began(_ route: Route) { metrics.add(routes[route.id.index].inFlight) }

    func count(_ record: RequestRecord) {
        let passage = record.passage
        let route = passage.route.map { routes[$0.id.index] } ?? unmatched
        if passage.route != nil { metrics.subtract(route.inFlight) }
        metrics.add(metrics.cell(.requests, route.name, methods[Int(passage.method.rawValue)], Metrics.Name(status: passage.status)))
        metrics.observe(route.duration, duration: record.duration)
        // Of a stream the client decides how long it takes.
        if passage.stream == nil { metrics.observe(route.overhead, fine: record.duration - record.upstreamTime) }
        if passage.bytesIn > 0 { metrics.add(route.requestBytes, passage.bytesIn) }
        if passage.bytesOut > 0 { metrics.add(route.responseBytes, passage.bytesOut) }
        let credential = passage.knownCredential
        if let credential {
            let own = cells(of: credential)
            metrics.add(own.accepted)
            if passage.authenticatedAt != .never {
                metrics.observe(own.duration, fine: passage.authenticatedAt.since(record.beganAt))
            }
        }
        if record.outcome == .refused, case .refused(let refusal) = passage.verdict {
            let reason = metrics.name(refusal.reason)
            metrics.add(metrics.cell(.refusals, route.name, reason))
            if credential == nil, refusal.isOfCredential { metrics.add(metrics.cell(.authDecisions, none, reason)) }
        }
    }

    func streamBegan(_ passage: Passage, _ kind: LiveStream.Kind) { metrics.add(streams(passage, kind)) }
    func streamEnded(_ passage: Passage, _ kind: LiveStream.Kind) { metrics.subtract(streams(passage, kind)) }

    private func streams(_ passage: Passage, _ kind: LiveStream.Kind) -> Metrics.Cell {
        metrics.cell(.streamsOpen, passage.route.map { routes[$0.id.index].name } ?? none, metrics.name(kind.word))
    }

    private func cells(of credential: CredentialID) -> CredentialCells {
        switch credential {
        case .issuer(let id): issuers[id.index]
        case .authorizer(let id): authorizers[id.index]
        case .password(let id): passwords[id.index]
        case .network(let id): networks[id.index]
        }
    }
}
