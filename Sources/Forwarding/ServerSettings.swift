import ConfigFile
import UpstreamHealth
package import Time

/// `server ADDRESS [weight N] [backup] [slow_start TIME];` of an upstream.
package struct ServerSettings: Sendable {
    package let address: UpstreamSettings.Address
    /// Its share of requests, beside the others' weights.
    package var weight = 1
    /// It is given requests only where none with a lower number can have any.
    package var tier = 0
    package var isBackup: Bool { tier > 0 }
    /// How long it takes until a server that came up has its whole share.
    package var slowStart = Nanoseconds.zero

    package init(address: UpstreamSettings.Address) { self.address = address }

    /// One of a service.
    ///
    /// - Parameter hasWeights: whether any of its priority has a weight; beside those a weight of 0 is next to nothing.
    init(_ server: ServiceServer, tier: Int, hasWeights: Bool) {
        address = .host(server.host, port: server.port)
        weight = hasWeights ? max(1, Int(server.weight) * 10) : 1
        self.tier = tier
    }

    /// Nil where a part of it is wrong.
    init?(_ directive: Directive, _ diagnostics: Diagnostics) {
        if directive.block != nil {
            diagnostics.error(
                "a server has no block", at: directive.name,
                hint: "write: server ADDRESS weight 2 backup slow_start 30s; with what you need of it")
            return nil
        }
        var words = directive.words("HOST:PORT or unix:/path", diagnostics)[...]
        guard let first = words.popFirst(), let address = UpstreamSettings.Address(first, diagnostics) else { return nil }
        self.address = address
        while let name = words.popFirst() {
            switch name.text {
            case "backup": tier = 1
            case "weight":
                guard let value = words.popFirst(), let number = Int(value.text), (1...1_000).contains(number) else {
                    diagnostics.error("weight is a number from 1 to 1000", at: name)
                    return nil
                }
                weight = number
            case "slow_start":
                guard let value = words.popFirst(),
                    let length = Directive(name: name, arguments: [value], block: nil).duration(diagnostics, in: .zero...(.seconds(3_600)))
                else {
                    diagnostics.error("slow_start has a time", at: name, hint: "write: slow_start 30s")
                    return nil
                }
                slowStart = Nanoseconds(length)
            default:
                diagnostics.error(
                    "'\(name.text)' cannot stand here", at: name, hint: "after the address come weight N, backup and slow_start TIME")
                return nil
            }
        }
    }
}
