import Time
import Bytes
import Configuration
import Connection
import Forwarding
import RateLimiting
import System
import TLS

/// A connection that was accepted: reads what the PROXY protocol says, has the TLS handshake made, then hands over to the version of HTTP that was agreed on.
final class IncomingConnection: EventHandler, TimerHandler, ClientConnection {
    private let services: DownstreamServices
    private let contexts: ServerContexts?
    private var client: Client
    /// Both ends of the connection, where an upstream wants to know them.
    private var addresses: ProxyProtocol.Addresses?
    /// Nil once it is handed over, or closed.
    private var io: ConnectionIO?
    private var timer: Timer?
    private let acceptedAt: Instant
    var account: ClientAccount { client.account }
    /// An unfinished handshake is OpenSSL's, and small.
    let heldBytes = 32_768
    /// Bytes of a PROXY header that have come; nil when none is awaited.
    private var proxyHeader: [UInt8]?

    /// Takes over a connection. It is registered with the worker under this object, or the one that it is handed to.
    ///
    /// - Parameter proxies: whose connections begin with a PROXY header.
    static func take(
        _ descriptor: consuming Descriptor, from address: IPAddress?, contexts: ServerContexts?, redirect: HTTPSRedirect?,
        decisions: DecisionProtocol? = nil,
        proxies: ProxyPeers?, metrics: ListenerMetrics,
        _ services: DownstreamServices
    ) {
        let client = Client(address, isTLS: contexts != nil, redirect: redirect, decisions: decisions, metrics: metrics, services)
        let isProxy = proxies?.contains(address) ?? false
        guard services.admits(client, isProxy: isProxy) else { return }
        guard let connection = try? IncomingConnection(descriptor, client, contexts: contexts, isProxy: isProxy, services) else {
            return services.closed(client)
        }
        services.registry?.connectionBegan(connection)
        if contexts == nil, !isProxy { connection.speakHTTP() }
    }

    private init(
        _ descriptor: consuming Descriptor, _ client: Client, contexts: ServerContexts?, isProxy: Bool, _ services: DownstreamServices
    ) throws(SystemError) {
        self.services = services
        self.contexts = contexts
        self.client = client
        acceptedAt = services.loop.now
        if isProxy { proxyHeader = [] }
        let raw = descriptor.raw
        if services.settings.tellsUpstreams { addresses = Socket.ends(of: raw) }
        let io = try ConnectionIO(descriptor, for: .readable, self, on: services.loop)
        if let contexts, !isProxy {
            guard let session = contexts.makeSession(raw) else {
                io.close(.silent)
                throw SystemError("SSL_new", code: 12)
            }
            io.secure(with: session)
        }
        self.io = io
        timer = Timer(self)
        services.loop.set(timer!, after: services.settings.timeouts.handshake)
    }

    func handle(_ readiness: Readiness) {
        if proxyHeader != nil { return readProxyHeader() }
        handshake()
    }

    /// Reads no byte beyond the header: what follows belongs to TLS or HTTP.
    private func readProxyHeader() {
        while let io, var header = proxyHeader {
            do {
                switch try ProxyProtocol.read(header.span) {
                case .complete(let addresses): return proxyHeaderComplete(addresses)
                case .needs(let count):
                    var part = ByteQueue()
                    switch io.receive(to: &part, exactlyAtMost: count - header.count) {
                    case .moved: break
                    case .wouldBlock: return
                    case .ended, .failed: return close()
                    }
                    header.append(part.readable)
                    proxyHeader = header
                }
            } catch {
                client.metrics.refused(.proxyHeader)
                return close()
            }
        }
    }

    private func proxyHeaderComplete(_ addresses: ProxyProtocol.Addresses?) {
        proxyHeader = nil
        if let addresses {
            var told = client
            told.adopt(addresses, services)
            guard services.readmits(client, as: told) else {
                client = told
                return close()
            }
            client = told
            self.addresses = addresses
        }
        guard let contexts else { return speakHTTP() }
        guard let io, let raw = io.descriptor, let session = contexts.makeSession(raw) else { return close() }
        io.secure(with: session)
        handshake()
    }

    private func handshake() {
        guard let io else { return }
        switch io.handshake() {
        case .done:
            client.handshakeTime = Clock.now().since(acceptedAt)
            client.metrics.handshakeDone(io.agreement, after: client.handshakeTime)
            speakHTTP()
        case .wantsRead: io.wait(for: .readable)
        case .wantsWrite: io.wait(for: [.readable, .writable])
        case .failed(let reason):
            if reason == "http request" { io.sendInClear(spokenInClear.span) }
            failed(reason)
        }
    }

    func fired(_ timer: Timer) { failed("timeout") }
    func abort() { close() }
    func closeIfIdle() {}

    private func speakHTTP() {
        guard let io else { return }
        self.io = nil
        timer?.cancel()
        timer = nil
        io.wait(for: .readable)
        let origin = client.origin(addresses, after: &services.lastOrigin)
        if io.agreedProtocol == "h2" {
            let connection = HTTP2Connection(io, client, origin, contexts: contexts, services)
            handOver(io, to: connection)
            connection.begin()
        } else {
            let connection = HTTP1Connection(io, client, origin, contexts: contexts, services)
            handOver(io, to: connection)
            connection.begin()
        }
    }

    private func handOver(_ io: ConnectionIO, to connection: any ClientConnection & EventHandler) {
        io.hand(to: connection)
        services.registry?.connectionBegan(connection)
        services.registry?.connectionEnded(self)
    }

    private func failed(_ reason: String) {
        client.metrics.handshakeFailed(reason)
        close()
    }

    private func close() {
        guard let io else { return }
        io.close(.silent)
        self.io = nil
        timer?.cancel()
        timer = nil
        services.closed(client)
        services.registry?.connectionEnded(self)
    }
}

/// The response to a client that speaks HTTP where TLS is spoken. Nothing has been read that would tell it from another.
private let spokenInClear: [UInt8] = {
    let body = "This port speaks HTTPS, and the request came without TLS. Use https:// in its URL.\n"
    let head = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: \(body.utf8.count)\r\n\r\n"
    return Array((head + body).utf8)
}()
