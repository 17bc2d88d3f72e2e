import Administration
import Time
import UpstreamHealth

/// A server as operators see it.
struct ServerView {
    let upstream: String
    let server: String
    let state: ServerHealth.State
    /// Why it is not up; empty where it is.
    let reason: String
    /// Seconds until it may be tried again; zero where that is not a matter of time.
    let seconds: UInt64

    init(upstream: String, server: String, health: ServerHealth?, isChecked: Bool, isEjected: Bool, lastFailure: String?, at now: Instant) {
        self.upstream = upstream
        self.server = server
        state = health?.state(at: now, isChecked: isChecked, isEjected: isEjected) ?? .up
        switch state {
        case .up: reason = ""
        case .ejected(.consecutive): reason = "it failed again and again"
        case .ejected(.rate): reason = "too many of its requests failed"
        case .probation: reason = "it failed; the next request finds out whether it is well"
        case .down: reason = lastFailure ?? "its checks fail"
        case .drained: reason = "an operator has taken it out"
        }
        if case .ejected = state { seconds = health?.ejectedUntil.since(now).secondsUp ?? 0 } else { seconds = 0 }
    }

    var isUp: Bool { state == .up || state == .probation }

    var json: [(String, JSON)] {
        [
            ("server", .text(server)), ("state", .text(state.word)), ("reason", reason.isEmpty ? .null : .text(reason)),
            ("seconds", .number(seconds)),
        ]
    }
}
