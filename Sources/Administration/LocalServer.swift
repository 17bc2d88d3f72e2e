package import System
import Time

/// Serves operators and their tools over HTTP/1: few connections, small requests, responses in memory. What a peer sends is bounded in
/// size and time, so that no one can keep others from being served, or the process from its work.
package final class LocalServer: EventHandler, TimerHandler {
    /// Who may ask over a Unix socket; nil where everybody may who reaches it.
    package typealias Admission = (PeerCredentials) -> Bool

    let loop: EventLoop
    let handler: any LocalRequestHandler
    private let admission: Admission?
    private let networks: [IPNetwork]
    private let socket: Int32
    private var owned: Descriptor?
    private var watch: Watch?
    private var timer: Timer?
    private var connections: [ObjectIdentifier: LocalConnection] = [:]
    private var lastNumber: UInt64 = 0

    /// Takes over a socket that is bound.
    ///
    /// - Parameter networks: from where it may be asked; empty for everywhere.
    package init(
        _ socket: consuming Descriptor, on loop: EventLoop, admission: Admission? = nil, networks: [IPNetwork] = [],
        handler: any LocalRequestHandler
    ) throws(SystemError) {
        self.loop = loop
        self.handler = handler
        self.admission = admission
        self.networks = networks
        try Socket.startListening(socket.raw, backlog: 128)
        self.socket = socket.raw
        owned = consume socket
        watch = try loop.watch(self.socket, for: .readable, self)
    }

    /// Takes no more connections, and none that waits for its next request is kept. Responses that are on their way still go out.
    package func close() {
        if let watch { loop.end(watch) }
        watch = nil
        owned = nil
        timer?.cancel()
        timer = nil
        for connection in Array(connections.values) { connection.closeAfterResponse() }
    }

    /// Whether a request is under way.
    package var isBusy: Bool { connections.values.contains(where: \.isBusy) }

    package func handle(_ readiness: Readiness) {
        guard owned != nil else { return }
        for _ in 0..<acceptedAtOnce {
            switch Socket.accept(socket) {
            case .connection(let descriptor, let address):
                let isWelcome = networks.isEmpty || address.map { address in networks.contains { $0.contains(address) } } ?? true
                if isWelcome { take(descriptor) }
            case .none: return
            case .exhausted: return pause()
            }
        }
    }

    private func take(_ descriptor: consuming Descriptor) {
        var peer: PeerCredentials?
        if let admission {
            guard let credentials = PeerCredentials(of: descriptor.raw), admission(credentials) else { return }
            peer = credentials
        }
        if connections.count >= connectionsMax {
            // Who has said nothing for longest gives way, and after that who takes longest to take a response.
            let idle = connections.values.filter { !$0.isBusy }
            let candidates = idle.isEmpty ? connections.values.filter(\.isSending) : idle
            guard let oldest = candidates.min(by: { $0.number < $1.number }) else { return }
            oldest.close()
        }
        lastNumber += 1
        guard let connection = try? LocalConnection(descriptor, number: lastNumber, peer: peer, of: self) else { return }
        connections[ObjectIdentifier(connection)] = connection
    }

    func ended(_ connection: LocalConnection) { connections[ObjectIdentifier(connection)] = nil }

    /// Out of descriptors: what waits is taken later.
    private func pause() {
        guard var changed = watch else { return }
        loop.change(&changed, to: [])
        watch = changed
        let timer = timer ?? Timer(self)
        self.timer = timer
        loop.set(timer, after: .milliseconds(100))
    }

    package func fired(_ timer: Timer) {
        guard var changed = watch else { return }
        loop.change(&changed, to: .readable)
        watch = changed
    }
}

private let connectionsMax = 64
private let acceptedAtOnce = 16
