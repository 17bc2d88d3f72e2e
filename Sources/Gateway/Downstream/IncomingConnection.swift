import Configuration
import Bytes
import System
import Forwarding
import Observability
import RateLimiting
import TLS

/// A client's connection, as a worker holds it: before it speaks HTTP, or speaking one of its versions.
protocol ClientConnection: AnyObject {
    /// Whose it is.
    var account: ClientAccount { get }
    /// Bytes that it and its requests hold.
    var heldBytes: Int { get }
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
    /// The peer's address, or what the PROXY protocol says of it; nil for a Unix socket.
    private(set) var address: IPAddress?
    private(set) var addressText: [UInt8]
    private(set) var account: ClientAccount
    /// Whether the peer may speak for the client (`trusted_proxies`).
    private(set) var isTrusted: Bool
    let isTLS: Bool
    /// Where the listener sends everybody who comes to it: the port of https; nil for a listener that serves.
    let redirectPort: UInt16?
    fileprivate(set) var handshakeNanoseconds: UInt64 = 0

    init(_ address: IPAddress?, isTLS: Bool, redirectPort: UInt16?, _ services: DownstreamServices) {
        self.address = address
        account = services.account(of: address)
        addressText = [UInt8](address?.text ?? "unix")
        isTrusted = address.map { services.settings.trusts($0) } ?? true
        self.isTLS = isTLS
        self.redirectPort = redirectPort
    }

    /// What its requests are said to come from; one for the connection, or for several of the same peer one after the other.
    ///
    /// - Parameters:
    ///   - addresses: both ends of the connection, where an upstream wants to know them.
    ///   - last: the origin of the connection before.
    fileprivate mutating func origin(_ addresses: ProxyProtocol.Addresses?, after last: inout DownstreamOrigin?) -> DownstreamOrigin {
        if let last, last.isOrigin(of: addressText, isPeerTrusted: isTrusted, isTLS: isTLS, addresses: addresses) {
            // The same bytes, held once.
            addressText = last.peer
            return last
        }
        let new = DownstreamOrigin(peer: addressText, isPeerTrusted: isTrusted, isTLS: isTLS, addresses: addresses)
        last = new
        return new
    }

    /// Takes what the PROXY protocol says of the connection.
    fileprivate mutating func adopt(_ addresses: ProxyProtocol.Addresses, _ services: DownstreamServices) {
        address = addresses.source
        account = services.account(of: addresses.source)
        addressText = [UInt8](addresses.source.text)
        isTrusted = services.settings.trusts(addresses.source)
    }
}

/// A connection that was accepted: reads what the PROXY protocol says, has the TLS handshake made, then hands over to the version of HTTP that was agreed on.
final class IncomingConnection: EventHandler, TimerHandler, ClientConnection {
    private let services: DownstreamServices
    private let contexts: ServerContexts?
    private var client: Client
    /// Both ends of the connection, where an upstream wants to know them.
    private var addresses: ProxyProtocol.Addresses?
    private var transport: Transport?
    private var watch: Watch?
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
        _ descriptor: consuming Descriptor, from address: IPAddress?, contexts: ServerContexts?, redirectPort: UInt16?,
        proxies: ProxyPeers?,
        _ services: DownstreamServices
    ) {
        let client = Client(address, isTLS: contexts != nil, redirectPort: redirectPort, services)
        let isProxy = proxies?.contains(address) ?? false
        guard services.admits(client, isProxy: isProxy) else { return }
        guard let connection = try? IncomingConnection(descriptor, client, contexts: contexts, isProxy: isProxy, services) else {
            return services.closed(client)
        }
        services.connectionBegan(connection)
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
        var transport = Transport(descriptor)
        if let contexts, !isProxy {
            guard let session = contexts.makeSession(raw) else { throw SystemError("SSL_new", code: 12) }
            transport.secure(with: session)
        }
        self.transport = consume transport
        watch = try services.loop.watch(raw, for: [.readable], self)
        timer = Timer(self)
        services.loop.set(timer!, after: services.settings.timeouts.handshake)
    }

    func handle(_ readiness: Readiness) {
        if proxyHeader != nil { return readProxyHeader() }
        handshake()
    }

    /// Reads no byte beyond the header: what follows belongs to TLS or HTTP.
    private func readProxyHeader() {
        while var header = proxyHeader {
            do {
                switch try ProxyProtocol.read(header.span) {
                case .complete(let addresses): return proxyHeaderComplete(addresses)
                case .needs(let count):
                    var part = ByteQueue()
                    switch transport!.receive(to: &part, exactlyAtMost: count - header.count) {
                    case .moved: break
                    case .wouldBlock: return
                    case .ended, .failed: return close()
                    }
                    header.append(part.readable)
                    proxyHeader = header
                }
            } catch {
                services.counters.add(.proxyHeadersRefused)
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
        guard let raw = transport?.raw, let session = contexts.makeSession(raw) else { return close() }
        transport?.secure(with: session)
        handshake()
    }

    private func handshake() {
        guard let outcome = transport?.handshake() else { return }
        switch outcome {
        case .done:
            client.handshakeNanoseconds = Clock.now().since(acceptedAt)
            speakHTTP()
        case .wantsRead: want(.readable)
        case .wantsWrite: want([.readable, .writable])
        case .failed(let reason):
            if reason == "http request" { transport?.sendInClear(spokenInClear.span) }
            failed()
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
        let origin = client.origin(addresses, after: &services.lastOrigin)
        if isHTTP2 {
            let connection = HTTP2Connection(transport, watch, client, origin, contexts: contexts, services)
            handOver(watch, to: connection)
            connection.begin()
        } else {
            let connection = HTTP1Connection(transport, watch, client, origin, contexts: contexts, services)
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

/// The answer to a client that speaks HTTP where TLS is spoken. Nothing has been read that would tell it from another.
private let spokenInClear: [UInt8] = {
    let body = "This port speaks HTTPS, and the request came without TLS. Use https:// in its URL.\n"
    let head = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: \(body.utf8.count)\r\n\r\n"
    return Array((head + body).utf8)
}()
