package import ConfigFile
package import System

/// `health ADDRESS { … }`: where load balancers and monitors ask how the gateway is.
package struct HealthSettings: Sendable {
    package let address: SocketAddress
    /// Whether metrics are told there, too.
    package let tellsMetrics: Bool
    /// From where it may be asked; empty for everywhere.
    package let networks: [IPNetwork]

    package init?(_ directive: Directive, _ diagnostics: Diagnostics) {
        guard directive.hasArguments(1...1, "ADDRESS:PORT", diagnostics) else { return nil }
        let word = directive.arguments[0]
        guard let address = SocketAddress(word.text) else {
            diagnostics.error("'\(word.text)' is not an address to listen on", at: word, hint: "write 127.0.0.1:9901 or unix:/path")
            return nil
        }
        self.address = address
        guard directive.block != nil else {
            tellsMetrics = true
            networks = []
            return
        }
        let block = Block(of: directive, title: "health", diagnostics)
        tellsMetrics = block.one("metrics")?.choice(["on": true, "off": false], diagnostics) ?? true
        networks = block.all("from").flatMap { $0.words("NETWORK …", diagnostics) }.compactMap { IPNetwork(reading: $0, diagnostics) }
        block.finish()
    }
}
