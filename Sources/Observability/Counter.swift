/// What a worker counts. The numbers are kept in shared memory, one block for each worker, and summed when read.
package enum Counter: Int, CaseIterable, Sendable {
    case connectionsAccepted, connectionsOpen, handshakesFailed, requests, refusals, malformedRequests
    case responses2xx, responses3xx, responses4xx, responses5xx
    case upstreamFailures, clientsGone, acceptPauses
    /// Connections that were closed at once, because their worker or their address had as many as may be.
    case connectionsRefused
    /// HTTP/2 connections that were ended for resets or empty frames without measure, or for a head that unpacked without end.
    case floodsEnded
    /// Heads that did not come in time, or were larger than allowed.
    case headsTimedOut, headsTooLarge
    /// Bodies that came too slowly, and responses that were taken too slowly.
    case slowBodies, slowReaders
    /// Connections that have had as many requests as one may.
    case lastRequests
    /// Requests that were answered with 503 because the worker held too much memory.
    case memoryRefusals
    /// Streams and tunnels that ended with their credential.
    case streamsExpired
    /// Connections whose PROXY header was missing or malformed.
    case proxyHeadersRefused
    /// Requests that were refused because their client, or its subject, had as many under way as it may.
    case requestsAtOnceRefused
    /// Requests whose token was not looked at, because too many of their client's were no good.
    case failedTokensRefused
    /// External authorizers that did not say whether a request may come.
    case authorizerFailures
}
