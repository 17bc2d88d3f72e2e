/// Where requests are sent to compare nginx and the gateway: a route, and what is known to differ there.
package struct ImportedPlace: Sendable {
    package let pattern: String
    /// The Host that it is for.
    package let host: String?
    package let differences: Set<KnownDifference>

    package init(pattern: String, host: String?, differences: Set<KnownDifference>) {
        self.pattern = pattern
        self.host = host
        self.differences = differences
    }
}
