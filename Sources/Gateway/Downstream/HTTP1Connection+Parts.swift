import Bytes

extension HTTP1Connection {
    /// What waits to be sent is taken out while it is changed (decision 011). Nothing that is called meanwhile may look for it.
    @inline(__always) func withOutbound(_ change: (inout ByteQueue) -> Void) {
        var queue = exchange(&outbound, with: ByteQueue())
        change(&queue)
        swap(&queue, &outbound)
    }
}
