import Time
import Configuration
import Observability
import System
import TLS

/// Takes connections from one listening socket. Out of descriptors it pauses, and does not spin.
final class Listener: EventHandler, TimerHandler {
    private let services: DownstreamServices
    private let contexts: ServerContexts?
    private let redirect: HTTPSRedirect?
    private let decisions: DecisionProtocol?
    private let proxies: ProxyPeers?
    private let metrics: ListenerMetrics
    private var socket: Descriptor?
    private var watch: Watch?
    private var timer: Timer?

    init(
        _ socket: consuming Descriptor, contexts: ServerContexts?, redirect: HTTPSRedirect?, decisions: DecisionProtocol? = nil,
        proxies: ProxyPeers?, metrics: ListenerMetrics,
        _ services: DownstreamServices
    ) throws(SystemError) {
        self.services = services
        self.contexts = contexts
        self.redirect = redirect
        self.decisions = decisions
        self.proxies = proxies
        self.metrics = metrics
        try Socket.startListening(socket.raw)
        watch = try services.loop.watch(socket.raw, for: .readable, self)
        self.socket = consume socket
        timer = Timer(self)
    }

    func handle(_ readiness: Readiness) { acceptWaiting(atMost: 64) }

    /// The supervisor keeps the socket: what waits there is taken by the next worker.
    func close() {
        if let watch { services.loop.end(watch) }
        watch = nil
        socket = nil
        timer?.cancel()
    }

    /// Takes what waits and closes: for the end of the gateway, when nobody comes after.
    func takeLastAndClose() {
        acceptWaiting(atMost: 4_096)
        close()
    }

    func fired(_ timer: Timer) { want(.readable) }

    private func acceptWaiting(atMost most: Int) {
        guard let raw = watch?.descriptor else { return }
        for _ in 0..<most {
            switch Socket.accept(raw) {
            case .connection(let descriptor, let address):
                IncomingConnection.take(
                    descriptor, from: address, contexts: contexts, redirect: redirect, decisions: decisions, proxies: proxies,
                    metrics: metrics, services)
            case .none: return
            case .exhausted:
                services.counters.add(.acceptPauses)
                want([])
                services.loop.set(timer!, after: exhaustionPause)
                return
            }
        }
    }

    private func want(_ interest: Readiness) {
        guard var changed = watch else { return }
        services.loop.change(&changed, to: interest)
        watch = changed
    }
}

private let exhaustionPause = Nanoseconds.milliseconds(100)
