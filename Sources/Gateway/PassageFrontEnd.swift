import Authentication
import Authorization
import Bytes
import Configuration
import Forwarding
import HTTP1
import HTTPMessage
import Policy
import RateLimiting
import Routing
import System

/// What a front end does for the requests that come through it, whichever version of HTTP it speaks.
protocol PassageFrontEnd: ExchangeDownstream {
    var passage: Passage { get }
    /// Sends a piece of a response's body.
    func send(body: Span<UInt8>)
    /// Ends a tunnel: with its pending Close frame, if there is one.
    func closeTunnel()
    /// Ends a response that is a stream in its own terms.
    func endResponse(of stream: LiveStream)
    /// Sends a response that the gateway makes itself.
    func respond(_ reply: Reply)
    /// The request is on its way: its body may follow.
    func forwardingBegan()
    /// Ends a tunnel or a stream that does not end in its own terms.
    func breakOff()
}

extension PassageFrontEnd {
    func received(body: Span<UInt8>) {
        guard let stream = passage.stream, stream.isTunnel else {
            if let encoding = passage.encoding { return sendEncoded(body, by: encoding) }
            return send(body: body)
        }
        let count = stream.passDown(body)
        if count > 0 { send(body: body.extracting(0..<count)) }
        if stream.pendingClose != nil, count < body.count || stream.mayClose { closeTunnel() }
    }

    func responseGoesOn() { passage.path.expiry.responseGoesOn(passage) }

    func responseMustEnd() {
        guard let stream = passage.stream, stream.ending == nil else { return }
        stream.ending = .drained
        end(stream)
    }

    /// Ends a stream or a tunnel whose ending has been decided.
    func end(_ stream: LiveStream) {
        switch stream.kind {
        case .webSocket:
            stream.pendingClose = stream.closeFrame(masked: false)
            // A frame that is under way goes to its end first.
            if stream.mayClose { closeTunnel() }
        case .tunnel: closeTunnel()
        case .events, .grpc: endResponse(of: stream)
        case .body:
            // Ended like one that is complete, a part would be taken for the whole.
            passage.exchange.cancel()
            responseFailed(.closedEarly)
        }
    }
}
