package import HTTPMessage

/// Why an admitted request got no response of its upstream.
package enum ForwardingError: Error, Equatable, Sendable {
    /// No server of the group has an address yet.
    case unresolved
    /// None of the servers may be asked: all are down, or taken out.
    case noServer
    /// All connections that the group may have were busy for as long as connecting may take.
    case busy
    /// As many requests wait as `max_waiting` allows.
    case queueFull
    /// As many requests are under way as `max_requests` allows.
    case tooManyRequests
    /// Too many requests have failed: none goes out for a while.
    case circuitOpen
    /// The client kept the upstream waiting while others wanted its place.
    case gaveWay
    case connectFailed(String)
    case connectTimedOut
    case tlsFailed(String)
    case responseTimedOut
    /// The connection ended before the response did.
    case closedEarly
    case badResponse(MessageError)
    /// A response that HTTP does not allow here, such as 101 to a request that asked for no upgrade.
    case unexpectedResponse(String)
    /// A value that the route wants to put into this header cannot stand in one.
    case headerUnusable(String)
    /// The rewritten path is not in normal form.
    case pathUnusable

    package var reason: String {
        switch self {
        case .unresolved: "upstream_unresolved"
        case .noServer: "upstream_no_server"
        case .busy: "upstream_max_connections"
        case .queueFull: "upstream_max_waiting"
        case .tooManyRequests: "upstream_max_requests"
        case .circuitOpen: "upstream_circuit_open"
        case .gaveWay: "upstream_gave_way"
        case .connectFailed: "upstream_connect_failed"
        case .connectTimedOut: "upstream_connect_timeout"
        case .tlsFailed: "upstream_tls_failed"
        case .responseTimedOut: "upstream_timeout"
        case .closedEarly: "upstream_closed_early"
        case .badResponse: "upstream_answer_malformed"
        case .unexpectedResponse: "upstream_answer_unexpected"
        case .headerUnusable: "header_value_unusable"
        case .pathUnusable: "path_unusable"
        }
    }

    /// For logs; may name addresses.
    package var explanation: String {
        switch self {
        case .unresolved: "no server of the upstream has an address"
        case .noServer: "every server of the upstream is down, or taken out"
        case .busy: "all connections that max_connections allows were busy"
        case .queueFull: "as many requests wait for a connection as max_waiting allows"
        case .tooManyRequests: "as many requests are under way as max_requests allows"
        case .circuitOpen: "too many requests to the upstream failed: its breaker is open"
        case .gaveWay: "the client kept the upstream waiting while others waited for its connection"
        case .connectFailed(let reason): "connecting failed: \(reason)"
        case .connectTimedOut: "connecting took too long"
        case .tlsFailed(let reason): "TLS failed: \(reason)"
        case .responseTimedOut: "the upstream took too long to answer"
        case .closedEarly: "the upstream closed the connection before the end of its answer"
        case .badResponse(let error): "the answer is malformed: \(error.explanationOfResponse)"
        case .unexpectedResponse(let reason): reason
        case .headerUnusable(let name): "the value for \(name) cannot stand in a header"
        case .pathUnusable: "the rewritten path could mean two things"
        }
    }
}
