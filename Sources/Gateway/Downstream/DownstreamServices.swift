import EventLoop
import Bytes
import Observability

/// How long, in nanoseconds, what a client still sends after its last answer is thrown away: a connection that closes on
/// unread bytes is reset, and the answer lost.
enum Linger {
    /// In all.
    static let longest: UInt64 = 30_000_000_000
    /// While nothing comes.
    static let silence: UInt64 = 5_000_000_000
}

/// What all connections of one worker share.
final class DownstreamServices {
    let loop: EventLoop
    let path: RequestPath
    let settings: Settings
    let counters: Counters
    let buffers: BufferPool
    let requestIDs: RequestIDs
    /// Set when the worker takes leave: each connection ends with its present answer.
    var isDraining = false
    /// Set when nobody comes after this worker: idle connections close.
    var isStopping = false
    /// Called when a connection is gone.
    var connectionEnded: (any ClientConnection) -> Void = { _ in }
    /// Called when a connection is there, or has come to speak a version of HTTP.
    var connectionBegan: (any ClientConnection) -> Void = { _ in }

    init(loop: EventLoop, path: RequestPath, settings: Settings, counters: Counters, buffers: BufferPool, requestIDs: RequestIDs) {
        self.loop = loop
        self.path = path
        self.settings = settings
        self.counters = counters
        self.buffers = buffers
        self.requestIDs = requestIDs
    }
}
