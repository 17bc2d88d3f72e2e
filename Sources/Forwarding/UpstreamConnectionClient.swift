import HTTPMessage

/// What an upstream connection tells the exchange that it works for.
protocol UpstreamConnectionClient: AnyObject {
    func received(head: borrowing ResponseHead, on connection: UpstreamConnection)
    func received(body: Span<UInt8>, on connection: UpstreamConnection)
    func received(trailer line: FieldTable.Line, in bytes: Span<UInt8>, on connection: UpstreamConnection)
    /// The answer is complete.
    func answerEnded(on connection: UpstreamConnection)
    /// The connection is gone.
    func failed(_ error: ForwardingError, on connection: UpstreamConnection)
    /// The send queue has room again.
    func sendQueueDrained(on connection: UpstreamConnection)
}
