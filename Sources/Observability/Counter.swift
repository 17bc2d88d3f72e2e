/// What a worker counts of clients that were held back, for want of what `client_limits` gives. The numbers are kept in shared memory, one
/// block for each worker, and summed when read.
package enum Counter: Int, CaseIterable, Sendable {
    case acceptPauses
    /// Connections that were closed at once, because their worker or their address had as many as may be.
    case connectionsRefused
    /// HTTP/2 connections that were ended for resets or empty frames without measure, or for a head that unpacked without end.
    case floodsEnded
    /// Heads that did not come in time, or were larger than allowed.
    case headsTimedOut, headsTooLarge
    /// Bodies that came too slowly, and responses that were taken too slowly.
    case slowBodies, slowReaders
    /// Requests that were answered with 503 because the worker held too much memory.
    case memoryRefusals
    /// Requests that were refused because their client, or its subject, had as many under way as it may.
    case requestsAtOnceRefused
    /// Requests whose token was not looked at, because too many of their client's were no good.
    case failedTokensRefused

    /// As the label of a metric.
    package var word: String {
        switch self {
        case .acceptPauses: "descriptors"
        case .connectionsRefused: "connections"
        case .floodsEnded: "floods"
        case .headsTimedOut: "head_timeout"
        case .headsTooLarge: "head_size"
        case .slowBodies: "upload_rate"
        case .slowReaders: "download_rate"
        case .memoryRefusals: "memory"
        case .requestsAtOnceRefused: "requests"
        case .failedTokensRefused: "failed_tokens"
        }
    }

    /// What there were several of, for a person.
    package var phrase: String {
        switch self {
        case .acceptPauses: "pauses for want of descriptors"
        case .connectionsRefused: "connections refused"
        case .floodsEnded: "HTTP/2 connections ended for floods of frames"
        case .headsTimedOut: "heads too slow"
        case .headsTooLarge: "heads too large"
        case .slowBodies: "bodies too slow"
        case .slowReaders: "responses taken too slowly"
        case .memoryRefusals: "requests refused for want of memory"
        case .requestsAtOnceRefused: "requests too many at once"
        case .failedTokensRefused: "requests after too many failed tokens"
        }
    }
}
