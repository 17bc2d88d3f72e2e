import Bytes
import Connection
import System
import TLS
import Time

/// What becomes of an opening: one of these is called, once, from the loop.
protocol OpeningClient: EventHandler {
    /// The connection is open and, where the upstream wants it, under TLS; its events are the client's from now on.
    func opened(_ io: ConnectionIO)
    func openingFailed(_ error: ForwardingError)
}

/// A connection to a server that is being opened: TCP, what the PROXY protocol says first, TLS. Holds its client until it has
/// come to an end.
final class OpeningConnection: EventHandler, TimerHandler {
    private let server: UpstreamServer
    private let loop: EventLoop
    private let preamble: [UInt8]
    private var client: (any OpeningClient)?
    /// Nil once it is handed over, or closed.
    private var io: ConnectionIO?
    private var timer: Timer?
    private var isHandshaking = false
    private let beganAt: Instant

    /// - Parameter preamble: what is sent before all else.
    init(
        to server: UpstreamServer, at address: SocketAddress, preamble: [UInt8], on loop: EventLoop, for client: any OpeningClient
    ) throws(SystemError) {
        self.server = server
        self.loop = loop
        self.preamble = preamble
        beganAt = loop.now
        io = try ConnectionIO(try Socket.connect(to: address), for: [.readable, .writable], self, on: loop)
        self.client = client
        timer = Timer(self)
        loop.set(timer!, after: server.settings.timeouts.connect)
    }

    /// Ends the opening; nobody is told.
    func cancel() {
        client = nil
        io?.close(.silent)
        io = nil
        timer?.cancel()
        timer = nil
    }

    func handle(_ readiness: Readiness) {
        if isHandshaking { return handshake() }
        guard let raw = io?.descriptor, readiness.allowsWriting || readiness.hasFailed else { return }
        let code = Socket.pendingError(raw)
        guard code == 0 else { return fail(.connectFailed(SystemError.text(code))) }
        connected()
    }

    func fired(_ timer: Timer) { fail(isHandshaking ? .tlsFailed("the handshake took too long") : .connectTimedOut) }

    private func connected() {
        guard let io else { return }
        if !preamble.isEmpty {
            // A socket that was opened just now takes these few bytes.
            var waiting = ByteQueue()
            waiting.append(preamble)
            guard case .moved = io.flush(&waiting) else { return fail(.closedEarly) }
        }
        let settings = server.settings
        guard let tls = settings.tls else { return opened() }
        let protocols = settings.speaksHTTP2 ? ["h2"] : []
        guard let raw = io.descriptor,
            let session = tls.context.makeSession(raw, host: settings.tlsHost(of: server.address), protocols: protocols)
        else { return fail(.tlsFailed("no session could be made")) }
        io.secure(with: session)
        isHandshaking = true
        handshake()
    }

    private func handshake() {
        guard let io else { return }
        switch io.handshake() {
        case .done:
            if server.settings.speaksHTTP2, io.agreedProtocol != "h2" {
                return fail(.tlsFailed("the server does not agree on h2"))
            }
            opened()
        case .wantsRead: io.wait(for: .readable)
        case .wantsWrite: io.wait(for: [.readable, .writable])
        case .failed(let reason): fail(.tlsFailed(reason))
        }
    }

    private func opened() {
        guard let client, let io else { return }
        self.client = nil
        self.io = nil
        timer?.cancel()
        timer = nil
        server.connected(after: loop.now.since(beganAt))
        io.hand(to: client)
        client.opened(io)
    }

    private func fail(_ error: ForwardingError) {
        server.metrics.connectFailed()
        let client = self.client
        cancel()
        client?.openingFailed(error)
    }
}
