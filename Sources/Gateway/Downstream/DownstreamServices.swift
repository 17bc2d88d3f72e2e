import EventLoop
import Bytes
import Forwarding
import HTTP2
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
    let passages: Passages
    let settings: Settings
    let counters: Counters
    let buffers: BufferPool
    let requestIDs: RequestIDs
    let windows: WindowBudget
    /// Set when the worker takes leave: each connection ends with its present answer.
    var isDraining = false
    /// Set when nobody comes after this worker: idle connections close.
    var isStopping = false
    /// Of the connection that came last: many may come from one proxy.
    var lastOrigin: DownstreamOrigin?
    private var connectionCount = 0
    private var connectionsOf: [IPAddress: Int] = [:]
    /// Called when a connection is gone.
    var connectionEnded: (any ClientConnection) -> Void = { _ in }
    /// Called when a connection is there, or has come to speak a version of HTTP.
    var connectionBegan: (any ClientConnection) -> Void = { _ in }

    init(
        loop: EventLoop, path: RequestPath, settings: Settings, counters: Counters, buffers: BufferPool, requestIDs: RequestIDs,
        windows: WindowBudget
    ) {
        self.loop = loop
        self.path = path
        passages = Passages(path)
        self.settings = settings
        self.counters = counters
        self.buffers = buffers
        self.requestIDs = requestIDs
        self.windows = windows
    }

    /// Counts a connection that was accepted; false when there may be no more of them. A trusted proxy speaks for many
    /// clients, and so does one that is about to name its client.
    func admits(_ client: Client, isProxy: Bool) -> Bool {
        guard connectionCount < settings.clientLimits.connections, isProxy || mayHaveAnother(client) else {
            counters.add(.connectionsRefused)
            return false
        }
        connectionCount += 1
        count(client)
        counters.add(.connectionsAccepted)
        counters.add(.connectionsOpen)
        return true
    }

    /// A connection that was admitted turns out to be somebody else's; false when that client may have no more.
    func readmits(_ client: Client, as told: Client) -> Bool {
        uncount(client)
        let isAdmitted = mayHaveAnother(told)
        count(told)
        if !isAdmitted { counters.add(.connectionsRefused) }
        return isAdmitted
    }

    /// A connection that was admitted is closed.
    func closed(_ client: Client) {
        connectionCount -= 1
        uncount(client)
        counters.subtract(.connectionsOpen)
    }

    private func mayHaveAnother(_ client: Client) -> Bool {
        guard !client.isTrusted, let address = client.address else { return true }
        return connectionsOf[Self.subscriber(address), default: 0] < settings.clientLimits.connectionsPerAddress
    }

    /// Whom an address belongs to: of IPv6 a subscriber has the last 64 bits for itself.
    private static func subscriber(_ address: IPAddress) -> IPAddress {
        address.isV4 ? address : IPAddress(high: address.high, low: 0)
    }

    private func count(_ client: Client) { if let address = client.address { connectionsOf[Self.subscriber(address), default: 0] += 1 } }

    private func uncount(_ client: Client) {
        guard let address = client.address else { return }
        let left = connectionsOf[Self.subscriber(address), default: 1] - 1
        connectionsOf[Self.subscriber(address)] = left > 0 ? left : nil
    }
}
