import RateLimiting

/// What limits need of a Redis beside counting.
extension Settings {
    /// Whether a limit that stands there has hosts counted (`share auto`).
    package func countsHosts(in redis: String) -> Bool { limits.contains { $0.countedStore == redis } }

    /// Whether a limit reads rates of plans there.
    package func readsRates(in redis: String) -> Bool { limits.contains { $0.plans?.source?.store == redis } }
}
