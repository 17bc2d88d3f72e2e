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
}
