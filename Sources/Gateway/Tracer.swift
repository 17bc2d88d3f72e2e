import RateLimiting
import Bytes
import Configuration
import Forwarding
import HTTPMessage
import Observability
import Policy
import Routing
import System
import Time

/// Follows requests through the gateway: which trace each belongs to, and, of those that are kept, what became of it, as spans for a collector of
/// OpenTelemetry. The control process sends them.
final class Tracer {
    private let settings: TracingSettings
    private let gateway: Settings
    private let ring: LogRing
    private let loop: EventLoop
    private let dropped: Metrics.Cell
    private let metrics: Metrics
    /// Of 2 to the 64th, how much is kept.
    private let threshold: UInt64
    /// Random words of the kernel's, of which those from `next` on have not been used.
    private var pool: [UInt32] = []
    private var next = 0
    private var span = SpanWriter()

    init(_ settings: TracingSettings, _ gateway: Settings, ring: LogRing, _ metrics: Metrics, on loop: EventLoop) {
        self.settings = settings
        self.gateway = gateway
        self.ring = ring
        self.loop = loop
        self.metrics = metrics
        dropped = metrics.cell(.traceSpansDropped, "ring")
        threshold = settings.sampleMillionths >= 1_000_000 ? .max : UInt64.max / 1_000_000 * settings.sampleMillionths
    }

    /// A request begins. Who asks may say to which trace it belongs; whether that is kept is a trusted peer's to say alone.
    func begin(_ passage: Passage) {
        let told = passage.context.head.toldTrace
        var trace =
            told ?? TraceContext(high: word(), low: max(1, word()), parent: 0, span: 1, isSampled: false)
        trace.span = max(1, word())
        if told == nil || !passage.origin.isPeerTrusted { trace.isSampled = threshold > 0 && word() <= threshold }
        passage.trace = trace
    }

    private func word() -> UInt64 {
        if next + 1 >= pool.count {
            pool = SystemRandom.words(poolWords)
            next = 0
        }
        defer { next += 2 }
        return UInt64(pool[next]) << 32 | UInt64(pool[next + 1])
    }

    /// A request is over: leaves its spans.
    func finish(_ record: RequestRecord) {
        guard let trace = record.passage.trace, trace.isSampled else { return }
        writeServer(record, trace)
        var message = SpanMessage(trace, record.duration, route: record.passage.route?.name ?? "_none")
        message.append(span.output)
        for (index, attempt) in record.passage.exchange.tries.enumerated() {
            writeClient(attempt, index, record, trace)
            message.append(span.output)
        }
        // Lines of logs come first.
        guard !ring.isHalfFull else { return metrics.add(dropped, UInt64(1 + record.passage.exchange.tries.count)) }
        ring.write(message.bytes, .trace)
    }

    private func writeServer(_ record: RequestRecord, _ trace: TraceContext) {
        let (passage, context) = (record.passage, record.passage.context)
        let method = passage.method == .other ? "_OTHER" : context.head.text(context.head.methodRange)
        span.begin(
            trace, span: trace.span, parent: trace.parent, .server, name: passage.route.map { "\(method) \($0.name)" } ?? method,
            began: wall(record.beganAt), ended: wall(record.endedAt))
        span.attribute("http.request.method", method)
        if let route = passage.route { span.attribute("http.route", route.name) }
        // Without its query, in which secrets may stand.
        span.attribute("url.path", context.head.copy(context.head.rawPathRange))
        span.attribute("url.scheme", context.isHTTPS ? "https" : "http")
        if !context.host.isEmpty { span.attribute("server.address", context.host) }
        span.attribute("client.address", context.clientIP)
        span.attribute("network.protocol.version", passage.isHTTP2 ? "2" : passage.version == .http10 ? "1.0" : "1.1")
        span.attribute("portcullis.request_id", context.requestID)
        if passage.status > 0 { span.attribute("http.response.status_code", number: UInt64(passage.status)) }
        if passage.authenticatedAt != .never, let credential = passage.knownCredential {
            span.event("authenticated", at: wall(passage.authenticatedAt), [("portcullis.issuer", gateway.name(of: credential))])
        }
        for state in passage.progress.states {
            span.event(
                "limit", at: wall(passage.admittedAt == .never ? record.endedAt : passage.admittedAt),
                [
                    ("portcullis.limit", gateway.limits[state.limit.index].name), ("portcullis.remaining", String(state.remaining)),
                ])
        }
        for (before, next) in zip(passage.exchange.tries, passage.exchange.tries.dropFirst()) {
            span.event("retry", at: wall(next.beganAt), [("portcullis.reason", before.error ?? "status_\(before.status)")])
        }
        if record.outcome == .ended, let reason = record.reason { span.attribute("error.type", reason) }
        if record.outcome == .refused || record.outcome == .brokenOff {
            let reason = record.reason ?? "client_gone"
            span.attribute("error.type", reason)
            // What a client has done wrong is no error of the server's.
            if passage.status >= 500 || record.outcome == .brokenOff { span.fail(record.detail ?? reason) }
        } else if passage.status >= 500 {
            span.attribute("error.type", String(passage.status))
            span.fail("")
        }
    }

    private func writeClient(_ attempt: Exchange.Try, _ index: Int, _ record: RequestRecord, _ trace: TraceContext) {
        let upstream = record.passage.match?.route.forwarding.map { gateway.upstream($0.upstream).name } ?? ""
        let method = record.passage.method == .other ? "_OTHER" : record.passage.context.head.text(record.passage.context.head.methodRange)
        span.begin(
            trace, span: trace.spanOfTry(attempt.number), parent: trace.span, .client, name: "\(method) \(upstream)",
            began: wall(attempt.beganAt),
            ended: wall(attempt.endedAt == .never ? record.endedAt : attempt.endedAt))
        span.attribute("http.request.method", method)
        let colon = attempt.server.hasPrefix("unix:") ? nil : attempt.server.lastIndex(of: ":")
        span.attribute("server.address", String(attempt.server[..<(colon ?? attempt.server.endIndex)]))
        if let colon, let port = UInt64(attempt.server[attempt.server.index(after: colon)...]) {
            span.attribute("server.port", number: port)
        }
        span.attribute("portcullis.upstream", upstream)
        if index > 0 { span.attribute("http.request.resend_count", number: UInt64(index)) }
        if attempt.status > 0 { span.attribute("http.response.status_code", number: UInt64(attempt.status)) }
        if let error = attempt.error {
            span.attribute("error.type", error)
            span.fail(error)
        } else if attempt.status >= 400 {
            // To who asks, what it did wrong is an error too (OpenTelemetry, "Semantic conventions for HTTP spans").
            span.attribute("error.type", String(attempt.status))
            span.fail("")
        }
    }

    /// Nanoseconds since 1970.
    private func wall(_ moment: Instant) -> UInt64 {
        let (now, wall) = (loop.now, loop.wall)
        return moment >= now ? wall &+ moment.since(now).count : wall &- min(wall, now.since(moment).count)
    }
}

/// For 64 requests.
private let poolWords = 512
