import HTTPMessage
import Observability
import Policy

extension Counters {
    /// Counts a response by its class.
    func add(status: Int) {
        switch status {
        case 200..<300: add(.responses2xx)
        case 300..<400: add(.responses3xx)
        case 400..<500: add(.responses4xx)
        case 500..<600: add(.responses5xx)
        default: break
        }
    }

    func add(_ refusal: Refusal) {
        add(.refusals)
        if case .malformed = refusal { add(.malformedRequests) }
        if case .forwarding = refusal { add(.upstreamFailures) }
        switch refusal {
        case .malformed(.headTooLarge), .malformed(.tooManyFields), .malformed(.targetTooLong): add(.headsTooLarge)
        case .headTimeout: add(.headsTimedOut)
        case .bodyTimeout, .bodyTooSlow: add(.slowBodies)
        case .overloaded: add(.memoryRefusals)
        default: break
        }
    }
}
