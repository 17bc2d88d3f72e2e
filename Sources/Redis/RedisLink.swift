package import Observability
import Time
import Bytes
import Connection
package import RateLimiting
package import System
import TLS

/// A worker's connection to one Redis server: all calls of a turn of the loop go out in one batch.
///
/// While the server is away nothing waits for it: ``isAvailable`` is false and the link tries again, after 50 ms at first and
/// never later than a second. A reply that comes late, makes no sense, or is an error breaks the connection, because the
/// order of replies is all that tells which call they belong to.
package final class RedisLink: RemoteStore, EventHandler, TimerHandler, EndOfTurnHandler {
    private enum State {
        case idle
        case connecting
        case handshaking
        /// Waiting for the replies to AUTH, SELECT and SCRIPT LOAD.
        case greeting(repliesLeft: Int)
        case ready
    }

    /// The script on the server; its digest calls it.
    private enum Script {
        case unknown
        case loaded([UInt8])
        /// The server has lost it, and has been asked to load it once more.
        case reloading([UInt8])
    }

    private enum Call {
        /// The arguments are those of the call, to be sent again when the server has lost the script.
        case decision(any RemoteDecisionReceiver, calls: [RemoteCall], arguments: [[UInt8]], isRepeated: Bool)
        case refund(arguments: [[UInt8]], isRepeated: Bool)
        case loading
        case greeting
    }

    package let settings: RedisSettings
    /// Set by the worker once it is made.
    package weak var observer: (any RedisLinkObserver)?
    private let loop: EventLoop
    private var addresses: [SocketAddress] = []
    private var nextAddress = 0
    private var state = State.idle
    /// Nil without a connection.
    private var io: ConnectionIO?
    private var outbound = ByteQueue()
    private var inbound = ByteQueue()
    private var reader = RedisReplyReader()
    /// In the order in which they went out; those before `firstUnanswered` have their replies.
    private var sent: [Call] = []
    private var firstUnanswered = 0
    /// By when the replies to each batch are due, with the number of calls up to its end.
    private var deadlines: [(end: Int, at: Instant)] = []
    private var script = Script.unknown
    private var hasPendingBatch = false
    private var pause = pauseFirst
    private var wasAvailable: Bool?
    /// The server said that it is not the one to ask; it is believed to be when it has answered a call.
    private var isDoubtful = false
    private var current: SocketAddress?
    private let metrics: StoreMetrics?
    private var timer: Timer?

    package init(_ settings: RedisSettings, on loop: EventLoop, metrics: Metrics? = nil) {
        self.settings = settings
        self.metrics = metrics.map { StoreMetrics(settings.name, $0) }
        self.loop = loop
        if case .socket(let address) = settings.address { addresses = [address] }
        timer = Timer(self)
        loop.set(timer!, at: loop.now)
    }

    /// Where the server's name leads; told by the control process.
    package func resolve(to addresses: [SocketAddress]) {
        guard self.addresses != addresses else { return }
        self.addresses = addresses
        if case .idle = state { return loop.set(timer!, at: loop.now) }
        leaveIfOutdated()
    }

    /// Changes to another server where the name no longer leads to this one. Those who wait for a reply still get it.
    private func leaveIfOutdated() {
        guard isAvailable, let current, !addresses.contains(current), firstUnanswered == sent.count, outbound.isEmpty else { return }
        breakOff()
        connect()
    }

    package var hasSettled: Bool { wasAvailable != nil }

    package var isAvailable: Bool { if case .ready = state { true } else { false } }

    package func decide(_ calls: [RemoteCall], for receiver: any RemoteDecisionReceiver) {
        guard isAvailable else { return receiver.decided(nil, at: loop.now) }
        let arguments = LimitScript.arguments(calls, settings.keyNames)
        send(arguments)
        sent.append(.decision(receiver, calls: calls, arguments: arguments, isRepeated: false))
    }

    package func refund(_ refunds: [RemoteRefund]) {
        guard isAvailable else { return }
        let arguments = LimitScript.arguments(refunds, settings.keyNames)
        send(arguments)
        sent.append(.refund(arguments: arguments, isRepeated: false))
    }

    package func turnEnded() {
        hasPendingBatch = false
        // The turn may have taken a while: the server's time begins now.
        if isAvailable { deadlines.append((sent.count, Clock.now().adding(settings.timeout))) }
        flush()
        armTimer()
    }

    package func handle(_ readiness: Readiness) {
        switch state {
        case .idle: return
        case .connecting:
            guard let raw = io?.descriptor, readiness.allowsWriting || readiness.hasFailed else { return }
            let code = Socket.pendingError(raw)
            guard code == 0 else { return fail("connect: \(SystemError.text(code))") }
            connected()
        case .handshaking: handshake()
        case .greeting, .ready:
            if readiness.allowsWriting { flush() }
            if readiness.allowsReading { receive() }
        }
    }

    package func fired(_ timer: Timer) {
        switch state {
        case .idle: connect()
        case .connecting, .handshaking, .greeting: fail("no reply within \(greetingMax.milliseconds) ms of connecting")
        case .ready:
            // What came while this process was busy is in time.
            receive()
            if let deadline = deadlines.first?.at, deadline <= loop.now {
                fail("no reply within \(settings.timeout.milliseconds) ms")
            } else {
                armTimer()
            }
        }
    }

    private func connect() {
        guard !addresses.isEmpty else {
            report(false, "its name is not resolved yet")
            return retryLater()
        }
        // After a failure the next address of the name is tried.
        let address = addresses[nextAddress % addresses.count]
        nextAddress &+= 1
        current = address
        do {
            io = try ConnectionIO(try Socket.connect(to: address), for: [.readable, .writable], self, on: loop)
        } catch {
            return fail(error.description)
        }
        state = .connecting
        loop.set(timer!, after: greetingMax)
    }

    private func connected() {
        if let tls = settings.tls {
            guard let raw = io?.descriptor, let session = tls.context.makeSession(raw, host: settings.tlsHost) else {
                return fail("TLS session")
            }
            io?.secure(with: session)
            state = .handshaking
            handshake()
        } else {
            greet()
        }
    }

    private func handshake() {
        guard let io else { return }
        switch io.handshake() {
        case .done: greet()
        case .wantsRead: io.wait(for: .readable)
        case .wantsWrite: io.wait(for: [.readable, .writable])
        case .failed(let reason): fail("TLS: \(reason)")
        }
    }

    private func greet() {
        var commands: [[String]] = []
        if let password = settings.password {
            commands.append(settings.username.map { ["AUTH", $0, password] } ?? ["AUTH", password])
        }
        if settings.database > 0 { commands.append(["SELECT", String(settings.database)]) }
        commands.append(Self.loadCommand)
        for command in commands {
            RedisCommand.append(command.map { [UInt8]($0) }, to: &outbound)
            sent.append(.greeting)
        }
        state = .greeting(repliesLeft: commands.count)
        flush()
    }

    private func send(_ arguments: [[UInt8]]) { ask([[UInt8]("EVALSHA"), digest] + arguments) }

    private var digest: [UInt8] {
        switch script {
        case .unknown: preconditionFailure("a call before the script was loaded")
        case .loaded(let digest), .reloading(let digest): digest
        }
    }

    private func ask(_ command: [[UInt8]]) {
        RedisCommand.append(command, to: &outbound)
        if !hasPendingBatch {
            hasPendingBatch = true
            loop.atEndOfTurn(self)
        }
    }

    private func flush() {
        guard let io else { return }
        switch io.flush(&outbound) {
        case .moved: break
        case .wouldBlock: return io.wait(for: [.readable, .writable])
        case .ended, .failed: return fail("the connection broke")
        }
        io.wait(for: .readable)
    }

    private func receive() {
        let attempt = nextAddress
        while let io {
            let isTLS = io.isTLS
            switch io.receive(to: &inbound, minimum: 16_384) {
            case .moved:
                do {
                    try reader.feed(inbound)
                    inbound.removeAll()
                    while let reply = try reader.next() {
                        take(reply)
                        // The reply may have broken the connection, and another one may be on its way.
                        if case .idle = state { return }
                        if attempt != nextAddress { return }
                    }
                } catch {
                    return fail("wrong reply: \(error.reason)")
                }
                if !isTLS { return }
            case .wouldBlock: return
            case .ended, .failed: return fail("the server closed the connection")
            }
        }
    }

    private func take(_ reply: RedisReply) {
        guard firstUnanswered < sent.count else { return fail("a reply without a call") }
        let call = sent[firstUnanswered]
        firstUnanswered += 1
        while let first = deadlines.first, first.end <= firstUnanswered {
            deadlines.removeFirst()
            metrics?.batchAnswered(after: settings.timeout - first.at.since(loop.now))
        }
        forgetAnswered()
        switch call {
        case .greeting: greeted(reply)
        case .loading:
            script = .loaded(digest)
            if case .error(let text) = reply { refused(text) }
        case .refund(let arguments, let isRepeated):
            guard case .error(let text) = reply else { break }
            if !isRepeated, text.hasPrefix("NOSCRIPT") {
                loadAgain()
                send(arguments)
                sent.append(.refund(arguments: arguments, isRepeated: true))
            } else {
                refused(text)
            }
        case .decision(let receiver, let calls, let arguments, let isRepeated):
            if let decisions = LimitScript.decisions(reply, of: calls) {
                pause = pauseFirst
                isDoubtful = false
                report(true, "it replies")
                metrics?.decided(true)
                receiver.decided(decisions, at: loop.now)
            } else if case .error(let text) = reply, text.hasPrefix("NOSCRIPT"), !isRepeated {
                loadAgain()
                send(arguments)
                sent.append(.decision(receiver, calls: calls, arguments: arguments, isRepeated: true))
            } else {
                metrics?.decided(false)
                receiver.decided(nil, at: loop.now)
                if case .error(let text) = reply { refused(text) } else { fail("a reply of another shape") }
            }
        }
        leaveIfOutdated()
    }

    /// The server has lost the script, as after SCRIPT FLUSH: what is sent from now on finds it again.
    private func loadAgain() {
        guard case .loaded(let digest) = script else { return }
        script = .reloading(digest)
        ask(Self.loadCommand.map { [UInt8]($0) })
        sent.append(.loading)
    }

    private static let loadCommand = ["SCRIPT", "LOAD", LimitScript.text]

    /// Keeps `sent` short even if there is always one without its reply.
    private func forgetAnswered() {
        guard firstUnanswered == sent.count || firstUnanswered >= answeredMax else { return }
        sent.removeFirst(firstUnanswered)
        for index in deadlines.indices { deadlines[index].end -= firstUnanswered }
        firstUnanswered = 0
    }

    /// The server will not run the script. Where it says that another one should be asked, or that it is not ready, a new
    /// connection may lead to one that does; otherwise (out of memory, a missing permission) it would meet the same.
    private func refused(_ reason: String) {
        guard notThisServer.contains(where: reason.hasPrefix) else { return report(false, reason) }
        isDoubtful = true
        fail(reason)
    }

    private func greeted(_ reply: RedisReply) {
        guard case .greeting(let repliesLeft) = state else { return }
        if case .error(let text) = reply { return fail(text) }
        if repliesLeft > 1 {
            state = .greeting(repliesLeft: repliesLeft - 1)
            return
        }
        guard case .string(let digest) = reply, digest.count == 40 else { return fail("SCRIPT LOAD gave no digest") }
        script = .loaded(digest)
        state = .ready
        timer?.clear()
        if wasAvailable == nil {
            wasAvailable = true
            metrics?.isAvailable(true)
            observer?.linkSettled(self)
        } else if !isDoubtful {
            report(true, "connected")
        }
    }

    /// Closes the connection, tells everybody who waits that no reply will come, and connects again later.
    private func fail(_ reason: String) {
        let unanswered = breakOff()
        report(false, reason)
        retryLater()
        for case .decision(let receiver, _, _, _) in unanswered {
            metrics?.decided(false)
            receiver.decided(nil, at: loop.now)
        }
    }

    /// - Returns: the calls without a reply.
    @discardableResult private func breakOff() -> ArraySlice<Call> {
        io?.close(.silent)
        io = nil
        state = .idle
        outbound.removeAll()
        inbound.removeAll()
        reader = RedisReplyReader()
        let unanswered = sent[firstUnanswered...]
        sent = []
        firstUnanswered = 0
        deadlines = []
        script = .unknown
        return unanswered
    }

    private func retryLater() {
        loop.set(timer!, after: pause)
        pause = min(pause * 2, pauseMax)
    }

    private func report(_ isAvailable: Bool, _ reason: String) {
        guard wasAvailable != isAvailable else { return }
        let isFirst = wasAvailable == nil
        wasAvailable = isAvailable
        metrics?.isAvailable(isAvailable)
        observer?.linkChanged(self, isAvailable: isAvailable, reason)
        if isFirst { observer?.linkSettled(self) }
    }

    private func armTimer() {
        if isAvailable { loop.set(timer!, at: deadlines.first?.at ?? .never) }
    }
}

private let pauseFirst = Nanoseconds.milliseconds(50)
private let pauseMax = Nanoseconds.seconds(1)
private let greetingMax = Nanoseconds.seconds(1)

/// How a server's errors begin that is a replica, is loading its data, or has handed the key to another.
private let notThisServer = ["READONLY", "LOADING", "MASTERDOWN", "MOVED", "ASK ", "CLUSTERDOWN"]

/// Calls with their replies are dropped in pieces of this many.
private let answeredMax = 1_024
