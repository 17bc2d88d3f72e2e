import HTTPMessage
import CLinux
import Configuration
import System
import TLS
import Time
import UpstreamHealth

/// One look at a server; blocks, on a thread of its own.
struct ServerCheck: Sendable {
    private let rule: CheckRule
    private let host: String
    private let tls: ClientContext?
    private let addresses: [SocketAddress]

    init(_ server: CheckedServer, at addresses: [SocketAddress]) {
        rule = server.rule
        host = server.host
        tls = server.tls
        self.addresses = addresses
    }

    /// What is wrong; nil where all is well, at one of the addresses at least.
    func run() -> String? {
        var failure: String?
        for address in addresses {
            failure =
                switch rule.kind {
                case .tcp: connect(to: address)
                case .http: rule.speaksHTTP2 ? askInFrames(at: address) : ask(at: address)
                case .grpc(let service): call(service, at: address)
                }
            if failure == nil { return nil }
        }
        return failure
    }

    private func connect(to address: SocketAddress) -> String? {
        do {
            let socket = try Socket.connect(to: address)
            var entry = pollfd(fd: socket.raw, events: Int16(POLLOUT), revents: 0)
            // SAFETY: one entry, which lives for the call.
            guard unsafe poll(&entry, 1, Int32(clamping: rule.timeout.milliseconds)) > 0 else { return "no connection within \(limit)" }
            let code = Socket.pendingError(socket.raw)
            return code == 0 ? nil : "connecting failed: \(SystemError.text(code))"
        } catch {
            return "connecting failed: \(error.reason)"
        }
    }

    private func ask(at address: SocketAddress) -> String? {
        var lines = ["GET \(rule.path) HTTP/1.1", "Host: \(rule.host ?? host)", "User-Agent: portcullis-health-check", "Connection: close"]
        for field in rule.fields { lines.append("\(field.name): \(field.value)") }
        do {
            guard let context = tls ?? Self.inClear else { return "no TLS context could be made" }
            let client = HTTPSClient(context, bodyBytesMax: bodyBytesMax, within: rule.timeout)
            let response = try client.exchange(lines.joined(separator: "\r\n") + "\r\n\r\n", with: host, at: address, isSecure: tls != nil)
            // Redirects are not followed: where they lead is another server's health.
            return rule.expected.contains(response.head.status) ? nil : "it answered \(response.head.status)"
        } catch {
            return error.reason
        }
    }

    private func askInFrames(at address: SocketAddress) -> String? {
        exchange(head("GET", rule.path) + rule.fields.map { ($0.name.lowercased(), $0.value) }, [], at: address) { response in
            rule.expected.contains(response.status) ? nil : "it answered \(response.status)"
        }
    }

    private func call(_ service: String, at address: SocketAddress) -> String? {
        let fields = [("content-type", "application/grpc"), ("te", "trailers"), ("grpc-timeout", "\(rule.timeout.milliseconds)m")]
        return exchange(
            head("POST", GRPCHealth.path) + fields + rule.fields.map { ($0.name.lowercased(), $0.value) }, GRPCHealth.request(for: service),
            at: address
        ) { GRPCHealth.failure(in: $0, of: service) }
    }

    /// Pseudo-fields, and who asks. Source: RFC 9113 §8.3.1.
    private func head(_ method: String, _ path: String) -> [(name: String, value: String)] {
        [
            (":method", method), (":scheme", tls == nil ? "http" : "https"), (":authority", rule.host ?? host), (":path", path),
            ("user-agent", "portcullis-health-check"),
        ]
    }

    private func exchange(
        _ fields: [(name: String, value: String)], _ body: [UInt8], at address: SocketAddress,
        _ judge: (HTTP2Client.Response) -> String?
    ) -> String? {
        do {
            let client = HTTP2Client(tls, bodyBytesMax: bodyBytesMax, within: rule.timeout)
            return judge(try client.exchange(fields, body: body, with: host, at: address))
        } catch {
            return error.reason
        }
    }

    /// Not used for TLS: made once, because making it reads the system's trust store.
    private static let inClear = try? ClientContext(trustedPEM: nil, certificate: nil)

    private var limit: String { "\(rule.timeout.milliseconds) ms" }
}

private let bodyBytesMax = 1 << 20
