package import Time
import ConfigFile
import System

/// How long a client may take.
package struct Timeouts: Sendable {
    package var handshake = Nanoseconds.seconds(10)
    /// From the first byte of a request to the end of its head.
    package var head = Nanoseconds.seconds(10)
    /// The longest silence within a body.
    package var body = Nanoseconds.seconds(30)
    /// The longest time in which a client takes nothing of a response.
    package var write = Nanoseconds.seconds(30)
    /// Between requests.
    package var idle = Nanoseconds.seconds(75)

    init(_ directive: Directive?, _ diagnostics: Diagnostics) {
        guard let directive else { return }
        let block = Block(of: directive, title: "timeouts", diagnostics)
        _ = directive.hasArguments(0...0, "{ … }", diagnostics)
        func read(_ name: String, _ value: inout Nanoseconds) {
            guard let given = block.one(name)?.duration(diagnostics, in: .milliseconds(10)...(.seconds(365 * 86_400))) else { return }
            value = Nanoseconds(given)
        }
        read("handshake", &handshake)
        read("head", &head)
        read("body", &body)
        read("write", &write)
        read("idle", &idle)
        block.finish()
    }
}
