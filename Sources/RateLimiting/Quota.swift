package import Time

/// How many requests a limit lets through, as the file says it.
package struct Quota: Equatable, Sendable {
    /// Requests per `window`.
    package let count: UInt64
    package let window: Nanoseconds
    /// How many may come at once.
    package let burst: UInt64
    package let gcra: GCRA

    /// Of tokens of one address that let nobody in, where the file says nothing.
    package static let usualFailedTokens = Quota(count: 100, window: .seconds(10))

    package init(count: UInt64, window: Nanoseconds, burst: UInt64? = nil) {
        self.count = count
        self.window = window
        self.burst = burst ?? count
        let cost = max(1, window.count / max(1, count))
        let (product, overflow) = cost.multipliedReportingOverflow(by: self.burst)
        gcra = GCRA(cost: cost, tolerance: overflow ? .max / 4 : product)
    }
}
