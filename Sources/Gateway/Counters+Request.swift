import HTTPMessage
import Observability
import Policy

extension Counters {
    /// Counts a refusal, where it is for what `client_limits` bounds.
    func add(_ refusal: Refusal) {
        switch refusal {
        case .malformed(.headTooLarge), .malformed(.tooManyFields), .malformed(.targetTooLong): add(.headsTooLarge)
        case .headTimeout: add(.headsTimedOut)
        case .bodyTimeout, .bodyTooSlow: add(.slowBodies)
        case .overloaded: add(.memoryRefusals)
        default: break
        }
    }
}
