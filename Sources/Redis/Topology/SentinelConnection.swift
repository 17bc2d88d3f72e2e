import System
import Time

/// A connection to one sentinel: it asks where the master is, or listens for a change.
final class SentinelConnection: RedisConnectionOwner {
    enum Purpose { case asking, listening }
    enum News {
        /// The sentinel's answer; nil where it knows of no such master.
        case master(SocketAddress?)
        case switched(from: SocketAddress?, to: SocketAddress)
        case ended(String)
    }

    let purpose: Purpose
    private let settings: SentinelSettings
    private var connection: RedisConnection?
    /// Replies that belong to the beginning.
    private var repliesToSkip = 0
    /// Since when an answer is awaited.
    private(set) var askedAt: Instant?
    /// Whether the subscription is confirmed.
    private var hasBegun = false
    /// When it was heard last; before, when the connection was begun.
    private var heardAt: Instant
    private let loop: EventLoop
    private let tell: (SentinelConnection, News) -> Void

    init(
        _ purpose: Purpose, _ settings: SentinelSettings, _ server: RedisSettings.Address, at address: SocketAddress, on loop: EventLoop,
        tell: @escaping (SentinelConnection, News) -> Void
    ) throws(SystemError) {
        self.purpose = purpose
        self.settings = settings
        self.loop = loop
        self.tell = tell
        askedAt = loop.now
        heardAt = loop.now
        connection = try RedisConnection(to: address, settings.tls, host: settings.tlsHost(of: server, at: address), on: loop, self)
    }

    func close() {
        connection?.close()
        connection = nil
    }

    func connectionOpened(_ connection: RedisConnection) {
        if let words = settings.login.command {
            repliesToSkip = 1
            send(words)
        }
        switch purpose {
        case .asking: send(["SENTINEL", "GET-MASTER-ADDR-BY-NAME", settings.master])
        case .listening: send(["SUBSCRIBE", "+switch-master"])
        }
    }

    /// Of one that is listened to: a connection that has died says nothing, so a sign of life is asked for every few seconds; false where none comes.
    func isAlive() -> Bool {
        let silence = loop.now.since(heardAt)
        if silence >= silenceMax { return false }
        if connection?.isOpen == true, askedAt == nil, silence >= pingAfter {
            askedAt = loop.now
            send(["PING"])
        }
        return askedAt.map { loop.now.since($0) < replyMax } ?? true
    }

    /// Asks once more.
    func ask() {
        guard askedAt == nil, connection?.isOpen == true else { return }
        askedAt = loop.now
        send(["SENTINEL", "GET-MASTER-ADDR-BY-NAME", settings.master])
    }

    private func send(_ words: [String]) { connection?.send(words.map { [UInt8]($0.utf8) }) }

    func connection(_ connection: RedisConnection, gave reply: RedisReply) {
        guard connection === self.connection else { return }
        heardAt = loop.now
        if case .error(let text) = reply {
            // Who may not say PING is answered all the same.
            guard purpose == .listening, hasBegun else { return end(text) }
            askedAt = nil
            return
        }
        if repliesToSkip > 0 {
            repliesToSkip -= 1
            return
        }
        askedAt = nil
        switch purpose {
        case .asking:
            if case .null = reply { return tell(self, .master(nil)) }
            guard let address = Self.master(in: reply) else {
                return end("it gave no address but \(Self.shape(reply)); a name needs resolve-hostnames, and announce-hostnames off")
            }
            tell(self, .master(address))
        case .listening:
            // The first is that the subscription has begun.
            hasBegun = true
            guard case .array(let parts) = reply, parts.count == 3, case .string(let kind) = parts[0], kind == [UInt8]("message".utf8),
                case .string(let text) = parts[2]
            else { return }
            let words = String(decoding: text, as: UTF8.self).split(separator: " ").map(String.init)
            guard words.count == 5, words[0] == settings.master, let new = Self.address(words[3], words[4]) else { return }
            tell(self, .switched(from: Self.address(words[1], words[2]), to: new))
        }
    }

    func connection(_ connection: RedisConnection, broke reason: String) {
        guard connection === self.connection else { return }
        end(reason)
    }

    private func end(_ reason: String) {
        close()
        tell(self, .ended(reason))
    }

    /// Where a sentinel says that the master is.
    static func master(in reply: RedisReply) -> SocketAddress? {
        guard case .array(let parts) = reply, parts.count == 2 else { return nil }
        return address(parts[0], parts[1])
    }

    private static func address(_ host: RedisReply, _ port: RedisReply) -> SocketAddress? {
        guard case .string(let host) = host, case .string(let port) = port else { return nil }
        return address(String(decoding: host, as: UTF8.self), String(decoding: port, as: UTF8.self))
    }

    private static func address(_ host: String, _ port: String) -> SocketAddress? {
        guard let address = IPAddress(host), let port = UInt16(port) else { return nil }
        return .ip(address, port: port)
    }

    private static func shape(_ reply: RedisReply) -> String {
        guard case .array(let parts) = reply, case .string(let host)? = parts.first else { return "something else" }
        return "'\(String(decoding: host.prefix(64), as: UTF8.self))'"
    }
}

/// A sentinel that is listened to and says nothing is asked for a sign of life.
private let pingAfter = Nanoseconds.seconds(5)
private let replyMax = Nanoseconds.seconds(2)
private let silenceMax = Nanoseconds.seconds(10)
