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
    /// - Parameter hasBody: a client that takes its time to send one is to hold nobody up: as the one that finds out whether the breaker may
    ///   close it is taken only where no other has come for a while.
    func enter(hasBody: Bool) throws(ForwardingError) -> Pass {
        var isTrial = false
        if let breaker {
            switch breaker.state(at: loop.now) {
            case .ejected:
                metrics.rejected("circuit_open")
                throw .circuitOpen
            case .probation:
                let mayTry = !hasBody || breaker.ejectedUntil.adding(bodylessFirst) < loop.now
                guard mayTry, breaker.beginTrial(at: loop.now) else {
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
        /// Whether it finds out whether the breaker may close, and has not yet.
        fileprivate(set) var isTrial: Bool
    }

    /// The request is over.
    func leave(_ pass: Pass) {
        load?.ended(.requests)
        ownRequests -= 1
        if pass.isTrial { breaker?.abandonTrial() }
    }

    /// Whether the breaker is open, so that nothing is sent once more.
    var isOpen: Bool { if case .ejected = breaker?.state(at: loop.now) { true } else { false } }

    /// A server has responded to a request that passed here.
    func responded(_ status: Int, _ pass: inout Pass?) {
        guard let breaker, let rule = settings.breaker else { return }
        if 502...504 ~= status { return failed("status \(status)", &pass) }
        guard counts(&pass, for: breaker), breaker.succeeded(at: loop.now, by: rule) else { return }
        report("upstream \(settings.name): its breaker is closed again")
    }

    /// A server has not responded to it, or with a status that says that it cannot.
    func failed(_ what: String, _ pass: inout Pass?) {
        guard let breaker, let rule = settings.breaker, counts(&pass, for: breaker),
            breaker.failed(at: loop.now, by: rule, mayEject: { true }) != nil
        else { return }
        let length = breaker.ejectedUntil.since(loop.now)
        report(
            "upstream \(settings.name): its breaker opens: no request goes out for \(max(1, length.secondsUp)) s, because too many failed, "
                + "last with \(what)")
    }

    /// Of what went out before a breaker opened, nothing decides whether it closes: that is for the one which finds out.
    private func counts(_ pass: inout Pass?, for breaker: ServerHealth) -> Bool {
        let isTrial = pass?.isTrial ?? false
        if isTrial { pass?.isTrial = false }
        return isTrial || breaker.state(at: loop.now) == .up
    }

    /// The entries stay its own for as long as somebody has use of them.
    func touch(at now: Instant) { breaker?.touch(at: now) }
}

private let bodylessFirst = Nanoseconds.seconds(5)
