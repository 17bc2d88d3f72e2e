import Forwarding
import Observability
import Policy
import System
import Time

/// What is to be said of a request that is over: made once, and read by the log, the metrics and the trace.
struct RequestRecord {
    /// What became of the request.
    enum Outcome {
        case forwarded
        /// The gateway has answered itself.
        case answered
        case refused
        /// The response was broken off.
        case brokenOff
        /// A stream that ended with its credential.
        case ended
    }

    let passage: Passage
    let outcome: Outcome
    let endedAt: Instant
    /// How long the upstream had the request, to the end of its response; zero where none had it.
    let upstreamTime: Nanoseconds

    /// - Parameter isComplete: whether the client was sent the whole response.
    init(_ passage: Passage, isComplete: Bool, at now: Instant) {
        self.passage = passage
        endedAt = now
        outcome =
            switch passage.verdict {
            case .replied: .answered
            case .refused: .refused
            case .none where passage.isExpired, .brokenOff where passage.isExpired: .ended
            case .none: isComplete ? .forwarded : .brokenOff
            case .brokenOff: .brokenOff
            }
        let exchange = passage.exchange
        upstreamTime = exchange.serverWasUsed ? exchange.endedAt.since(exchange.startedAt) : .zero
    }

    var beganAt: Instant { passage.beganAt }
    var duration: Nanoseconds { endedAt.since(beganAt) }

    var decision: String {
        switch outcome {
        case .forwarded: "forwarded"
        case .answered: "answered"
        case .refused: "refused"
        case .brokenOff: "broken_off"
        case .ended: "ended"
        }
    }

    /// A stable word for machines; nil where all went well, or the client itself went away.
    var reason: String? {
        if outcome == .ended { return passage.stream?.ending == .authorizerRefuses ? "authorizer_forbidden" : "credential_expired" }
        return switch passage.verdict {
        case .none: nil
        case .replied(let reply): reply.reason
        case .refused(let refusal): refusal.reason
        case .brokenOff(let error): error.reason
        }
    }

    /// For a person who reads the log.
    var detail: String? {
        switch passage.verdict {
        case .refused(let refusal): refusal.logDetail
        case .brokenOff(let error): outcome == .ended ? nil : error.explanation
        case .none, .replied: nil
        }
    }
}
