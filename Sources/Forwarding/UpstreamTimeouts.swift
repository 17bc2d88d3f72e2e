package import Time
import ConfigFile
import System

/// How long a server of an upstream may take.
package struct UpstreamTimeouts: Sendable {
    package let connect: Nanoseconds
    /// Of its responses, unless a route says otherwise.
    package let silence: Silence
    /// How long a connection is kept that nothing happens on.
    package let idle: Nanoseconds

    /// How long nothing may come of a response.
    package struct Silence: Sendable {
        /// Of a server that owes a response.
        package var answer = Nanoseconds.zero
        /// Before the head of the response to a request that may go out again; nil for `answer`.
        package var ofTry: Nanoseconds?
        /// Of a response that is a stream, and of a tunnel.
        package var stream = Nanoseconds.zero
    }

    init(_ block: Block, _ diagnostics: Diagnostics) {
        func read(_ name: String, _ fallback: Duration) -> Nanoseconds { block.timeout(name, diagnostics) ?? Nanoseconds(fallback) }
        connect = read("connect_timeout", .seconds(3))
        silence = Silence(answer: read("answer_timeout", .seconds(60)), stream: read("stream_timeout", .seconds(3_600)))
        idle = read("idle_timeout", .seconds(55))
    }
}

/// What a route says of the silence of its upstream's servers; nil where it says nothing.
package struct RouteTimeouts: Sendable {
    package var answer: Nanoseconds?
    package var stream: Nanoseconds?

    package init() {}

    init(_ block: Block, _ diagnostics: Diagnostics) {
        answer = block.timeout("answer_timeout", diagnostics)
        stream = block.timeout("stream_timeout", diagnostics)
    }
}

extension Block {
    fileprivate func timeout(_ name: String, _ diagnostics: Diagnostics) -> Nanoseconds? {
        one(name)?.duration(diagnostics, in: .milliseconds(1)...(.seconds(365 * 86_400))).map { Nanoseconds($0) }
    }
}
