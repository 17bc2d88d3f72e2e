package import Observability
package import Time

extension Exchange {
    /// A request to a server, as a trace shows it.
    package struct Try {
        package let server: String
        package let beganAt: Instant
        /// Of the span that the server was told (``TraceContext/spanOfTry(_:)``).
        package internal(set) var number: Int
        package internal(set) var endedAt = Instant.never
        /// 0 where there was no response.
        package internal(set) var status = 0
        package internal(set) var error: String?
    }

    func tryBegan(at now: Instant, _ server: UpstreamServer, isMoved: Bool) {
        var number = outgoing.attempt
        let count = tryCount
        changeLastTry { last in
            if last.endedAt == .never { last.endedAt = now }
            guard isMoved else { return }
            // The span in the head is that of the try which gets a response; the one before never went out.
            number = last.number
            last.number = count
        }
        traced = tries + [Try(server: server.address.text, beganAt: now, number: number)]
        tryCount = count + 1
    }

    func tryResponded(_ status: Int) { changeLastTry { $0.status = status } }

    /// The last try came to nothing, or its response did not come to its end.
    func tryFailed(_ error: ForwardingError, at now: Instant) {
        changeLastTry { last in
            guard last.endedAt == .never else { return }
            last.error = error.reason
            last.endedAt = now
        }
    }

    func tryEnded(at now: Instant) { changeLastTry { if $0.endedAt == .never { $0.endedAt = now } } }

    private func changeLastTry(_ change: (inout Try) -> Void) {
        // Taken out while it is changed (decision 011).
        var list = exchange(&traced, with: [])
        if let last = list.indices.last { change(&list[last]) }
        traced = list
    }

    func forgetTries() {
        traced = []
        tryCount = 0
    }

    /// The trace that the next request belongs to.
    package func follow(_ trace: TraceContext?) {
        outgoing.trace = trace
        if tryCount > 0 { forgetTries() }
    }
}
