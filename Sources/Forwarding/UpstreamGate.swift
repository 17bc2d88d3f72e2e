import Time
import System
import UpstreamHealth

/// Whether an upstream takes one more request: by `max_requests` and `breaker`, of which all workers of the host count together.
final class UpstreamGate {
    private let settings: UpstreamSettings
    private let load: UpstreamLoad?
    private let breaker: ServerHealth?
    private let metrics: UpstreamMetrics
    private let loop: EventLoop
    private let report: (String) -> Void
    /// Of this worker, where there is no memory to share.
    private var ownRequests = 0

    /// Nil where the file sets no such bound.
    init?(
        _ settings: UpstreamSettings, load: UpstreamLoad?, table: ServerTable?, metrics: UpstreamMetrics, on loop: EventLoop,
        report: @escaping (String) -> Void
    ) {
        guard settings.requestsMax != nil || settings.breaker != nil else { return nil }
        self.settings = settings
        self.load = load
        breaker = settings.breaker == nil ? nil : table?.breaker(of: settings.name, at: loop.now)
        self.metrics = metrics
        self.loop = loop
        self.report = report
    }

    /// A request wants to go out. What it takes is given back with ``leave(_:)``.
    ///
    /// - Returns: whether it is the one that finds out whether a breaker may close.
    func enter() throws(ForwardingError) -> Pass {
        var isTrial = false
        if let breaker {
            switch breaker.state(at: loop.now) {
            case .ejected:
                metrics.rejected("circuit_open")
                throw .circuitOpen
            case .probation:
                guard breaker.beginTrial(at: loop.now) else {
                    metrics.rejected("circuit_open")
                    throw .circuitOpen
                }
                isTrial = true
            case .up, .down, .drained: break
            }
        }
        load?.began(.requests)
        ownRequests += 1
        if let most = settings.requestsMax, max(ownRequests, load?.total(.requests) ?? 0) > most {
            leave(Pass(isTrial: isTrial))
            metrics.rejected("max_requests")
            throw .tooManyRequests
        }
        return Pass(isTrial: isTrial)
    }

    /// What a request has taken.
    struct Pass {
        let isTrial: Bool
    }

    /// The request is over.
    func leave(_ pass: Pass) {
        load?.ended(.requests)
        ownRequests -= 1
        if pass.isTrial { breaker?.abandonTrial() }
    }

    /// Whether the breaker is open, so that nothing is sent once more.
    var isOpen: Bool { if case .ejected = breaker?.state(at: loop.now) { true } else { false } }

    /// A server has responded to a request.
    func responded(_ status: Int) {
        guard let breaker, let rule = settings.breaker else { return }
        if 502...504 ~= status { return failed("status \(status)") }
        if breaker.succeeded(at: loop.now, by: rule) { report("upstream \(settings.name): its breaker is closed again") }
    }

    /// A server has not responded to a request, or with a status that says that it cannot.
    func failed(_ what: String) {
        guard let breaker, let rule = settings.breaker, breaker.failed(at: loop.now, by: rule, mayEject: { true }) != nil else { return }
        let length = breaker.ejectedUntil.since(loop.now)
        report(
            "upstream \(settings.name): its breaker opens: no request goes out for \(max(1, length.secondsUp)) s, because too many failed, "
                + "last with \(what)")
    }

    /// The entries stay its own for as long as somebody has use of them.
    func touch(at now: Instant) { breaker?.touch(at: now) }
}
