package import Bytes
package import EventLoop
import HTTPMessage

/// A group of servers as one worker sees it: who is there, who is busy, which connections wait.
package final class UpstreamGroup {
    package let settings: UpstreamSettings
    let buffers: BufferPool
    private let loop: EventLoop
    private var servers: [UpstreamServer] = []
    private var next = 0

    package init(_ settings: UpstreamSettings, buffers: BufferPool, on loop: EventLoop) {
        self.settings = settings
        self.buffers = buffers
        self.loop = loop
        servers = settings.servers.map { address in
            let server = UpstreamServer(address, of: self)
            if case .socket(let socket) = address { server.addresses = [socket] }
            return server
        }
    }

    /// Where a server's name leads, told by the control process. Connections to addresses that are gone are not used again.
    package func resolve(_ host: String, to addresses: [IPAddress]) {
        for server in servers {
            guard case .host(host, let port) = server.address, !addresses.isEmpty else { continue }
            server.addresses = addresses.map { .ip($0, port: port) }
            server.closeIdleElsewhere()
        }
    }

    /// A connection for an exchange: one that waits, or a new one.
    ///
    /// - Parameter fresh: whether only a new connection will do.
    func acquire(fresh: Bool) throws(ForwardingError) -> UpstreamConnection {
        var lastError = ForwardingError.unresolved
        for index in order() {
            let server = servers[index]
            if !fresh, let idle = server.takeIdle() { return idle }
            guard let address = server.nextAddress() else { continue }
            let connection = UpstreamConnection(to: server, on: loop)
            do {
                try connection.connect(to: address)
                server.active += 1
                return connection
            } catch {
                server.refused(at: loop.now)
                lastError = .connectFailed(error.reason)
            }
        }
        throw lastError
    }

    var serverCount: Int { servers.count }

    /// The servers in the order in which they are to be tried: the next in turn or the least busy one first, those that
    /// refused lately last.
    private func order() -> [Int] {
        if servers.count == 1 { return [0] }
        let now = loop.now
        var order = servers.indices.map { (next + $0) % servers.count }
        next = (next + 1) % servers.count
        if settings.balance == .leastConnections {
            order = order.enumerated().sorted { left, right in
                (servers[left.element].active, left.offset) < (servers[right.element].active, right.offset)
            }.map(\.element)
        }
        return order.filter { servers[$0].avoidedUntil <= now } + order.filter { servers[$0].avoidedUntil > now }
    }
}

/// One server of a group.
final class UpstreamServer {
    let address: UpstreamSettings.Address
    unowned let group: UpstreamGroup
    /// Where it is; empty while its name is not resolved.
    var addresses: [SocketAddress] = []
    /// Connections that work for an exchange or are being made.
    var active = 0
    /// After a failure to connect the server is asked last for a while.
    private(set) var avoidedUntil = Instant(nanoseconds: 0)
    private var idle: [UpstreamConnection] = []
    private var nextIndex = 0

    init(_ address: UpstreamSettings.Address, of group: UpstreamGroup) {
        self.address = address
        self.group = group
    }

    var hasRoomForIdle: Bool { idle.count < group.settings.idleMax }

    /// The connection that was used last, so that the others may time out.
    func takeIdle() -> UpstreamConnection? {
        guard let connection = idle.popLast() else { return nil }
        active += 1
        return connection
    }

    func nextAddress() -> SocketAddress? {
        guard !addresses.isEmpty else { return nil }
        nextIndex = (nextIndex + 1) % addresses.count
        return addresses[nextIndex]
    }

    /// What a Host field calls the server.
    var hostText: String {
        switch address {
        case .socket(.unix): "localhost"
        default: address.text
        }
    }

    /// Whether the server's name still leads to `address`.
    func isAt(_ address: SocketAddress?) -> Bool { address.map { addresses.contains($0) } ?? false }

    func closeIdleElsewhere() {
        for connection in idle where !isAt(connection.address) { connection.close() }
    }

    func becameIdle(_ connection: UpstreamConnection) {
        active -= 1
        idle.append(connection)
    }

    func closed(_ connection: UpstreamConnection) {
        if let index = idle.firstIndex(where: { $0 === connection }) { idle.remove(at: index) } else { active -= 1 }
    }

    func answered() { avoidedUntil = Instant(nanoseconds: 0) }
    func refused(at now: Instant) { avoidedUntil = now.adding(refusalNanoseconds) }

    private let refusalNanoseconds: UInt64 = 1_000_000_000
}
