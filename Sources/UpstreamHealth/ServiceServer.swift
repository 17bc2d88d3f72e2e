package import System

/// A server of a service, as the DNS has it. Source: RFC 2782.
package struct ServiceServer: Equatable, Sendable {
    package let host: String
    package let port: UInt16
    /// Those with the lowest number come first; others are for when none of them is well.
    package let priority: UInt16
    /// Its share beside those of the same priority; 0 for as good as none, where others have more.
    package let weight: UInt16
    package let addresses: [IPAddress]

    package init(host: String, port: UInt16, priority: UInt16, weight: UInt16, addresses: [IPAddress]) {
        self.host = host
        self.port = port
        self.priority = priority
        self.weight = weight
        self.addresses = addresses
    }

    package var text: String { "\(host):\(port)" }
}
