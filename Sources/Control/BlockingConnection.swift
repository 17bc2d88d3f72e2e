import Bytes
import CLinux
package import System
package import TLS
package import Time

/// A connection to a server whose every step blocks until it is done or the time is over; never on a loop.
package struct BlockingConnection: ~Copyable {
    package struct Failure: Error, Sendable {
        package let reason: String
    }

    private var transport: Transport
    private let raw: Int32
    private let deadline: Instant
    private let allowed: Nanoseconds

    private init(_ socket: consuming Descriptor, within allowed: Nanoseconds) {
        self.allowed = allowed
        deadline = Clock.now().adding(allowed)
        raw = socket.raw
        transport = Transport(socket)
    }

    /// Connects.
    ///
    /// - Parameter allowed: for everything that is done with the connection.
    package static func open(to address: SocketAddress, within allowed: Nanoseconds) throws(Failure) -> BlockingConnection {
        let connection = BlockingConnection(try socket(to: address), within: allowed)
        try connection.wait(Int16(POLLOUT))
        let code = Socket.pendingError(connection.raw)
        guard code == 0 else { throw Failure(reason: "connecting to \(address.text): \(SystemError.text(code))") }
        return connection
    }

    private static func socket(to address: SocketAddress) throws(Failure) -> Descriptor {
        do {
            return try Socket.connect(to: address)
        } catch {
            throw Failure(reason: error.description)
        }
    }

    /// Speaks TLS from here on, with a server that proves to be `host`.
    ///
    /// - Parameter protocols: what is offered by ALPN (RFC 7301).
    package mutating func secure(_ context: ClientContext, host: String, protocols: [String] = []) throws(Failure) {
        guard let session = context.makeSession(raw, host: host, protocols: protocols) else {
            throw Failure(reason: "no TLS session could be made")
        }
        transport.secure(with: session)
        handshake: while true {
            switch transport.handshake() {
            case .done: break handshake
            case .wantsRead: try wait(Int16(POLLIN))
            case .wantsWrite: try wait(Int16(POLLOUT))
            case .failed(let reason): throw Failure(reason: reason)
            }
        }
    }

    /// The protocol that ALPN agreed on; nil without one.
    package var agreedProtocol: String? { mutating get { transport.agreedProtocol } }

    package mutating func send(_ bytes: [UInt8]) throws(Failure) {
        var outbound = ByteQueue()
        outbound.append(bytes)
        try send(&outbound)
    }

    /// Sends all that is in the queue.
    mutating func send(_ outbound: inout ByteQueue) throws(Failure) {
        while !outbound.isEmpty {
            switch transport.flush(&outbound) {
            case .moved: break
            case .wouldBlock: try wait(Int16(POLLOUT))
            case .ended, .failed: throw Failure(reason: "the connection broke while asking")
            }
        }
    }

    /// Puts what comes next behind `queue`; false at the end of the connection.
    ///
    /// - Parameter count: how many bytes are taken at most, where what follows is for somebody else.
    mutating func receive(_ queue: inout ByteQueue, exactlyAtMost count: Int? = nil) throws(Failure) -> Bool {
        while true {
            // Also of a server that always has something to say.
            guard Clock.now() < deadline else { throw late }
            let transfer = count.map { transport.receive(to: &queue, exactlyAtMost: $0) } ?? transport.receive(to: &queue, minimum: 16_384)
            switch transfer {
            case .moved: return true
            case .wouldBlock: try wait(Int16(POLLIN))
            case .ended: return false
            case .failed: throw Failure(reason: "the connection broke")
            }
        }
    }

    private func wait(_ events: Int16) throws(Failure) {
        let left = deadline.since(Clock.now()).milliseconds
        var entry = pollfd(fd: raw, events: events, revents: 0)
        // SAFETY: one entry, which lives for the call.
        guard left > 0, unsafe poll(&entry, 1, Int32(clamping: left)) != 0 else { throw late }
    }

    private var late: Failure {
        let isWhole = allowed.milliseconds % 1_000 == 0
        return Failure(reason: "no reply within \(isWhole ? "\(allowed.seconds) s" : "\(allowed.milliseconds) ms")")
    }
}
