import Configuration
import Forwarding
import Observability
import RateLimiting

/// A client's connection, as a worker holds it: before it speaks HTTP, or speaking one of its versions.
protocol ClientConnection: AnyObject {
    /// Whose it is.
    var account: ClientAccount { get }
    /// Bytes that it and its requests hold.
    var heldBytes: Int { get }
    /// Whether a response on it may go on for as long as both sides like.
    var carriesStream: Bool { get }
    /// Ends the connection at once.
    func abort()
    /// Ends the connection if no request is under way; otherwise it ends with the last one.
    func closeIfIdle()
    /// The worker takes leave: the client is told to come again elsewhere, where its version of HTTP has a word for it.
    func drain()
}

extension ClientConnection {
    func drain() {}
    var carriesStream: Bool { false }
}
