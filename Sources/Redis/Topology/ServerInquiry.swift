import System
import Time

/// One question to one of several servers, on a connection of its own that ends with the reply: where a cluster's slots are. Who does not answer within
/// the time for connecting is passed over for the next.
final class ServerInquiry: RedisConnectionOwner, TimerHandler {
    private let settings: RedisSettings
    private let question: [String]
    private let loop: EventLoop
    private var places: [(server: RedisSettings.Address, address: SocketAddress)]
    private var connection: RedisConnection?
    private var timer: Timer?
    private var repliesOwed = 0
    private var lastReason = "no address is known"
    /// The reply and who gave it; or nil, and why nobody did.
    private let finished: (RedisReply?, SocketAddress?, String) -> Void

    /// - Parameter places: in the order in which they are asked.
    init(
        _ question: [String], to places: [(server: RedisSettings.Address, address: SocketAddress)], _ settings: RedisSettings,
        on loop: EventLoop, finished: @escaping (RedisReply?, SocketAddress?, String) -> Void
    ) {
        self.question = question
        self.settings = settings
        self.places = places.reversed()
        self.loop = loop
        self.finished = finished
        timer = Timer(self)
        askNext()
    }

    private func askNext() {
        connection?.close()
        connection = nil
        // What the one before owes it does not.
        repliesOwed = 0
        guard let place = places.popLast() else { return finish(nil, nil) }
        do {
            connection = try RedisConnection(
                to: place.address, settings.tls, host: settings.tlsHost(of: place.server, at: place.address), on: loop, self)
            loop.set(timer!, after: settings.connectTimeout)
        } catch {
            lastReason = error.description
            // Not from within itself: there may be many.
            loop.set(timer!, after: .milliseconds(1))
        }
    }

    private func finish(_ reply: RedisReply?, _ address: SocketAddress?) {
        connection?.close()
        connection = nil
        guard let timer else { return }
        timer.cancel()
        self.timer = nil
        finished(reply, address, lastReason)
    }

    func fired(_ timer: Timer) {
        if let connection { lastReason = "\(connection.address.text): no reply within \(settings.connectTimeout.milliseconds) ms" }
        askNext()
    }

    func connectionOpened(_ connection: RedisConnection) {
        if let words = settings.login.command { send(words, connection) }
        send(question, connection)
        connection.flush()
    }

    private func send(_ words: [String], _ connection: RedisConnection) {
        connection.append(words.map { [UInt8]($0.utf8) })
        repliesOwed += 1
    }

    func connection(_ connection: RedisConnection, gave reply: RedisReply) {
        guard connection === self.connection else { return }
        let isOfLogin = repliesOwed > 1
        repliesOwed -= 1
        if case .error(let text) = reply {
            // What a server that does not know AUTH says of it may have the password in it.
            let said = isOfLogin ? "AUTH is refused: \(RedisLink.code(of: text))" : String(text.prefix(reasonMax))
            lastReason = "\(connection.address.text): \(said)"
            return askNext()
        }
        if repliesOwed == 0 { finish(reply, connection.address) }
    }

    func connection(_ connection: RedisConnection, broke reason: String) {
        guard connection === self.connection else { return }
        lastReason = "\(connection.address.text): \(reason)"
        askNext()
    }
}

/// Of a server's own words, in a message.
private let reasonMax = 200
