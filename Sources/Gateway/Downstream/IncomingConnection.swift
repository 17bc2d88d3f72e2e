import Bytes
import EventLoop
import Observability
import TLS

/// A client's connection, as a worker holds it: before it speaks HTTP, or speaking one of its versions.
protocol ClientConnection: AnyObject {
    /// Ends the connection at once.
    func abort()
    /// Ends the connection if no request is under way; otherwise it ends with the last one.
    func closeIfIdle()
    /// The worker takes leave: the client is told to come again elsewhere, where its version of HTTP has a word for it.
    func drain()
}

extension ClientConnection {
    func drain() {}
}

/// What is known of a client before its first request.
struct Client {
    /// The peer's address; nil for a Unix socket.
    let address: IPAddress?
    let addressText: [UInt8]
    /// Whether the peer may speak for the client (`trusted_proxies`).
    let isTrusted: Bool
    let isTLS: Bool
    /// Whether the listener only sends clients to https.
    let isRedirect: Bool
    fileprivate(set) var handshakeNanoseconds: UInt64 = 0
}

/// A connection that was accepted: has the TLS handshake made, then hands over to the version of HTTP that was agreed on.
final class IncomingConnection: EventHandler, TimerHandler, ClientConnection {
    private let services: DownstreamServices
    private let contexts: ServerContexts?
    private var client: Client
    private var transport: Transport?
    private var watch: Watch?
    private var timer: Timer?
    private let acceptedAt: Instant

    /// Takes over a connection. It is registered with the worker under this object, or the one that it is handed to.
    static func take(
        _ descriptor: consuming Descriptor, from address: IPAddress?, contexts: ServerContexts?, isRedirect: Bool,
        _ services: DownstreamServices
    ) {
        let isTrusted = address.map { address in services.settings.trustedProxies.contains { $0.contains(address) } } ?? true
        let client = Client(
            address: address, addressText: [UInt8](address?.text ?? "unix"), isTrusted: isTrusted, isTLS: contexts != nil,
            isRedirect: isRedirect)
        guard services.admits(client) else { return }
        guard let connection = try? IncomingConnection(descriptor, client, contexts: contexts, services) else {
            return services.closed(client)
        }
        services.connectionBegan(connection)
        if contexts == nil { connection.speakHTTP() }
    }

    private init(
        _ descriptor: consuming Descriptor, _ client: Client, contexts: ServerContexts?, _ services: DownstreamServices
    ) throws(SystemError) {
        self.services = services
        self.contexts = contexts
        self.client = client
        acceptedAt = services.loop.now
        let raw = descriptor.raw
        var transport = Transport(descriptor)
        if let contexts {
            guard let session = contexts.makeSession(raw) else { throw SystemError("SSL_new", code: 12) }
            transport.secure(with: session)
        }
        self.transport = consume transport
        watch = try services.loop.watch(raw, for: [.readable], self)
        timer = Timer(self)
        services.loop.set(timer!, after: services.settings.timeouts.handshake)
    }

    func handle(_ readiness: Readiness) {
        guard let outcome = transport?.handshake() else { return }
        switch outcome {
        case .done:
            client.handshakeNanoseconds = Clock.now().since(acceptedAt)
            speakHTTP()
        case .wantsRead: want(.readable)
        case .wantsWrite: want([.readable, .writable])
        case .failed: failed()
        }
    }

    func fired(_ timer: Timer) { failed() }
    func abort() { close() }
    func closeIfIdle() {}

    private func speakHTTP() {
        let isHTTP2 = transport?.agreedProtocol == "h2"
        guard var watch, let transport = transport.take() else { return }
        self.watch = nil
        timer?.cancel()
        timer = nil
        services.loop.change(&watch, to: .readable)
        if isHTTP2 {
            let connection = HTTP2Connection(transport, watch, client, contexts: contexts, services)
            handOver(watch, to: connection)
            connection.begin()
        } else {
            let connection = HTTP1Connection(transport, watch, client, contexts: contexts, services)
            handOver(watch, to: connection)
            connection.begin()
        }
    }

    private func handOver(_ watch: Watch, to connection: any ClientConnection & EventHandler) {
        services.loop.hand(watch, to: connection)
        services.connectionBegan(connection)
        services.connectionEnded(self)
    }

    private func failed() {
        services.counters.add(.handshakesFailed)
        close()
    }

    private func close() {
        guard let watch else { return }
        services.loop.end(watch)
        self.watch = nil
        transport = nil
        timer?.cancel()
        timer = nil
        services.closed(client)
        services.connectionEnded(self)
    }

    private func want(_ interest: Readiness) {
        guard var changed = watch else { return }
        services.loop.change(&changed, to: interest)
        watch = changed
    }
}
