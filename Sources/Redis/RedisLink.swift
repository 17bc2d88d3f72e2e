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
/// never later than a second. A reply that is late is still awaited, and what it says is passed on as late; where several are, or the server
/// says that it cannot answer, nobody asks for a while (``StoreBreaker``). A reply that makes no sense breaks the connection, because the
/// order of replies is all that tells which call they belong to, and so does a server that says nothing at all.
package final class RedisLink: RemoteStore, EventHandler, TimerHandler, EndOfTurnHandler {
    enum State {
        case idle
        case connecting
        case handshaking
        /// Waiting for the replies to what a connection begins with.
        case greeting
        case ready
    }

    /// The script on the server; its digest calls it.
    enum Script {
        case unknown
        case loaded([UInt8])
        /// The server has lost it, and has been asked to load it once more.
        case reloading([UInt8])
    }

    enum Call {
        /// The arguments are those of the call, to be sent again when the server has lost the script.
        case decision(any RemoteDecisionReceiver, calls: [RemoteCall], arguments: [[UInt8]], isRepeated: Bool)
        case refund(arguments: [[UInt8]], isRepeated: Bool)
        case probe(arguments: [[UInt8]], isRepeated: Bool)
        case loading
        case greeting(Greeting, isLast: Bool)
    }

    enum Greeting { case authentication, role, database, script }

    package let settings: RedisSettings
    /// Set by the worker once it is made.
    package weak var observer: (any RedisLinkObserver)?
    let loop: EventLoop
    var addresses: [SocketAddress] = []
    var nextAddress = 0
    var state = State.idle
    /// Nil without a connection.
    var io: ConnectionIO?
    var outbound = ByteQueue()
    private var inbound = ByteQueue()
    private var reader = RedisReplyReader()
    var sent = CallQueue<Call>()
    /// Those that go out at the end of the turn, when their time begins.
    var unsent: [Call] = []
    private var heardAt = Instant.past
    /// Keys that the server was asked about on this connection.
    var asked: Set<UInt64> = []
    var breaker: StoreBreaker
    var script = Script.unknown
    private var hasPendingBatch = false
    private var pause = pauseFirst
    var wasAvailable: Bool?
    private var told: ToldState
    /// The server said that it is not the one to ask; it is believed to be when it has answered a call.
    var isDoubtful = false
    var current: SocketAddress?
    let metrics: StoreMetrics?
    var timer: Timer?

    package init(_ settings: RedisSettings, on loop: EventLoop, metrics: Metrics? = nil) {
        self.settings = settings
        self.metrics = metrics.map { StoreMetrics(settings.name, $0) }
        self.loop = loop
        breaker = StoreBreaker(timeout: settings.timeout) { Double(SystemRandom.word() >> 11) / Double(1 << 53) }
        told = ToldState()
        if case .socket(let address) = settings.address { addresses = [address] }
        timer = Timer(self)
        loop.set(timer!, at: loop.now)
    }

    package var hasSettled: Bool { wasAvailable != nil }

    var isReady: Bool { if case .ready = state { true } else { false } }

    package var isAvailable: Bool { isReady && breaker.isClosed }

    package func name(ofKey key: [UInt8], limit: String) -> [UInt8] { settings.keyNames.name(ofKey: key, limit: limit) }

    package func knows(_ fingerprint: UInt64) -> Bool { asked.count >= askedMax || asked.contains(fingerprint) }

    package func decide(_ calls: [RemoteCall], for receiver: any RemoteDecisionReceiver) {
        guard isAvailable else { return receiver.decided(nil, at: loop.now) }
        if asked.count < askedMax { for call in calls { asked.insert(call.fingerprint) } }
        let arguments = LimitScript.arguments(calls)
        send(arguments, .decision(receiver, calls: calls, arguments: arguments, isRepeated: false))
    }

    package func refund(_ refunds: [RemoteRefund]) {
        guard isReady else { return }
        let arguments = LimitScript.arguments(refunds)
        send(arguments, .refund(arguments: arguments, isRepeated: false))
    }

    private func probe() {
        breaker.probed()
        // One that is written, as those of requests are: a server may be able to read alone.
        let call = RemoteCall(name: name(ofKey: [], limit: ""), fingerprint: 0, quota: Quota(count: 1_000_000, window: .seconds(1)))
        let arguments = LimitScript.arguments([call])
        send(arguments, .probe(arguments: arguments, isRepeated: false))
    }

    package func turnEnded() {
        hasPendingBatch = false
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
            guard isReady else { return }
            endLateCalls()
            guard isReady else { return }
            if breaker.probeAt <= loop.now { probe() }
            armTimer()
        }
    }

    /// Who has waited for so long as a decision may take waits no longer. Their replies are owed, up to a bound.
    private func endLateCalls() {
        let now = loop.now
        while let sentAt = sent.oldestInTime, sentAt.adding(settings.timeout) <= now, let call = sent.makeLate(sentBy: sentAt) {
            switch call {
            case .decision(let receiver, _, _, _):
                metrics?.decided(false)
                if breaker.timedOut(at: now) { report(false, "its replies take longer than \(settings.timeout.milliseconds) ms") }
                receiver.decided(nil, at: now)
            case .probe: _ = breaker.timedOut(at: now)
            case .refund, .loading, .greeting: break
            }
            // The receiver may have done anything.
            guard isReady else { return }
        }
        if let oldest = sent.oldest, max(oldest, heardAt).adding(silenceMax) <= now {
            return fail("it has said nothing for \(silenceMax.milliseconds) ms")
        }
        if sent.lateCount >= lateMax { fail("it owes \(sent.lateCount) replies") }
    }

    private func send(_ arguments: [[UInt8]], _ call: Call) {
        ask([[UInt8]("EVALSHA".utf8), digest] + arguments)
        unsent.append(call)
    }

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

    func flush() {
        guard let io else { return }
        if !unsent.isEmpty {
            // The turn may have taken a while: the server's time begins now.
            let now = Clock.now()
            for call in unsent { sent.add(call, at: now) }
            unsent.removeAll(keepingCapacity: true)
        }
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
                heardAt = loop.now
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
        guard let entry = sent.take() else { return fail("a reply without a call") }
        let length = loop.now.since(entry.sentAt)
        switch entry.call {
        case .greeting(let kind, let isLast): greeted(kind, reply, isLast: isLast)
        case .loading:
            script = .loaded(digest)
            if case .error(let text) = reply { refused(text) }
        case .refund(let arguments, let isRepeated):
            guard case .error(let text) = reply else { break }
            if !isRepeated, text.hasPrefix("NOSCRIPT") {
                loadAgain()
                send(arguments, .refund(arguments: arguments, isRepeated: true))
            } else {
                refused(text)
            }
        case .probe(let arguments, let isRepeated):
            if case .error(let text) = reply, text.hasPrefix("NOSCRIPT"), !isRepeated {
                loadAgain()
                send(arguments, .probe(arguments: arguments, isRepeated: true))
            } else if case .error(let text) = reply {
                refused(text)
            } else {
                isDoubtful = false
                if breaker.answered(after: length, at: loop.now) {
                    // Meanwhile hosts have counted by themselves.
                    asked.removeAll(keepingCapacity: true)
                    report(true, "it replies in time")
                }
                armTimer()
            }
        case .decision(let receiver, let calls, let arguments, let isRepeated):
            if let decisions = LimitScript.decisions(reply, of: calls) {
                metrics?.batchAnswered(after: length)
                if entry.isLate { return receiver.decidedLate(decisions, at: loop.now) }
                pause = pauseFirst
                isDoubtful = false
                if breaker.answered(after: length, at: loop.now) || breaker.isClosed { report(true, "it replies") }
                metrics?.decided(true)
                receiver.decided(decisions, at: loop.now)
            } else if case .error(let text) = reply, text.hasPrefix("NOSCRIPT"), !isRepeated, !entry.isLate {
                loadAgain()
                send(arguments, .decision(receiver, calls: calls, arguments: arguments, isRepeated: true))
            } else {
                if !entry.isLate {
                    metrics?.decided(false)
                    receiver.decided(nil, at: loop.now)
                }
                if case .error(let text) = reply { refused(text) } else { fail("a reply of another shape") }
            }
        }
        leaveIfOutdated()
    }

    /// The server has lost the script, as after SCRIPT FLUSH: what is sent from now on finds it again.
    private func loadAgain() {
        guard case .loaded(let digest) = script else { return }
        script = .reloading(digest)
        ask(Self.loadCommand.map { [UInt8]($0.utf8) })
        unsent.append(.loading)
    }

    static let loadCommand = ["SCRIPT", "LOAD", LimitScript.text]

    /// The server will not run the script. Where it says that another one should be asked, or that it is not ready, a new
    /// connection may lead to one that does; otherwise (out of memory, a missing permission) it would meet the same. In both cases nobody asks
    /// until a probe has found it well.
    private func refused(_ reason: String) {
        guard isReady else { return }
        _ = breaker.refused(at: loop.now)
        guard notThisServer.contains(where: reason.hasPrefix) else {
            report(false, reason)
            return armTimer()
        }
        isDoubtful = true
        fail(reason)
    }

    /// Closes the connection, tells everybody who waits that no reply will come, and connects again later.
    func fail(_ reason: String) {
        let unanswered = breakOff()
        report(false, reason)
        retryLater()
        for case .decision(let receiver, _, _, _) in unanswered {
            metrics?.decided(false)
            receiver.decided(nil, at: loop.now)
        }
    }

    /// - Returns: the calls without a reply whose time was not over yet.
    @discardableResult func breakOff() -> [Call] {
        io?.close(.silent)
        io = nil
        state = .idle
        outbound.removeAll()
        inbound.removeAll()
        reader = RedisReplyReader()
        let unanswered = sent.removeAll() + unsent
        unsent = []
        script = .unknown
        return unanswered
    }

    func retryLater() {
        // More or less by chance, so that many gateways do not connect at the same moment.
        loop.set(timer!, after: Nanoseconds(pause.count / 2 + SystemRandom.word() % max(1, pause.count)))
        pause = min(pause * 2, pauseMax)
    }

    func report(_ isAvailable: Bool, _ reason: String) {
        let isFirst = wasAvailable == nil
        let isChange = wasAvailable != isAvailable
        wasAvailable = isAvailable
        if isChange { metrics?.isAvailable(isAvailable) }
        if let text = told.news(isAvailable, reason, isChange: isChange, at: loop.now) {
            observer?.linkChanged(self, isAvailable: isAvailable, text)
        }
        if isFirst { observer?.linkSettled(self) }
    }

    func armTimer() {
        guard isReady else { return }
        var next = min(breaker.probeAt, sent.oldestInTime?.adding(settings.timeout) ?? .never)
        if let oldest = sent.oldest { next = min(next, max(oldest, heardAt).adding(silenceMax)) }
        loop.set(timer!, at: next)
    }
}

private let pauseFirst = Nanoseconds.milliseconds(50)
private let pauseMax = Nanoseconds.seconds(1)
let greetingMax = Nanoseconds.seconds(1)

/// How a server's errors begin that is a replica, is loading its data, or has handed the key to another.
private let notThisServer = ["READONLY", "LOADING", "MASTERDOWN", "MOVED", "ASK ", "CLUSTERDOWN"]

/// A server that owes replies for so long without a word is gone.
private let silenceMax = Nanoseconds.seconds(1)
/// Late replies that are awaited at most.
private let lateMax = 1_024
/// Beyond so many keys the server is taken to know what there is to know.
private let askedMax = 65_536
