import System
import Time

/// Commands to one server, and its replies, for a command of an operator that waits for them.
final class LiveConversation: RedisConnectionOwner, TimerHandler {
    private let commands: [[String]]
    private var replies: [RedisReply] = []
    private var failure: String?
    private var connection: RedisConnection?

    private init(_ commands: [[String]]) { self.commands = commands }

    /// - Returns: a reply for each command, errors of the server's among them; or why there are none.
    static func hold(
        _ commands: [[String]], to address: SocketAddress, _ tls: RedisConnection.TLS, within time: Nanoseconds, on loop: EventLoop
    ) -> Result<[RedisReply], Failure> {
        let conversation = LiveConversation(commands)
        let timer = Timer(conversation)
        loop.set(timer, after: time)
        defer {
            timer.cancel()
            conversation.connection?.close()
        }
        do {
            conversation.connection = try RedisConnection(to: address, tls.settings, host: tls.host, on: loop, conversation)
        } catch {
            return .failure(Failure(reason: error.description))
        }
        while conversation.failure == nil, conversation.replies.count < commands.count { loop.turn(waitingAtMost: 100) }
        if let failure = conversation.failure { return .failure(Failure(reason: failure)) }
        return .success(conversation.replies)
    }

    struct Failure: Error { let reason: String }

    func fired(_ timer: Timer) { failure = failure ?? "no reply in time" }

    func connectionOpened(_ connection: RedisConnection) {
        for words in commands { connection.append(words.map { [UInt8]($0.utf8) }) }
        connection.flush()
    }

    func connection(_ connection: RedisConnection, gave reply: RedisReply) { replies.append(reply) }

    func connection(_ connection: RedisConnection, broke reason: String) { failure = failure ?? reason }
}
