import Time
import Bytes
import Configuration
import Forwarding
import Observability
import RateLimiting
import System
import TLS

/// What is known of a client before its first request.
struct Client {
    /// The peer's address, or what the PROXY protocol says of it; nil for a Unix socket.
    private(set) var address: IPAddress?
    private(set) var addressText: [UInt8]
    private(set) var account: ClientAccount
    /// Whether the peer may speak for the client (`trusted_proxies`).
    private(set) var isTrusted: Bool
    let isTLS: Bool
    /// What sends requests to https; nil for a listener that serves.
    let redirect: HTTPSRedirect?
    /// In whose words its requests ask for decisions; nil for requests that are forwarded.
    let decisions: DecisionProtocol?
    /// Of the listener that it came to.
    let metrics: ListenerMetrics
    var handshakeTime = Nanoseconds.zero

    init(
        _ address: IPAddress?, isTLS: Bool, redirect: HTTPSRedirect?, decisions: DecisionProtocol? = nil, metrics: ListenerMetrics,
        _ services: DownstreamServices
    ) {
        self.address = address
        account = services.account(of: address)
        addressText = [UInt8](address?.text ?? "unix")
        isTrusted = address.map { services.settings.trusts($0) } ?? true
        self.isTLS = isTLS
        self.redirect = redirect
        self.decisions = decisions
        self.metrics = metrics
    }

    /// What its requests are said to come from; one for the connection, or for several of the same peer one after the other.
    ///
    /// - Parameters:
    ///   - addresses: both ends of the connection, where an upstream wants to know them.
    ///   - last: the origin of the connection before.
    mutating func origin(_ addresses: ProxyProtocol.Addresses?, after last: inout DownstreamOrigin?) -> DownstreamOrigin {
        if let last, last.isOrigin(of: addressText, isPeerTrusted: isTrusted, isTLS: isTLS, addresses: addresses) {
            // The same bytes, held once.
            addressText = last.peer
            return last
        }
        let new = DownstreamOrigin(peer: addressText, isPeerTrusted: isTrusted, isTLS: isTLS, addresses: addresses)
        last = new
        return new
    }

    /// Takes what the PROXY protocol says of the connection.
    mutating func adopt(_ addresses: ProxyProtocol.Addresses, _ services: DownstreamServices) {
        address = addresses.source
        account = services.account(of: addresses.source)
        addressText = [UInt8](addresses.source.text)
        isTrusted = services.settings.trusts(addresses.source)
    }
}
