package import Observability
package import Time

extension Exchange {
    /// A request to a server, as a trace shows it.
    package struct Try {
        package let server: String
        package let beganAt: Instant
        package internal(set) var endedAt = Instant.never
        /// 0 where there was no response.
        package internal(set) var status = 0
        package internal(set) var error: String?
    }

    func tryEnded(_ status: Int, _ error: String?, at now: Instant) {
        guard !traced.isEmpty else { return }
        traced[traced.count - 1].status = status
        traced[traced.count - 1].error = error
        traced[traced.count - 1].endedAt = now
    }

    /// The trace that the next request belongs to.
    package func follow(_ trace: TraceContext?) {
        outgoing.trace = trace
        if !traced.isEmpty { traced = [] }
    }
}
