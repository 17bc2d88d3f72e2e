import ConfigFile
package import RateLimiting

/// How much of a worker one client may have: `client_limits { … }`.
package struct ClientLimits: Sendable {
    /// Open connections of a worker, and of them those from one address.
    package var connections = 16_384
    package var connectionsPerAddress = 1_024
    package var requestsPerConnection = 10_000
    /// Streams of an HTTP/2 connection that may be open at once.
    package var streams = 128
    /// Streams that a client may reset, or have reset by what it does wrong.
    package var resets = Quota(count: 200, windowNanoseconds: 10_000_000_000)
    /// Frames that carry nothing: settings, pings, priorities, empty data, credit that no answer calls for.
    package var controlFrames = Quota(count: 1_000, windowNanoseconds: 10_000_000_000)
    /// Frames over which one head of HTTP/2 may be spread, after its first.
    package var continuations = 8

    init(_ directive: Directive?, _ diagnostics: Diagnostics) {
        guard let directive else { return }
        let block = Block(of: directive, title: "client_limits", diagnostics)
        _ = directive.hasArguments(0...0, "{ … }", diagnostics)
        func read(_ name: String, _ range: ClosedRange<Int>, _ value: inout Int) {
            if let given = block.one(name)?.integer(range, diagnostics) { value = given }
        }
        read("connections", 1...1_000_000, &connections)
        read("connections_per_address", 1...1_000_000, &connectionsPerAddress)
        read("requests_per_connection", 1...1_000_000_000, &requestsPerConnection)
        read("streams", 1...100_000, &streams)
        read("continuations", 0...1_024, &continuations)
        if let given = block.one("resets").flatMap({ Quota($0, diagnostics) }) { resets = given }
        if let given = block.one("control_frames").flatMap({ Quota($0, diagnostics) }) { controlFrames = given }
        block.finish(later: ["min_rate", "memory", "head_size", "fields"])
    }
}
