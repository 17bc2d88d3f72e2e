package import Authentication
import ConfigFile
package import Time

/// `maintenance on|off|by_operator [{ retry_after TIME; except NETWORK …; }]`: when a route is closed for a while.
package final class MaintenanceRule: Sendable {
    package enum State: Sendable {
        /// Closed.
        case on
        /// Open, also where an operator has closed the gateway.
        case off
        /// Closed when an operator says so.
        case byOperator
    }

    package let state: State
    /// What clients are told of when to come again.
    package let retryAfter: Nanoseconds
    /// Clients that may use the route all the same.
    package let exceptions: [NetworkSet]

    /// What holds where the file says nothing.
    package static let usual = MaintenanceRule(.byOperator, retryAfter: .seconds(300), exceptions: [])

    private init(_ state: State, retryAfter: Nanoseconds, exceptions: [NetworkSet]) {
        self.state = state
        self.retryAfter = retryAfter
        self.exceptions = exceptions
    }

    /// Nil where a part of it is wrong.
    ///
    /// - Parameter named: the networks of the file.
    convenience init?(_ directive: Directive, _ named: [String: NetworkSet], _ diagnostics: Diagnostics) {
        let errors = diagnostics.count
        let word = Directive(name: directive.name, arguments: directive.arguments, block: nil)
        guard let state = word.choice(["on": State.on, "off": .off, "by_operator": .byOperator], diagnostics) else { return nil }
        var retryAfter = Self.usual.retryAfter
        var exceptions: [NetworkSet] = []
        if directive.block != nil {
            if state == .off {
                diagnostics.error("a route that stays open has nothing to tell", at: directive.name, hint: "write: maintenance off;")
            }
            let block = Block(of: directive, title: "maintenance", diagnostics)
            if let time = block.one("retry_after")?.duration(diagnostics, in: .seconds(1)...(.seconds(30 * 86_400))) {
                retryAfter = Nanoseconds(time)
            }
            exceptions = block.all("except").compactMap { NetworkSet(demand: $0, named, diagnostics) }
            block.finish()
        }
        if diagnostics.count > errors { return nil }
        self.init(state, retryAfter: retryAfter, exceptions: exceptions)
    }

    /// Whether a client is turned away.
    ///
    /// - Parameters:
    ///   - isClosed: whether an operator has closed the gateway.
    ///   - client: its address as text.
    package func refuses(_ client: [UInt8], isClosed: Bool) -> Bool {
        switch state {
        case .off: return false
        case .byOperator where !isClosed: return false
        case .on, .byOperator: return !exceptions.contains { $0.contains(client) }
        }
    }
}
