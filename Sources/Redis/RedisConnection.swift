import Bytes
import Connection
import System
import TLS
import Time

/// What a connection's bytes say, told to who has it.
protocol RedisConnectionOwner: AnyObject {
    /// Commands may be sent.
    func connectionOpened(_ connection: RedisConnection)
    /// Replies come in the order of the commands.
    func connection(_ connection: RedisConnection, gave reply: RedisReply)
    /// It is closed already.
    func connection(_ connection: RedisConnection, broke reason: String)
}

/// One connection to one server that speaks the Redis protocol, from the connect to its end: bytes, TLS and the reading of replies. What is asked, and
/// what replies mean, its owner knows.
final class RedisConnection: EventHandler, EndOfTurnHandler {
    /// How a server is spoken to: nil settings for in clear, and the name in its certificate.
    struct TLS {
        let settings: ClientTLSSettings?
        let host: String
    }

    private enum State { case connecting, handshaking, open, closed }

    let address: SocketAddress
    private let tls: ClientTLSSettings?
    private let host: String
    private let known: ResumableSession?
    private let loop: EventLoop
    private weak var owner: (any RedisConnectionOwner)?
    private var state = State.connecting
    private var io: ConnectionIO?
    private var outbound = ByteQueue()
    private var inbound = ByteQueue()
    private let reader = RedisReplyReader()
    private var isFlushQueued = false
    /// When the server has said something last.
    private(set) var heardAt = Instant.past

    /// - Parameter host: the name to verify in the server's certificate.
    /// - Parameter known: what an earlier connection has left; see ``resumable``.
    init(
        to address: SocketAddress, _ tls: ClientTLSSettings?, host: String, resuming known: ResumableSession? = nil, on loop: EventLoop,
        _ owner: any RedisConnectionOwner
    ) throws(SystemError) {
        self.known = known
        self.address = address
        self.tls = tls
        self.host = host
        self.loop = loop
        self.owner = owner
        io = try ConnectionIO(try Socket.connect(to: address, keepsAlive: true), for: [.readable, .writable], self, on: loop)
    }

    var isOpen: Bool { state == .open }
    /// What the next connection to the same server may begin with; there once this one has said something.
    var resumable: ResumableSession? { io?.resumable }
    /// Whether it has begun with what an earlier one has left.
    var isResumed: Bool { io?.agreement?.isResumed ?? false }
    /// Whether nothing is left to be sent.
    var isSent: Bool { outbound.isEmpty }

    /// Has a command go out at the end of this turn of the loop.
    func send(_ command: [[UInt8]]) {
        append(command)
        guard !isFlushQueued else { return }
        isFlushQueued = true
        loop.atEndOfTurn(self)
    }

    /// As above; it goes out with the next ``flush()``.
    func append(_ command: [[UInt8]]) { RedisCommand.append(command, to: &outbound) }

    func turnEnded() {
        isFlushQueued = false
        flush()
    }

    func flush() {
        guard state == .open, let io else { return }
        switch io.flush(&outbound) {
        case .moved: io.wait(for: .readable)
        case .wouldBlock: io.wait(for: [.readable, .writable])
        case .ended, .failed: fail("the connection broke")
        }
    }

    func handle(_ readiness: Readiness) {
        switch state {
        case .closed: return
        case .connecting:
            guard let raw = io?.descriptor, readiness.allowsWriting || readiness.hasFailed else { return }
            let code = Socket.pendingError(raw)
            guard code == 0 else { return fail("connect: \(SystemError.text(code))") }
            connected(raw)
        case .handshaking: handshake()
        case .open:
            if readiness.allowsWriting { flush() }
            if readiness.allowsReading { receive() }
        }
    }

    private func connected(_ raw: Int32) {
        guard let tls else { return open() }
        guard let session = tls.context.makeSession(raw, host: host, resuming: known) else { return fail("TLS session") }
        io?.secure(with: session)
        state = .handshaking
        handshake()
    }

    private func handshake() {
        guard let io else { return }
        switch io.handshake() {
        case .done: open()
        case .wantsRead: io.wait(for: .readable)
        case .wantsWrite: io.wait(for: [.readable, .writable])
        case .failed(let reason): fail("TLS: \(reason)")
        }
    }

    private func open() {
        state = .open
        io?.wait(for: .readable)
        owner?.connectionOpened(self)
    }

    /// Takes what has come.
    func receive() {
        while state == .open, let io {
            let isTLS = io.isTLS
            switch io.receive(to: &inbound, minimum: 16_384) {
            case .moved:
                heardAt = loop.now
                do {
                    try reader.feed(inbound)
                    inbound.removeAll()
                    // A reply may have had the connection closed.
                    while state == .open, let reply = try reader.next() { owner?.connection(self, gave: reply) }
                } catch {
                    return fail("wrong reply: \(error.reason)")
                }
                if !isTLS { return }
            case .wouldBlock: return
            case .ended, .failed: return fail("the server closed the connection")
            }
        }
    }

    private func fail(_ reason: String) {
        guard state != .closed else { return }
        close()
        owner?.connection(self, broke: reason)
    }

    /// Ends it without a word to anybody.
    func close() {
        state = .closed
        io?.close(.silent)
        io = nil
        outbound.removeAll()
    }
}
