import Time
import Bytes
import Configuration
import Forwarding
import HTTP2
import Observability
import RateLimiting
import System

/// How long what a client still sends after its last response is thrown away: a connection that closes on
/// unread bytes is reset, and the response lost.
enum Linger {
    /// In all.
    static let longest = Nanoseconds.seconds(30)
    /// While nothing comes.
    static let silence = Nanoseconds.seconds(5)
}

/// Knows all connections of a worker.
protocol ConnectionRegistry: AnyObject {
    /// A connection is there, or has come to speak a version of HTTP.
    func connectionBegan(_ connection: any ClientConnection)
    /// A connection is gone.
    func connectionEnded(_ connection: any ClientConnection)
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
    /// Set when the worker takes leave: each connection ends with its present response.
    var isDraining = false
    /// Set when nobody comes after this worker: idle connections close.
    var isStopping = false
    /// Of the connection that came last: many may come from one proxy.
    var lastOrigin: DownstreamOrigin?
    private var connectionCount = 0
    private var accounts: [IPAddress: ClientAccount] = [:]
    /// Of clients over Unix sockets, who have no address.
    private let nameless = ClientAccount()
    /// Set by the worker once it is made.
    weak var registry: (any ConnectionRegistry)?

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

    /// What a client has; made where it has nothing yet.
    func account(of address: IPAddress?) -> ClientAccount {
        guard let address else { return nameless }
        let subscriber = ClientAccount.subscriber(address)
        if let known = accounts[subscriber] { return known }
        let new = ClientAccount(subscriber, failedTokens: settings.clientLimits.failedTokens)
        accounts[subscriber] = new
        return new
    }

    /// Forgets clients that have nothing.
    func forgetIdleAccounts() {
        guard accounts.count > accountsKept else { return }
        for (address, account) in accounts where account.isIdle(at: loop.now) { accounts[address] = nil }
    }

    /// Counts a connection that was accepted; false when there may be no more of them. A trusted proxy speaks for many
    /// clients, and so does one that is about to name its client.
    func admits(_ client: Client, isProxy: Bool) -> Bool {
        let isFull = connectionCount >= settings.clientLimits.connections
        guard !isFull, isProxy || mayHaveAnother(client) else {
            counters.add(.connectionsRefused)
            client.metrics.refused(isFull ? .connections : .connectionsPerAddress)
            return false
        }
        connectionCount += 1
        client.account.connections += 1
        client.metrics.connectionBegan()
        return true
    }

    /// A connection that was admitted turns out to be somebody else's; false when that client may have no more.
    func readmits(_ client: Client, as told: Client) -> Bool {
        client.account.connections -= 1
        let isAdmitted = mayHaveAnother(told)
        told.account.connections += 1
        if !isAdmitted {
            counters.add(.connectionsRefused)
            client.metrics.refused(.connectionsPerAddress)
        }
        return isAdmitted
    }

    /// A connection that was admitted is closed.
    func closed(_ client: Client) {
        connectionCount -= 1
        client.account.connections -= 1
        client.metrics.connectionEnded()
    }

    private func mayHaveAnother(_ client: Client) -> Bool {
        client.isTrusted || client.account.connections < settings.clientLimits.connectionsPerAddress
    }

    // MARK: - Memory

    /// Shares a memory that is used up: those who hold much of it have no further requests, and if that is not enough, the one who holds
    /// the most loses its connections.
    ///
    /// - Parameter isFarBeyond: whether the memory is used up by far.
    func shareMemory(among connections: [any ClientConnection], isFarBeyond: Bool) {
        for account in accounts.values { account.heldBytes = 0 }
        nameless.heldBytes = 0
        for connection in connections { connection.account.heldBytes += connection.heldBytes }
        let holders = accounts.values.filter { $0.heldBytes > 0 } + (nameless.heldBytes > 0 ? [nameless] : [])
        let most = holders.reduce(0) { max($0, $1.heldBytes) }
        for account in accounts.values { account.isOverShare = account.heldBytes * 2 >= most }
        nameless.isOverShare = nameless.heldBytes * 2 >= most
        guard isFarBeyond, let largest = holders.max(by: { $0.heldBytes < $1.heldBytes }), holders.count > 1 else { return }
        var toFree = largest.heldBytes / 4
        let own = connections.filter { $0.account === largest }.map { ($0, $0.heldBytes) }.sorted { $0.1 > $1.1 }
        for (connection, bytes) in own where toFree > 0 {
            toFree -= bytes
            counters.add(.memoryRefusals)
            connection.abort()
        }
    }

    func memoryIsEnough() { for account in accounts.values where account.isOverShare { account.isOverShare = false } }
}

/// Clients that are known at least before those that have nothing are looked for.
private let accountsKept = 256
