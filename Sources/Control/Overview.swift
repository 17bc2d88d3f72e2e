import UpstreamHealth
import Authentication
import Time
import Administration
import Configuration
import Observability
import Processes

/// The state of the gateway, for operators: each part an object of JSON. It holds no secret.
struct Overview {
    static let parts = ["overview", "routes", "upstreams", "issuers", "limits", "certificates", "workers", "config"]

    private let settings: Settings
    private let names: GatewayNames

    init(_ settings: Settings) {
        self.settings = settings
        names = settings.names
    }

    /// Nil where there is no part of this name.
    func part(
        _ name: String, _ state: GatewayState, isClosed: Bool, level: LogLevel, _ events: [ProgramEvent], _ sum: MetricSum,
        _ servers: [ServerView],
        _ certificates: JSON
    ) -> JSON? {
        switch name {
        case "overview":
            .object(
                gateway(state, isClosed, level) + [
                    ("workers", workers(state)), ("routes", routes(sum)), ("upstreams", upstreams(sum, servers)),
                    ("certificates", certificates), ("issuers", issuers(sum)),
                    ("limits", limits(sum)), ("refusals", refusals(sum)),
                    ("last_errors", .array(events.filter { $0.level.rawValue <= LogLevel.warning.rawValue }.suffix(8).map(\.json))),
                ])
        case "routes": .object([("routes", routes(sum))])
        case "upstreams": .object([("upstreams", upstreams(sum, servers))])
        case "issuers": .object([("issuers", issuers(sum))])
        case "limits": .object([("limits", limits(sum))])
        case "workers": .object([("workers", workers(state))])
        case "config": .object(gateway(state, isClosed, level))
        default: nil
        }
    }

    private func gateway(_ state: GatewayState, _ isClosed: Bool, _ level: LogLevel) -> [(String, JSON)] {
        [
            ("version", .text(state.version)), ("process", .number(UInt64(max(0, state.process)))), ("phase", .text("\(state.phase)")),
            ("ready", .bool(state.isReady)), ("maintenance", .bool(isClosed)), ("log_level", .text(level.word)),
            ("started_at", .number(state.startedAt)),
            (
                "config",
                .object([
                    ("path", .text(state.path)), ("hash", .text(state.hash)), ("loaded_at", .number(state.loadedAt)),
                    ("last_reload", .text(state.isLastReloadGood ? "good" : "refused")), ("last_reload_at", .number(state.lastReloadAt)),
                    ("last_reload_error", state.lastReloadError.isEmpty ? .null : .text(state.lastReloadError)),
                ])
            ),
        ]
    }

    private func workers(_ state: GatewayState) -> JSON {
        .array(
            state.workers.map { worker in
                .object([
                    ("process", .number(UInt64(max(0, worker.process)))), ("slot", .number(UInt64(worker.slot))),
                    ("state", .text(worker.isDraining ? "draining" : worker.isReady ? "ready" : "starting")),
                    ("started_at", .number(worker.startedAt)),
                ])
            })
    }

    private func routes(_ sum: MetricSum) -> JSON {
        let requests = Dictionary(grouping: sum.series(of: .requests), by: { $0.labels[0] })
        let durations = Dictionary(
            sum.series(of: .requestDuration).map { ($0.labels[0], $0.values) }, uniquingKeysWith: { first, _ in first })
        let refusals = Dictionary(grouping: sum.series(of: .refusals), by: { $0.labels[0] })
        return .array(
            (names.routes + ["_none"]).map { name in
                let own = requests[name] ?? []
                func count(_ matches: (String) -> Bool) -> UInt64 { own.reduce(0) { matches($1.labels[2]) ? $0 &+ $1.values[0] : $0 } }
                return .object([
                    ("route", .text(name)), ("requests", .number(count { _ in true })),
                    ("responses_4xx", .number(count { $0.hasPrefix("4") })),
                    ("responses_5xx", .number(count { $0.hasPrefix("5") })), ("in_flight", .number(sum.value(.requestsInFlight, [name]))),
                    ("duration", .object(histogram(durations[name] ?? [], .durations))),
                    ("refusals", .object((refusals[name] ?? []).map { ($0.labels[1], .number($0.values[0])) })),
                ])
            })
    }

    /// The sum in nanoseconds and the counts of the buckets, from which a reader makes what it wants over its own time.
    private func histogram(_ values: [UInt64], _ buckets: MetricBuckets) -> [(String, JSON)] {
        let counts = values.isEmpty ? Array(repeating: 0, count: buckets.words - 1) : Array(values.dropFirst())
        return [
            ("sum_ns", .number(values.first ?? 0)), ("buckets", .array(counts.map { .number($0) })),
            ("bounds_ns", .array(buckets.bounds.map { .number($0.count) })),
        ]
    }

    private func upstreams(_ sum: MetricSum, _ views: [ServerView]) -> JSON {
        .array(
            names.upstreams.map { upstream in
                .object(
                    [
                        ("upstream", .text(upstream.name)), ("waiting", .number(sum.value(.upstreamWaiting, [upstream.name]))),
                        ("circuit_open", upstream.hasBreaker ? .bool(sum.value(.upstreamCircuitOpen, [upstream.name]) > 0) : .null),
                        (
                            "servers",
                            .array(
                                views.filter { $0.upstream == upstream.name }.map { view in
                                    .object(view.json + (upstream.service == nil ? counts(sum, upstream.name, view.server) : []))
                                })
                        ),
                    ]
                        + (upstream.service.map { [("service", .object([("name", .text($0.name))] + counts(sum, upstream.name, $0.name)))] }
                            ?? []))
            })
    }

    /// What is counted of a server, or of all servers of a service.
    private func counts(_ sum: MetricSum, _ upstream: String, _ server: String) -> [(String, JSON)] {
        let labels = [upstream, server]
        func requests(_ kind: String) -> JSON { .number(sum.value(.upstreamRequests, labels + [kind])) }
        return [
            ("active", .number(sum.value(.upstreamConnections, labels + ["active"]))),
            ("idle", .number(sum.value(.upstreamConnections, labels + ["idle"]))),
            ("responses_2xx", requests("2xx")), ("responses_5xx", requests("5xx")), ("errors", requests("error")),
            ("connect_failures", .number(sum.value(.upstreamConnectFailures, labels))),
        ]
    }

    private func issuers(_ sum: MetricSum) -> JSON {
        .array(
            settings.issuers.map { issuer in
                .object([
                    ("issuer", .text(issuer.name)), ("url", .text(issuer.url)),
                    ("accepted", .number(sum.value(.authDecisions, [issuer.name, "accepted"]))),
                    ("keys", .number(sum.value(.keySetKeys, [issuer.name]))),
                    ("last_success_at", .number(sum.value(.keySetLastSuccess, [issuer.name]))),
                ])
            })
    }

    private func limits(_ sum: MetricSum) -> JSON {
        .array(
            names.limits.map { limit in
                let results = ["allowed", "refused", "failed_open", "failed_closed", "local", "last"]
                return .object(
                    [("limit", .text(limit))] + results.map { ($0, .number(sum.value(.limitDecisions, [limit, $0]))) })
            })
    }

    private func refusals(_ sum: MetricSum) -> JSON {
        var byReason: [String: UInt64] = [:]
        for series in sum.series(of: .refusals) { byReason[series.labels[1], default: 0] &+= series.values[0] }
        return .object(byReason.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map { ($0.key, .number($0.value)) })
    }
}

extension ProgramEvent {
    var json: JSON {
        .object([("at", .number(at)), ("level", .text(level.word)), ("source", .text(source)), ("text", .text(text))])
    }
}
