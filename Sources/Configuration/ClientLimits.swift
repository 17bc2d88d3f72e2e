import Time
package import Connection
import ConfigFile
package import HTTPMessage
package import RateLimiting

/// How much of a worker one client may have: `client_limits { … }`.
package struct ClientLimits: Sendable {
    /// Open connections of a worker, and of them those from one address.
    package var connections = 16_384
    package var connectionsPerAddress = 1_024
    package var requestsPerConnection = 10_000
    /// Requests of one address, and of one subject, that may be under way at once.
    package var requests = 512
    package var requestsPerSubject = 512
    /// Tokens that are made up, or for nobody here, of one address.
    package var failedTokens = Quota.usualFailedTokens
    /// Streams of an HTTP/2 connection that may be open at once.
    package var streams = 128
    /// Streams that a client may reset, or have reset by what it does wrong.
    package var resets = Quota(count: 200, window: .seconds(10))
    /// Frames that carry nothing: settings, pings, priorities, empty data, window updates that no response calls for.
    package var controlFrames = Quota(count: 1_000, window: .seconds(10))
    /// Frames over which one head of HTTP/2 may be spread, after its first.
    package var continuations = 8

    /// How large the receive window of a stream may become.
    package var streamWindow = 8 << 20

    package var head = HeadLimits()
    /// Bytes of its body that a client sends at least in a time, and of its response that it takes, while it is waited for.
    package var uploadRate = TransferRate(bytes: 1_000, window: .seconds(10))
    package var downloadRate = TransferRate(bytes: 1_000, window: .seconds(10))
    /// Memory that a worker may hold in all; beyond it new requests get 503.
    package var memoryBytes: UInt64 = 1 << 30

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
        read("requests", 1...1_000_000, &requests)
        read("requests_per_subject", 1...1_000_000, &requestsPerSubject)
        read("streams", 1...100_000, &streams)
        read("continuations", 0...1_024, &continuations)
        if let given = block.one("resets").flatMap({ Quota($0, diagnostics) }) { resets = given }
        if let given = block.one("failed_tokens").flatMap({ Quota($0, diagnostics) }) { failedTokens = given }
        if let given = block.one("control_frames").flatMap({ Quota($0, diagnostics) }) { controlFrames = given }
        func readRate(_ name: String, _ value: inout TransferRate) {
            guard let directive = block.one(name), let given = Quota(directive, diagnostics) else { return }
            if given.window < .seconds(1) {
                diagnostics.error(
                    "\(name) is looked at no more often than once in a second", at: directive.arguments.first ?? directive.name)
            }
            value = TransferRate(bytes: given.count, window: given.window)
        }
        readRate("upload_rate", &uploadRate)
        readRate("download_rate", &downloadRate)
        read("fields", 8...10_000, &head.fields)
        read("segments", 1...1_024, &head.segments)
        func readSize(_ name: String, _ range: ClosedRange<UInt64>, _ what: String) -> UInt64? {
            guard let directive = block.one(name), let given = directive.size(diagnostics) else { return nil }
            if !range.contains(given) { diagnostics.error("\(name) is \(what)", at: directive.arguments.first ?? directive.name) }
            return given
        }
        // What is read of a connection ahead of its use stops at 64 KiB.
        if let given = readSize("head_size", 1_024...65_536, "from 1k to 64k") { head.bytes = Int(clamping: given) }
        if let given = readSize("target_size", 256...65_536, "from 256 to 64k") { head.targetBytes = Int(clamping: given) }
        if let directive = block.one("target_size"), head.targetBytes > head.bytes {
            diagnostics.error(
                "a target of \(head.targetBytes) bytes does not fit into a head of \(head.bytes)", at: directive.name,
                hint: "write both: head_size SIZE; target_size SIZE;")
        }
        head.targetBytes = min(head.targetBytes, head.bytes)
        if let given = readSize("stream_window", 65_536...(16 << 20), "from 64k to 16m") { streamWindow = Int(clamping: given) }
        if let given = readSize("memory", 16 << 20...(1 << 40), "at least 16m") { memoryBytes = given }
        block.finish()
    }
}
