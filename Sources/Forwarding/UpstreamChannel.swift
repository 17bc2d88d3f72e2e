import Bytes
package import HTTP1
package import HTTPMessage

/// Where one exchange happens: a connection of HTTP/1, or a stream of one of HTTP/2.
///
/// It never calls its client from within a call of the client's.
protocol UpstreamChannel: AnyObject {
    var server: UpstreamServer { get }
    /// How far the request has come, once the exchange has failed.
    var reached: RequestReach { get }
    /// Bytes of the request that wait to be sent.
    var queuedBytes: Int { get }

    /// Begins an exchange. The request's head follows, or is moved here from a channel where it never set out.
    ///
    /// - Parameter silence: how long the server may say nothing.
    func begin(_ client: any UpstreamClient, _ shape: RequestShape, _ silence: UpstreamTimeouts.Silence)
    /// The request will not go out again: the server has all the time that there is.
    func isLastTry()
    func send(head: OutgoingHead) throws(ForwardingError)
    /// Sends bytes of the request's body.
    func send(_ bytes: Span<UInt8>)
    /// The request is complete. Within a tunnel: the client has said its last word.
    ///
    /// - Parameter trailers: whole field lines.
    func endRequest(trailers: [UInt8])
    /// Moves a request that never set out to another channel of the same group.
    func moveUnsent(to other: any UpstreamChannel)

    /// Stops the response until ``resumeReading()``, because the client takes no more.
    func pauseReading()
    func resumeReading()
    /// The exchange is given up.
    func cancel()
    /// Ends a tunnel with a last word, which is still sent.
    func leave(saying bytes: [UInt8])
}

/// What a channel tells the exchange that it works for.
protocol UpstreamClient: AnyObject {
    func received(head: borrowing ResponseHead, framing: BodyFraming, on channel: any UpstreamChannel)
    /// An interim response (1xx but 101).
    func received(interim head: borrowing ResponseHead, on channel: any UpstreamChannel)
    func received(body: Span<UInt8>, on channel: any UpstreamChannel)
    func received(trailer line: FieldTable.Line, in bytes: Span<UInt8>, on channel: any UpstreamChannel)
    /// The response is complete.
    func responseEnded(on channel: any UpstreamChannel)
    /// The channel is gone.
    func failed(_ error: ForwardingError, on channel: any UpstreamChannel)
    /// The send queue has room again.
    func sendQueueDrained(on channel: any UpstreamChannel)
}

/// What a channel has to know of a request besides its bytes.
package struct RequestShape {
    let method: Method
    let framing: BodyFraming
    /// The protocol that the request wants to change to; nil for a plain request.
    let upgrade: [UInt8]?

    /// The shape in which a request of this method goes on: one whose method has a meaning for a body, and that has none, says so
    /// (RFC 9110 §8.6); strict servers want it.
    package init(forwarding method: Method, framing: BodyFraming, upgrade: [UInt8]?) {
        let needsLength = framing == .none && upgrade == nil && method.expectsBody
        self.init(method: method, framing: needsLength ? .length(0) : framing, upgrade: upgrade)
    }

    package init(method: Method, framing: BodyFraming, upgrade: [UInt8]?) {
        self.method = method
        self.framing = framing
        self.upgrade = upgrade
    }
}

extension ResponseHead {
    /// Whether the body may go on for as long as both sides like, with pauses of any length: events, or messages of gRPC.
    package var isStream: Bool {
        guard let range = fields.first(.contentType)?.value.range else { return false }
        let type = bytes.extracting(range)
        // Looked at for every response, most of which are neither.
        guard type.count >= 16, type[0] | 0x20 == UInt8(ascii: "t") || type[12] | 0x20 == UInt8(ascii: "g") else { return false }
        return type.extracting(0..<16).equalsIgnoringCase("application/grpc")
            || type.count >= 17 && type.extracting(0..<17).equalsIgnoringCase("text/event-stream")
    }
}
