import ConfigFile

/// How long a client may take, in nanoseconds.
package struct Timeouts: Sendable {
    package var handshake: UInt64 = 10_000_000_000
    /// From the first byte of a request to the end of its head.
    package var head: UInt64 = 10_000_000_000
    /// The longest silence within a body.
    package var body: UInt64 = 30_000_000_000
    /// The longest time in which a client takes nothing of a response.
    package var write: UInt64 = 30_000_000_000
    /// Between requests.
    package var idle: UInt64 = 75_000_000_000

    init(_ directive: Directive?, _ diagnostics: Diagnostics) {
        guard let directive else { return }
        let block = Block(of: directive, title: "timeouts", diagnostics)
        _ = directive.hasArguments(0...0, "{ … }", diagnostics)
        func read(_ name: String, _ value: inout UInt64) {
            guard let given = block.one(name)?.duration(diagnostics, in: .milliseconds(10)...(.seconds(86_400))) else { return }
            value = UInt64(clamping: given.nanoseconds)
        }
        read("handshake", &handshake)
        read("head", &head)
        read("body", &body)
        read("write", &write)
        read("idle", &idle)
        block.finish()
    }
}
