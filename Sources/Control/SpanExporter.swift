import HTTPMessage
import Bytes
import Configuration
import Observability
import System
import TLS
import Time

/// Sends spans to a collector: many at once, one request after the other. What it does not take in time is dropped and counted; nobody waits for
/// it. Source: OTLP 1.x over HTTP, binary.
final class SpanExporter: TimerHandler {
    private let settings: TracingSettings
    private let loop: EventLoop
    private let metrics: Metrics
    private let report: (String) -> Void
    private let resource: [UInt8]
    private let scope: [UInt8]
    private var spans: [[UInt8]] = []
    private var waitingBytes = 0
    private var underWay = 0
    private var isAway = false
    private var work: BackgroundWork<String?>?
    private var timer: Timer?

    init(_ settings: TracingSettings, version: String, _ metrics: Metrics, on loop: EventLoop, report: @escaping (String) -> Void) throws {
        self.settings = settings
        self.loop = loop
        self.metrics = metrics
        self.report = report
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

    private func send() {
        guard underWay == 0, !spans.isEmpty else { return }
        let batch = Array(spans.prefix(batchMax))
        spans.removeFirst(batch.count)
        waitingBytes -= batch.reduce(0) { $0 + $1.count }
        underWay = batch.count
        let (settings, body) = (settings, encoded(batch))
        work?.start { Self.post(body, to: settings) }
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

    /// Blocks, on a thread of its own; why it was not taken, or nil.
    private static func post(_ body: [UInt8], to settings: TracingSettings) -> String? {
        let addresses = IPAddress(settings.host).map { [$0] } ?? NameLookup(host: settings.host).run()
        guard let address = addresses.first else { return "\(settings.host) cannot be resolved" }
        do {
            let context = try ClientContext(trustedPEM: nil, certificate: nil)
            let client = HTTPSClient(context, bodyBytesMax: 1 << 20, within: .seconds(5))
            let head =
                "POST \(settings.path) HTTP/1.1\r\nHost: \(settings.host):\(settings.port)\r\nContent-Type: application/x-protobuf\r\n"
                + "Content-Length: \(body.count)\r\nUser-Agent: portcullis\r\nConnection: close\r\n\r\n"
            let response = try client.exchange(
                Array(head.utf8) + body, isHead: false, with: settings.host, at: .ip(address, port: settings.port),
                isSecure: settings.isSecure)
            return 200..<300 ~= response.head.status ? nil : "it answered \(response.head.status)"
        } catch let failure as HTTPSClient.Failure {
            return failure.reason
        } catch {
            return "\(error)"
        }
    }

    private func settled(_ failure: String?) {
        let count = underWay
        underWay = 0
        if let failure {
            metrics.add(metrics.cell(.traceSpansDropped, "collector"), UInt64(count))
            if !isAway {
                report("the collector of traces at \(settings.host):\(settings.port) takes no spans, which are dropped: \(failure)")
            }
        } else if isAway {
            report("the collector of traces takes spans again")
        }
        isAway = failure != nil
        // Where more is waiting it goes at once; to one that is away, at its time.
        if failure == nil, spans.count >= batchMax { send() }
    }
}

private let pause = Nanoseconds.milliseconds(500)
private let batchMax = 512
private let spansMax = 8_192
private let bytesMax = 8 << 20
