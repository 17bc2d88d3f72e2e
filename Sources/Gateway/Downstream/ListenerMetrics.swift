import Observability
import TLS
import Time

/// What is counted of the connections of one listener.
final class ListenerMetrics {
    /// Why a connection was closed before its first request.
    enum Refusal: String {
        /// As many are open as `client_limits` allows for the worker.
        case connections
        /// As many are open from its address.
        case connectionsPerAddress = "connections_per_address"
        case proxyHeader = "proxy_header"
    }

    private let metrics: Metrics
    private let name: Metrics.Name
    private let accepted: Metrics.Cell
    private let open: Metrics.Cell
    /// Nil where there are no handshakes.
    private let handshakeDuration: Metrics.Cell?

    /// - Parameter address: as in the file.
    init(_ address: String, isTLS: Bool = false, _ metrics: Metrics) {
        self.metrics = metrics
        name = metrics.name(address)
        accepted = metrics.cell(.connectionsAccepted, name)
        open = metrics.cell(.connectionsOpen, name)
        handshakeDuration = isTLS ? metrics.cell(.tlsHandshakeDuration, name) : nil
    }

    func connectionBegan() {
        metrics.add(accepted)
        metrics.add(open)
    }

    func connectionEnded() { metrics.subtract(open) }

    func refused(_ reason: Refusal) { metrics.add(metrics.cell(.connectionsRefused, name, metrics.name(reason.rawValue))) }

    func handshakeDone(_ agreement: TLSSession.Agreement?, after duration: Nanoseconds) {
        guard let handshakeDuration, let agreement else { return }
        metrics.observe(handshakeDuration, duration: duration)
        metrics.add(
            metrics.cell(
                .tlsHandshakes, name, metrics.name(agreement.version), metrics.name(agreement.isResumed ? "true" : "false")))
    }

    /// - Parameter reason: in OpenSSL's words.
    func handshakeFailed(_ reason: String) {
        metrics.add(metrics.cell(.tlsHandshakeFailures, name, metrics.name(Self.handshakeReasons[reason] ?? "other")))
    }

    /// A closed set, whatever a client makes OpenSSL say.
    private static let handshakeReasons = [
        "timeout": "timeout", "http request": "http_request", "no shared cipher": "no_shared_cipher",
        "unsupported protocol": "unsupported_protocol", "wrong version number": "not_tls", "unexpected eof while reading": "closed",
        "tlsv1 alert unknown ca": "certificate_not_trusted", "sslv3 alert bad certificate": "certificate_not_trusted",
        "sslv3 alert certificate unknown": "certificate_not_trusted", "sslv3 alert certificate expired": "certificate_not_trusted",
        "tlsv1 alert protocol version": "unsupported_protocol", "no application protocol": "no_application_protocol",
        "no suitable signature algorithm": "no_shared_signature", "no shared signature algorithms": "no_shared_signature",
    ]
}
