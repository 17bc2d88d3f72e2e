import HTTPMessage
import Bytes
import Configuration
import Observability
import System
import TLS
import Time

/// Sends spans to a collector: many at once, one request after the other. A request that it could not take is sent again a few times; what does
/// not fit meanwhile is dropped and counted, and nobody waits for it. Source: OTLP 1.x over HTTP, binary.
final class SpanExporter: TimerHandler {
    private let settings: TracingSettings
    private let loop: EventLoop
    private let metrics: Metrics
    private let report: (String) -> Void
    private let resource: [UInt8]
    private let scope: [UInt8]
    private var spans: [[UInt8]] = []
    private var waitingBytes = 0
    /// The request that is with the collector, or goes there again.
    private var batch: Batch?
    private var isUnderWay = false
    /// Whether what is left goes out at once, because the process ends.
    private var isEnding = false
    private var isAway = false
    /// Not used for TLS where the endpoint is in clear; made once, because making it reads the system's trust store.
    private let context: ClientContext
    private var work: BackgroundWork<Outcome>?
    private var timer: Timer?

    private struct Batch {
        let count: Int
        let body: [UInt8]
        var tries = 0
    }

    private enum Outcome: Sendable {
        /// - rejected: how many of the spans the collector does not want.
        case taken(rejected: UInt64)
        case failed(String, isWorthRepeating: Bool)
    }

    init(_ settings: TracingSettings, version: String, _ metrics: Metrics, on loop: EventLoop, report: @escaping (String) -> Void) throws {
        self.settings = settings
        self.loop = loop
        self.metrics = metrics
        self.report = report
        context = try ClientContext(trustedPEM: nil, certificate: nil)
        var resource = ProtobufWriter()
        for (name, value) in [("service.name", settings.service), ("service.version", version), ("telemetry.sdk.language", "swift")] {
            resource.message(1) { pair in
                pair.text(1, name)
                pair.message(2) { $0.text(1, value) }
            }
        }
        self.resource = resource.output
        var scope = ProtobufWriter()
        scope.text(1, "portcullis")
        self.scope = scope.output
        work = try BackgroundWork(on: loop) { [unowned self] in settled($0) }
        timer = Timer(self)
        loop.set(timer!, after: pause)
    }

    func take(_ message: SpanMessage.Reading) {
        for span in message.spans {
            guard spans.count < spansMax, waitingBytes + span.count <= bytesMax else {
                metrics.add(metrics.cell(.traceSpansDropped, "queue"))
                continue
            }
            spans.append(span)
            waitingBytes += span.count
        }
    }

    func fired(_ timer: Timer) {
        send()
        loop.set(timer, after: pause)
    }

    /// Whether spans are still on their way.
    var isBusy: Bool { batch != nil || !spans.isEmpty }

    /// The process ends: what is left goes out without a pause.
    func finish() {
        isEnding = true
        send()
    }

    /// The time for that is over.
    func dropRest() {
        let left = spans.count + (batch?.count ?? 0)
        if left > 0 { metrics.add(metrics.cell(.traceSpansDropped, "shutdown"), UInt64(left)) }
        spans = []
        batch = nil
    }

    private func send() {
        guard !isUnderWay else { return }
        if batch == nil, !spans.isEmpty {
            let next = Array(spans.prefix(batchMax))
            spans.removeFirst(next.count)
            waitingBytes -= next.reduce(0) { $0 + $1.count }
            batch = Batch(count: next.count, body: encoded(next))
        }
        guard let body = batch?.body else { return }
        batch?.tries += 1
        isUnderWay = true
        let (settings, context) = (settings, context)
        work?.start { Self.post(body, to: settings, context) }
    }

    private func encoded(_ batch: [[UInt8]]) -> [UInt8] {
        var request = ProtobufWriter()
        request.message(1) { all in
            all.bytes(1, resource)
            all.message(2) { own in
                own.bytes(1, scope)
                for span in batch { own.bytes(2, span) }
            }
        }
        return request.output
    }

    /// Blocks, on a thread of its own.
    private static func post(_ body: [UInt8], to settings: TracingSettings, _ context: ClientContext) -> Outcome {
        let addresses = IPAddress(settings.host).map { [$0] } ?? NameLookup(host: settings.host).run()
        let host = settings.host.contains(":") ? "[\(settings.host)]" : settings.host
        let head =
            "POST \(settings.path) HTTP/1.1\r\nHost: \(host):\(settings.port)\r\nContent-Type: application/x-protobuf\r\n"
            + "Content-Length: \(body.count)\r\nUser-Agent: portcullis\r\nConnection: close\r\n\r\n"
        var last = "\(settings.host) cannot be resolved"
        // A few addresses, each with a time of its own: the first may lead nowhere.
        for address in addresses.prefix(3) {
            do {
                let client = HTTPSClient(context, bodyBytesMax: 1 << 20, within: .seconds(5))
                let response = try client.exchange(
                    Array(head.utf8) + body, isHead: false, with: settings.host, at: .ip(address, port: settings.port),
                    isSecure: settings.isSecure)
                let status = response.head.status
                if 200..<300 ~= status { return .taken(rejected: rejected(response.body)) }
                // Source: OTLP 1.x, "Retryable Response Codes".
                return .failed("it answered \(status)", isWorthRepeating: [429, 502, 503, 504].contains(status))
            } catch {
                last = error.reason
            }
        }
        return .failed(last, isWorthRepeating: true)
    }

    /// How many spans a collector says that it has thrown away: `rejected_spans` of `partial_success`.
    private static func rejected(_ response: [UInt8]) -> UInt64 {
        var outer = ProtobufReader()
        while case .some((1, .bytes(let range))) = try? outer.next(in: response.span) {
            let part = Array(response[range])
            var inner = ProtobufReader()
            while case .some((let field, let value)) = try? inner.next(in: part.span) {
                if field == 1, case .number(let count) = value { return count }
            }
        }
        return 0
    }

    private func settled(_ outcome: Outcome) {
        isUnderWay = false
        guard let batch else { return }
        switch outcome {
        case .taken(let rejected):
            self.batch = nil
            if rejected > 0 { metrics.add(metrics.cell(.traceSpansDropped, "collector"), min(rejected, UInt64(batch.count))) }
            if isAway { report("the collector of traces takes spans again") }
            isAway = false
            // Where more is waiting it goes at once; to one that is away, at its time.
            if isEnding || spans.count >= batchMax { send() }
        case .failed(let reason, let isWorthRepeating):
            if !isAway { report("the collector of traces at \(settings.host):\(settings.port) takes no spans: \(reason)") }
            isAway = true
            if isWorthRepeating, batch.tries < triesMax { return }
            self.batch = nil
            metrics.add(metrics.cell(.traceSpansDropped, "collector"), UInt64(batch.count))
        }
    }
}

private let pause = Nanoseconds.milliseconds(500)
private let batchMax = 512
/// How often a request goes to a collector that does not take it.
private let triesMax = 3
private let spansMax = 8_192
private let bytesMax = 8 << 20
