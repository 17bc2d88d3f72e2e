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
    /// Index among the configured limits.
    package let limit: Int
    package let remaining: UInt64
    /// Nanoseconds until the quota is whole again.
    package let resetAfter: UInt64
    /// Nanoseconds to wait; 0 where the limit lets the request through.
    package let retryAfter: UInt64

    package init(limit: Int, remaining: UInt64, resetAfter: UInt64, retryAfter: UInt64) {
        self.limit = limit
        self.remaining = remaining
        self.resetAfter = resetAfter
        self.retryAfter = retryAfter
    }
}

/// Why a request that was permitted is not admitted.
package enum AdmissionError: Error, Equatable, Sendable {
    /// Index of the limit, and nanoseconds to wait.
    case limitExceeded(limit: Int, retryAfter: UInt64)
    /// The store of this limit does not answer, and the file says `when_store_fails closed`.
    case storeUnavailable(limit: Int)

    package var reason: String {
        switch self {
        case .limitExceeded: "limit_exceeded"
        case .storeUnavailable: "limit_store_unavailable"
        }
    }
}
