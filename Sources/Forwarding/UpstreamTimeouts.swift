package import Time
import ConfigFile
import System

/// How long a server of an upstream may take.
package struct UpstreamTimeouts: Sendable {
    package let connect: Nanoseconds
    /// The longest silence of a server that owes a response.
    package let response: Nanoseconds
    /// The longest silence of a response that is a stream, and of a tunnel.
    package let stream: Nanoseconds
    /// How long a connection is kept that nothing happens on.
    package let idle: Nanoseconds

    init(_ block: Block, _ diagnostics: Diagnostics) {
        func read(_ name: String, _ fallback: Duration) -> Nanoseconds {
            Nanoseconds(block.one(name)?.duration(diagnostics, in: .milliseconds(1)...(.seconds(365 * 86_400))) ?? fallback)
        }
        connect = read("connect_timeout", .seconds(3))
        response = read("answer_timeout", .seconds(60))
        stream = read("stream_timeout", .seconds(3_600))
        idle = read("idle_timeout", .seconds(55))
    }
}
