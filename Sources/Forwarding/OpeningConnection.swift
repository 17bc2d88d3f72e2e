import Bytes
import System
import TLS

/// What becomes of an opening: one of these is called, once, from the loop.
protocol OpeningClient: EventHandler {
    /// The connection is open and, where the upstream wants it, under TLS. The watch now wakes the client.
    func opened(_ transport: consuming Transport, _ watch: Watch)
    func openingFailed(_ error: ForwardingError)
}

/// A connection to a server that is being opened: TCP, what the PROXY protocol says first, TLS. Holds its client until it has
/// come to an end.
final class OpeningConnection: EventHandler, TimerHandler {
    private let server: UpstreamServer
    private let loop: EventLoop
    private let preamble: [UInt8]
    private var client: (any OpeningClient)?
    private var transport: Transport?
    private var watch: Watch?
    private var timer: Timer?
    private var isHandshaking = false

    /// - Parameter preamble: what is sent before all else.
    init(
        to server: UpstreamServer, at address: SocketAddress, preamble: [UInt8], on loop: EventLoop, for client: any OpeningClient
    ) throws(SystemError) {
        self.server = server
        self.loop = loop
        self.preamble = preamble
        let socket = try Socket.connect(to: address)
        watch = try loop.watch(socket.raw, for: [.readable, .writable], self)
        transport = Transport(socket)
        self.client = client
        timer = Timer(self)
        loop.set(timer!, after: server.settings.connectTimeout)
    }

    /// Ends the opening; nobody is told.
    func cancel() {
        client = nil
        if let watch { loop.end(watch) }
        watch = nil
        transport = nil
        timer?.cancel()
        timer = nil
    }

    func handle(_ readiness: Readiness) {
        if isHandshaking { return handshake() }
        guard let raw = transport?.raw, readiness.allowsWriting || readiness.hasFailed else { return }
        let code = Socket.pendingError(raw)
        guard code == 0 else { return fail(.connectFailed(SystemError.text(code))) }
        connected()
    }

    func fired(_ timer: Timer) { fail(isHandshaking ? .tlsFailed("the handshake took too long") : .connectTimedOut) }

    private func connected() {
        if !preamble.isEmpty {
            // A socket that was opened just now takes these few bytes.
            var waiting = ByteQueue()
            waiting.append(preamble)
            guard case .moved = transport!.flush(&waiting) else { return fail(.closedEarly) }
        }
        let settings = server.settings
        guard let tls = settings.tls else { return opened() }
        let protocols = settings.speaksHTTP2 ? ["h2"] : []
        guard let raw = transport?.raw,
            let session = tls.context.makeSession(raw, host: settings.tlsHost(of: server.address), protocols: protocols)
        else { return fail(.tlsFailed("no session could be made")) }
        transport?.secure(with: session)
        isHandshaking = true
        handshake()
    }

    private func handshake() {
        guard let outcome = transport?.handshake() else { return }
        switch outcome {
        case .done:
            if server.settings.speaksHTTP2, transport?.agreedProtocol != "h2" {
                return fail(.tlsFailed("the server does not agree on h2"))
            }
            opened()
        case .wantsRead: want(.readable)
        case .wantsWrite: want([.readable, .writable])
        case .failed(let reason): fail(.tlsFailed(reason))
        }
    }

    private func opened() {
        guard let client, let watch, let transport = transport.take() else { return }
        self.client = nil
        self.watch = nil
        timer?.cancel()
        timer = nil
        loop.hand(watch, to: client)
        client.opened(transport, watch)
    }

    private func fail(_ error: ForwardingError) {
        let client = self.client
        cancel()
        client?.openingFailed(error)
    }

    private func want(_ interest: Readiness) {
        guard var changed = watch else { return }
        loop.change(&changed, to: interest)
        watch = changed
    }
}
