import Policy
import Bytes
import Configuration
import Forwarding
import HTTP1
import HTTPMessage
import Routing
import System

/// What is done for a request whose head has come, whichever version of HTTP brought it.
extension Passage {
    /// Makes ready for the request whose head stands in the context: who asks, under which identifier.
    func begin(for frontEnd: any PassageFrontEnd, of client: Client, _ services: DownstreamServices) {
        var account = client.account
        // Nobody else has a say in it: then the head is not looked at.
        if client.isTrusted {
            let told = ProxyReport(context.head, trusted: services.settings.trustedProxies, in: services.settings.trustedFields)
            if let address = told.address { account = services.account(of: address) }
            context.begin(clientIP: told.address.map { [UInt8]($0.text) } ?? client.addressText, isHTTPS: told.isHTTPS ?? client.isTLS)
            report = told
        } else {
            context.begin(clientIP: client.addressText, isHTTPS: client.isTLS)
            report = nil
        }
        begin(for: frontEnd, of: account, over: client.account, at: services.loop.now)
        handshakeTime = client.handshakeTime
        decisions = client.decisions
        services.requestIDs.assign(to: context, trustsPeer: client.isTrusted)
    }

    /// Reads how the request is delivered, and what host it is for: the one that a trusted proxy tells, else the one of Host.
    func readEnvelope() throws(MessageError) -> RequestEnvelope { try readEnvelope(context.head) }

    private func readEnvelope(_ head: borrowing RequestHead) throws(MessageError) -> RequestEnvelope {
        headCapacity = head.capacity
        let envelope = try head.envelope()
        if report?.isMalformed ?? false { throw .badForwarded }
        framing = envelope.framing
        method = head.method
        version = head.version
        if let told = report?.host {
            guard let named = NamedHost(told, in: head.bytes) else { throw .badHost }
            context.serve(named.authority, at: told, of: head.bytes)
        } else if let host = envelope.host {
            context.serve(host.authority, at: host.place, of: head.bytes)
        }
        return envelope
    }

    /// What puts the outside back into the head of a response; nil where it names no place.
    func redirectRewriter(_ head: borrowing ResponseHead) -> RedirectRewriter? {
        guard let rule = route?.forwarding else { return nil }
        return RedirectRewriter(head, rule, context, server: exchange.serverHost)
    }
}
