package import Time
package import Authentication
import Authorization
package import Routing

/// Proof that a request has passed all stages before forwarding.
///
/// Only ``RateLimiter`` makes one, out of a ``Permit``. Forwarding uses it up.
package struct Admission: ~Copyable {
    /// Nil on a public route.
    package let identity: Identity?
    /// The route that it holds for, and no other.
    package let route: RouteID

    init(identity: Identity?, route: RouteID) {
        self.identity = identity
        self.route = route
    }
}

/// What a limit says of one request.
package struct LimitState: Sendable {
    package let limit: LimitID
    package let remaining: UInt64
    /// Until there is more of the quota than now; where nothing is left, how long to wait.
    package let nextAfter: Nanoseconds
    /// How long to wait; zero where the limit lets the request through.
    package let retryAfter: Nanoseconds
    /// Which of the limit's plans it is; 0 without ``Plans``.
    package let plan: Int

    package init(limit: LimitID, remaining: UInt64, nextAfter: Nanoseconds, retryAfter: Nanoseconds, plan: Int = 0) {
        self.limit = limit
        self.plan = plan
        self.remaining = remaining
        self.nextAfter = nextAfter
        self.retryAfter = retryAfter
    }
}

extension LimitState {
    init(_ limit: LimitID, _ decision: GCRA.Decision, of quota: Quota) {
        let (remaining, nextAfter) = quota.told(decision)
        self.init(
            limit: limit, remaining: remaining, nextAfter: nextAfter,
            retryAfter: decision.retryAfter, plan: quota.plan)
    }
}

/// Why a request that was permitted is not admitted.
package enum AdmissionError: Error, Equatable, Sendable {
    /// How long to wait.
    case limitExceeded(limit: LimitID, retryAfter: Nanoseconds)
    /// The store of this limit does not answer, and the file says `when_store_fails closed`; how long to wait until it has been tried again.
    case storeUnavailable(limit: LimitID, retryAfter: Nanoseconds)

    package var reason: String {
        switch self {
        case .limitExceeded: "limit_exceeded"
        case .storeUnavailable: "limit_store_unavailable"
        }
    }
}
