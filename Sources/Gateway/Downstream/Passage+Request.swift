import Bytes
import EventLoop
import HTTP1
import HTTPMessage
import Routing

/// What is done for a request whose head has come, whichever version of HTTP brought it.
extension Passage {
    /// Makes ready for the request whose head stands in the context: who asks, under which identifier.
    func begin(for frontEnd: any PassageFrontEnd, of client: Client, _ services: DownstreamServices) {
        begin(for: frontEnd, at: services.loop.now)
        handshakeNanoseconds = client.handshakeNanoseconds
        let trusted = services.settings.trustedProxies
        // Nobody else has a say in it: then the head is not looked at.
        context.begin(clientIP: client.isTrusted ? client.text(context.head, trusted: trusted) : client.addressText)
        services.requestIDs.assign(to: context, trustsPeer: client.isTrusted)
    }

    /// Reads how the request is delivered, and what host it is for.
    func readEnvelope() throws(MessageError) -> RequestEnvelope { try readEnvelope(context.head) }

    private func readEnvelope(_ head: borrowing RequestHead) throws(MessageError) -> RequestEnvelope {
        headCapacity = head.capacity
        let envelope = try head.envelope()
        framing = envelope.framing
        method = head.method
        version = head.version
        if let place = envelope.host {
            var host: [UInt8] = []
            context.exchange(host: &host)
            try head.appendHostName(place, to: &host)
            context.exchange(host: &host)
        }
        return envelope
    }
}

extension RequestHead {
    /// Appends the host of a Host field's value in lower case, without port.
    fileprivate func appendHostName(_ range: ByteRange, to host: inout [UInt8]) throws(MessageError) {
        let value = bytes.extracting(range.range)
        var end = value.count
        if value.count > 0, value[0] == 0x5B {
            guard let close = value.firstIndex(of: 0x5D) else { throw .badHost }
            end = close + 1
        } else if let colon = value.firstIndex(of: 0x3A) {
            end = colon
        }
        if end < value.count {
            let port = value.extracting((end + 1)..<value.count)
            guard value[end] == 0x3A, port.isEmpty || port.decimal(max: 65_535) != nil else { throw .badHost }
        }
        // A last dot names the root: the same host.
        if end > 1, value[end - 1] == 0x2E { end -= 1 }
        for index in 0..<end { host.append(ASCII.lowercased(value[index])) }
    }
}
