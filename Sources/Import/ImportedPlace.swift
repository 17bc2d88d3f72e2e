/// Where requests are sent to compare nginx and the gateway: a route, and what is known to differ there.
package struct ImportedPlace: Sendable {
    package let pattern: String
    /// The Host that it is for.
    package let host: String?
    package let differences: Set<KnownDifference>

    /// Where its server listens; empty for everywhere.
    package let addresses: [String]

    package init(pattern: String, host: String?, differences: Set<KnownDifference>, addresses: [String] = []) {
        self.addresses = addresses
        self.pattern = pattern
        self.host = host
        self.differences = differences
    }
}
