import Authentication
import Bytes
import ConfigFile
import HTTP1
import HTTPMessage
package import System

/// What is known of the way a request came, for the fields that tell the upstream.
///
/// One for all requests of a connection, and of others of the same peer: what it says of each of them is written once.
package final class DownstreamOrigin: Sendable {
    /// The address of the peer itself.
    package let peer: [UInt8]
    /// Whether the peer may speak for the client (`trusted_proxies`).
    package let isPeerTrusted: Bool
    package let isTLS: Bool
    /// What the PROXY protocol tells an upstream that asks for it.
    package let addresses: ProxyProtocol.Addresses?

    /// X-Forwarded-For, X-Forwarded-Proto and the beginning of Forwarded, of a peer that speaks for itself.
    let ownLines: [UInt8]
    /// Where in it the peer's own element of Forwarded begins, which goes up to the host (RFC 7239 §4).
    private let elementStart: Int

    package init(peer: [UInt8], isPeerTrusted: Bool, isTLS: Bool, addresses: ProxyProtocol.Addresses?) {
        self.peer = peer
        self.isPeerTrusted = isPeerTrusted
        self.isTLS = isTLS
        self.addresses = addresses
        let isV6 = peer.contains(0x3A)
        let lines =
            [UInt8]("X-Forwarded-For: ") + peer + [UInt8](isTLS ? "\r\nX-Forwarded-Proto: https" : "\r\nX-Forwarded-Proto: http")
            + [UInt8]("\r\nForwarded: ")
        elementStart = lines.count
        ownLines = lines + [UInt8](isV6 ? "for=\"[" : "for=") + peer + [UInt8](isV6 ? "]\"" : "")
    }

    func appendForwardedElement(to output: inout ByteQueue) {
        let lines = ownLines
        output.append(lines.span.extracting(elementStart..<lines.count))
    }

    /// Whether another connection of this peer has nothing else to say.
    package func isOrigin(of peer: [UInt8], isPeerTrusted: Bool, isTLS: Bool, addresses: ProxyProtocol.Addresses?) -> Bool {
        self.peer == peer && self.isPeerTrusted == isPeerTrusted && self.isTLS == isTLS && self.addresses == nil && addresses == nil
    }
}
