/// How responses tell a limit.
package enum LimitHeaders: String, Sendable {
    /// `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10).
    case draft
    /// `X-RateLimit-Limit`, `X-RateLimit-Remaining`, and `X-RateLimit-Reset` in seconds.
    case legacy
    /// Not at all: 429 alone, with `Retry-After`.
    case off
}
