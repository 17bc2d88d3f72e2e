import Bytes
import TLS

/// What waits to be sent, and what sends it, are taken out of the connection while they are changed, and put back: where every
/// look at a property is over at once, none has to be checked for overlap with another. Nothing that is called meanwhile may look
/// for them.
extension HTTP1Connection {
    @inline(__always) func withOutbound(_ change: (inout ByteQueue) -> Void) {
        var queue = ByteQueue()
        swap(&queue, &outbound)
        change(&queue)
        swap(&queue, &outbound)
    }

    /// Only while the connection is open.
    @inline(__always) func withTransport<Result>(_ use: (inout Transport) -> Result) -> Result {
        var taken: Transport? = nil
        swap(&taken, &transport)
        let result = use(&taken!)
        swap(&taken, &transport)
        return result
    }

    /// Whether bytes wait in the TLS session, of which the socket tells nothing.
    var hasPending: Bool { withTransport { $0.hasPending } }
}
