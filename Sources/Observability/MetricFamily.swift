/// What the gateway measures: each family is one metric of the exposition, with its labels.
///
/// The raw values stand in shared memory that one version of the program leaves to the next: they are never used for another family.
package enum MetricFamily: UInt8, CaseIterable, Sendable {
    case buildInfo = 1
    case configReloadSuccessful, configReloadSuccessTime, configReloads
    case workers, workerRestarts, workerHeartbeat, workerMemory
    case connectionsOpen = 20, connectionsAccepted, connectionsRefused, clientLimits
    case tlsHandshakes, tlsHandshakeFailures, tlsHandshakeDuration
    case requests = 40, requestDuration, overhead, requestsInFlight, requestBytes, responseBytes, streamsOpen
    case refusals
    case authDecisions = 60, authDuration, tokenCacheRequests
    case keySetFetches, keySetLastSuccess, keySetKeys
    case limitDecisions = 80, limitTableEntries, limitTableEvictions
    case storeRequests, storeDuration, storeRedirects, storeUp
    case limitPlansMissed, limitNear, limitRefusalsKept
    case storeConnections, storeLateReplies, storeBatches, storeScriptLoads
    case limitLeased, storeMembers, limitDelayed
    case storeServerWorkers = 220, storeServerOwed, storeServerDuration, storeTopology
    case upstreamRequests = 100, upstreamResponseDuration, upstreamConnectDuration
    case upstreamConnections, upstreamConnectFailures, upstreamWaiting, upstreamWaitDuration, upstreamRejections
    case upstreamRetries, upstreamRetriesDenied
    case upstreamServerUp, upstreamServerState, upstreamChecks, upstreamEjections, upstreamCircuitOpen
    case certificateExpiry = 140, certificateLoads
    case logLinesDropped = 160, traceSpansDropped, metricSeries, metricSeriesOverflowed

    package enum Kind: Sendable {
        case counter
        case gauge
        case histogram(MetricBuckets)
    }

    /// What stands in the table of docs/metrics.md, too.
    package struct Definition: Sendable {
        /// Without the `portcullis_` that all names begin with.
        package let name: String
        package let kind: Kind
        package let labels: [String]
        package let help: String

        init(_ name: String, _ kind: Kind, _ labels: [String] = [], _ help: String) {
            self.name = name
            self.kind = kind
            self.labels = labels
            self.help = help
        }
    }

    package var definition: Definition { Self.definitions[self] ?? Definition("unknown", .counter, "") }

    /// How many words of memory a series takes.
    package var words: Int {
        if case .histogram(let buckets) = definition.kind { buckets.words } else { 1 }
    }

    /// Which of its labels is a number (``MetricMemory/NameID/init(status:)``).
    var numberLabel: Int? { self == .requests ? 2 : nil }

    package var isGauge: Bool { if case .gauge = definition.kind { true } else { false } }

    private static let definitions: [MetricFamily: Definition] = [
        .buildInfo: Definition("build_info", .gauge, ["version", "openssl"], "The version of the program and of OpenSSL; always 1."),
        .configReloadSuccessful: Definition(
            "config_last_reload_successful", .gauge, "Whether the last reading of the configuration took effect."),
        .configReloadSuccessTime: Definition(
            "config_last_reload_success_timestamp_seconds", .gauge, "When a reading of the configuration took effect last."),
        .configReloads: Definition("config_reloads_total", .counter, ["result"], "Reloads, by what became of them."),
        .workers: Definition("workers", .gauge, ["state"], "Worker processes, by state."),
        .workerRestarts: Definition("worker_restarts_total", .counter, ["reason"], "Workers that were started again."),
        .workerHeartbeat: Definition("worker_heartbeat_timestamp_seconds", .gauge, ["slot"], "When a worker went on with its work last."),
        .workerMemory: Definition("worker_memory_bytes", .gauge, ["slot"], "Memory that a worker holds."),
        .connectionsOpen: Definition("connections_open", .gauge, ["listener"], "Connections of clients that are open."),
        .connectionsAccepted: Definition("connections_accepted_total", .counter, ["listener"], "Connections of clients that were taken."),
        .connectionsRefused: Definition(
            "connections_refused_total", .counter, ["listener", "reason"], "Connections of clients that were closed before a request."),
        .clientLimits: Definition(
            "client_limits_total", .counter, ["limit"], "Times that a client was held back, by what client_limits bounds."),
        .tlsHandshakes: Definition(
            "tls_handshakes_total", .counter, ["listener", "version", "resumed"], "TLS handshakes with clients that succeeded."),
        .tlsHandshakeFailures: Definition(
            "tls_handshake_failures_total", .counter, ["listener", "reason"], "TLS handshakes with clients that failed."),
        .tlsHandshakeDuration: Definition(
            "tls_handshake_duration_seconds", .histogram(.durations), ["listener"], "From the connection to the end of its handshake."),
        .requests: Definition("http_requests_total", .counter, ["route", "method", "code"], "Requests, by their response's status."),
        .requestDuration: Definition(
            "http_request_duration_seconds", .histogram(.durations), ["route"], "From a request's first byte to its response's last."),
        .overhead: Definition(
            "http_overhead_seconds", .histogram(.fine), ["route"], "What the gateway adds: the duration less the time with the upstream."),
        .requestsInFlight: Definition("http_requests_in_flight", .gauge, ["route"], "Requests that are under way."),
        .requestBytes: Definition("http_request_bytes_total", .counter, ["route"], "Bytes of requests' bodies."),
        .responseBytes: Definition("http_response_bytes_total", .counter, ["route"], "Bytes of responses' bodies."),
        .streamsOpen: Definition("streams_open", .gauge, ["route", "kind"], "Streams and tunnels that are open."),
        .refusals: Definition("http_refusals_total", .counter, ["route", "reason"], "Requests that the gateway itself refused."),
        .authDecisions: Definition("auth_decisions_total", .counter, ["issuer", "result"], "Credentials that were looked at."),
        .authDuration: Definition(
            "auth_duration_seconds", .histogram(.fine), ["issuer"], "From a request's head to the end of its authentication."),
        .tokenCacheRequests: Definition("token_cache_requests_total", .counter, ["result"], "Tokens looked up in the cache."),
        .keySetFetches: Definition("key_set_fetches_total", .counter, ["issuer", "result"], "Fetches of issuers' key sets."),
        .keySetLastSuccess: Definition(
            "key_set_last_success_timestamp_seconds", .gauge, ["issuer"], "When a key set was known to be current last."),
        .keySetKeys: Definition("key_set_keys", .gauge, ["issuer"], "Keys of an issuer that can be used."),
        .limitDecisions: Definition("limit_decisions_total", .counter, ["limit", "result"], "What limits have decided."),
        .limitPlansMissed: Definition(
            "limit_plans_missed_total", .counter, ["limit"], "Requests whose token names none of the limit's plans."),
        .limitNear: Definition(
            "limit_near_total", .counter, ["limit"], "Requests that were let through and left less than a fifth of the quota."),
        .limitRefusalsKept: Definition(
            "limit_refusals_kept_total", .counter, ["limit"], "Requests that were refused without asking Redis, which had said so before."),
        .limitLeased: Definition(
            "limit_leased_total", .counter, ["limit", "result"],
            "Requests that hosts took of Redis at once for later ones, and gave back unspent."),
        .limitDelayed: Definition("limit_delayed_total", .counter, ["limit"], "Requests that a limit had wait for their turn."),
        .limitTableEntries: Definition("limit_table_entries", .gauge, "Keys in the table of limits."),
        .limitTableEvictions: Definition(
            "limit_table_evictions_total", .counter, "Keys that gave way to others because the table was full."),
        .storeRequests: Definition("store_requests_total", .counter, ["redis", "result"], "Requests for limits in Redis."),
        .storeDuration: Definition("store_duration_seconds", .histogram(.fine), ["redis"], "How long Redis took to answer."),
        .storeRedirects: Definition(
            "store_redirects_total", .counter, ["redis"], "Questions that a server of a cluster passed on to another one."),
        .storeConnections: Definition(
            "store_connections_total", .counter, ["redis", "result"], "Connections to Redis that could be asked, opened and lost."),
        .storeLateReplies: Definition(
            "store_late_replies_total", .counter, ["redis"], "Replies of Redis that came after their time."),
        .storeBatches: Definition(
            "store_batches_total", .counter, ["redis"], "Batches of questions to Redis: those of one turn of a worker's loop."),
        .storeScriptLoads: Definition(
            "store_script_loads_total", .counter, ["redis"], "Times that a Redis had lost the script and got it again."),
        .storeMembers: Definition(
            "store_members", .gauge, ["redis"], "Gateways that share this Redis, where a limit has share auto, as this one has heard last."),
        .storeServerWorkers: Definition(
            "store_server_workers", .gauge, ["redis", "server"], "Workers that can ask this server of a Redis."),
        .storeServerOwed: Definition(
            "store_server_replies_owed", .gauge, ["redis", "server"], "Late replies that are awaited of this server."),
        .storeServerDuration: Definition(
            "store_server_duration_seconds", .histogram(.fine), ["redis", "server"], "How long this server took to reply to a call."),
        .storeTopology: Definition(
            "store_topology_readings_total", .counter, ["redis", "result"],
            "Times that a cluster or a sentinel was asked which servers there are."),
        .storeUp: Definition(
            "store_up", .gauge, ["redis"], "Whether any worker has a connection to this Redis; of several servers, to all."),
        .upstreamRequests: Definition(
            "upstream_requests_total", .counter, ["upstream", "server", "code_class"], "Requests to servers, by what came back."),
        .upstreamResponseDuration: Definition(
            "upstream_response_duration_seconds", .histogram(.durations), ["upstream", "server"],
            "From the choice of a server to the first byte of its response."),
        .upstreamConnectDuration: Definition(
            "upstream_connect_duration_seconds", .histogram(.durations), ["upstream"], "How long connections took to open, with TLS."),
        .upstreamConnections: Definition(
            "upstream_connections", .gauge, ["upstream", "server", "state"], "Connections to servers, active and idle."),
        .upstreamConnectFailures: Definition(
            "upstream_connect_failures_total", .counter, ["upstream", "server"], "Connections that did not come about."),
        .upstreamWaiting: Definition("upstream_waiting", .gauge, ["upstream"], "Requests that wait for a connection."),
        .upstreamWaitDuration: Definition(
            "upstream_wait_duration_seconds", .histogram(.durations), ["upstream"], "How long requests waited for a connection."),
        .upstreamRejections: Definition(
            "upstream_rejections_total", .counter, ["upstream", "reason"],
            "Requests that got no server, by the limit that kept them from it."),
        .upstreamRetries: Definition("upstream_retries_total", .counter, ["upstream", "reason"], "Requests that were sent once more."),
        .upstreamRetriesDenied: Definition(
            "upstream_retries_denied_total", .counter, ["upstream", "reason"], "Requests that could have been sent once more and were not."),
        .upstreamServerUp: Definition("upstream_server_up", .gauge, ["upstream", "server"], "Whether a server is given requests."),
        .upstreamServerState: Definition(
            "upstream_server_state", .gauge, ["upstream", "server", "state"], "1 for the state that a server is in."),
        .upstreamChecks: Definition("upstream_checks_total", .counter, ["upstream", "server", "result"], "Active checks of servers."),
        .upstreamEjections: Definition(
            "upstream_ejections_total", .counter, ["upstream", "server", "reason"], "Servers that were given no requests for a while."),
        .upstreamCircuitOpen: Definition(
            "upstream_circuit_open", .gauge, ["upstream"],
            "Whether the breaker of an upstream is open, or one request finds out if it may close."),
        .certificateExpiry: Definition(
            "certificate_expiry_timestamp_seconds", .gauge, ["name", "source"], "When a certificate is no longer valid."),
        .certificateLoads: Definition("certificate_loads_total", .counter, ["result"], "Certificates that were loaded while running."),
        .logLinesDropped: Definition("log_lines_dropped_total", .counter, ["log"], "Lines of logs, and traces, that could not be written."),
        .traceSpansDropped: Definition("trace_spans_dropped_total", .counter, ["reason"], "Spans that could not be sent."),
        .metricSeries: Definition("metrics_series", .gauge, "Series in this exposition."),
        .metricSeriesOverflowed: Definition(
            "metrics_series_overflowed_total", .counter, "Series that were counted as _overflow, for want of room."),
    ]
}

extension MetricFamily.Definition {
    init(_ name: String, _ kind: MetricFamily.Kind, _ help: String) { self.init(name, kind, [], help) }
}
