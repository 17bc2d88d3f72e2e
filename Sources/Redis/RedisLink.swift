import Observability
import Time
import Bytes
import RateLimiting
import System

/// A worker's way to one Redis server: all calls of a turn of the loop go out in one batch.
///
/// While the server is away nothing waits for it: ``isAvailable`` is false and the link tries again, after 50 ms at first and
/// never later than a second. A reply that is late is still awaited, and what it says is passed on as late; where several are, or the server
/// says that it cannot answer, nobody asks for a while (``StoreBreaker``). A reply that makes no sense breaks the connection, because the
/// order of replies is all that tells which call they belong to, and so does a server that says nothing at all.
final class RedisLink: RedisConnectionOwner, TimerHandler, EndOfTurnHandler {
    enum State {
        case idle
        case connecting
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
        case refund([RemoteRefund], arguments: [[UInt8]], isRepeated: Bool)
        case probe(arguments: [[UInt8]], isRepeated: Bool)
        case loading
        /// What only the order of replies is kept for.
        case other
        case question((RedisReply) -> Void)
        case greeting(Greeting, isLast: Bool)
    }

    enum Greeting { case authentication, role, database, script }

    let settings: RedisSettings
    /// What messages call the server.
    let title: String
    let server: RedisSettings.Address
    /// Who has several of them; nil for a server that stands alone.
    weak var owner: (any RedisLinkOwner)?
    weak var observer: (any RedisStoreObserver)?
    let loop: EventLoop
    var addresses: [SocketAddress] = []
    var nextAddress = 0
    var state = State.idle
    /// Nil without one.
    var connection: RedisConnection?
    var sent = CallQueue<Call>()
    /// Those that go out at the end of the turn, when their time begins.
    var unsent: [Call] = []
    /// Keys that the server was asked about on this connection.
    var asked: Set<UInt64> = []
    var breaker: StoreBreaker
    var script = Script.unknown
    private var isTurnQueued = false
    /// Questions of a part of a cluster that came before the connection was there.
    private var early: [(calls: [RemoteCall], receiver: any RemoteDecisionReceiver, isHandedOn: Bool)] = []
    var pause = retryPauseFirst
    var wasAvailable: Bool?
    private var told: ToldState
    /// The server said that it is not the one to ask; it is believed to be when it has answered a call.
    var isDoubtful = false
    var current: SocketAddress?
    let metrics: StoreMetrics?
    let madeAt: Instant
    var timer: Timer?

    init(_ settings: RedisSettings, to server: RedisSettings.Address, title: String, on loop: EventLoop, metrics: StoreMetrics?) {
        self.settings = settings
        self.server = server
        self.title = title
        self.metrics = metrics
        self.loop = loop
        madeAt = loop.now
        breaker = StoreBreaker(timeout: settings.timeout) { Double(SystemRandom.word() >> 11) / Double(1 << 53) }
        told = ToldState()
        if case .socket(let address) = server { addresses = [address] }
        timer = Timer(self)
        loop.set(timer!, at: loop.now)
    }

    var hasSettled: Bool { wasAvailable != nil }

    /// Whether somebody waits for a reply.
    var owesReplies: Bool { sent.oldestInTime != nil || !unsent.isEmpty }

    var isReady: Bool { if case .ready = state { true } else { false } }

    var isAvailable: Bool { isReady && breaker.isClosed }

    /// Ends it for good: nobody is told, and who waits has no reply.
    func end() {
        timer?.cancel()
        observer = nil
        owner = nil
        for case .decision(let receiver, _, _, _) in breakOff() { receiver.decided(nil, at: loop.now) }
    }

    /// - Parameter isHandedOn: by another server of a cluster, which has handed the keys to this one but for good (`ASK`).
    func decide(_ calls: [RemoteCall], for receiver: any RemoteDecisionReceiver, isHandedOn: Bool = false) {
        guard isAvailable else { return receiver.decided(nil, at: loop.now) }
        if asked.count < askedMax { for call in calls { asked.insert(call.fingerprint) } }
        if isHandedOn { sendAsking() }
        let arguments = LimitScript.arguments(calls)
        send(arguments, .decision(receiver, calls: calls, arguments: arguments, isRepeated: false))
    }

    /// As above; where the connection is still being made, as soon as it is there. The receiver has its own deadline.
    func decideSoon(_ calls: [RemoteCall], for receiver: any RemoteDecisionReceiver, isHandedOn: Bool) {
        guard !isAvailable, !isReady, early.count < earlyMax else {
            return decide(calls, for: receiver, isHandedOn: isHandedOn)
        }
        early.append((calls, receiver, isHandedOn))
    }

    func refund(_ refunds: [RemoteRefund], isHandedOn: Bool = false) {
        guard isReady else { return }
        if isHandedOn { sendAsking() }
        let arguments = LimitScript.arguments(refunds)
        send(arguments, .refund(refunds, arguments: arguments, isRepeated: false))
    }

    private func sendAsking() {
        ask([[UInt8]("ASKING".utf8)], .other)
    }

    /// Asks the server something about itself.
    func ask(_ words: [String], _ answer: @escaping (RedisReply) -> Void) {
        guard isReady else { return }
        ask(words.map { [UInt8]($0.utf8) }, .question(answer))
    }

    private func probe() {
        breaker.probed()
        // One that is written, as those of requests are: a server may be able to read alone.
        let name = owner?.probeName(for: self) ?? settings.keyNames.probeName(0)
        let call = RemoteCall(name: name, fingerprint: 0, quota: Quota(count: 1_000_000, window: .seconds(1)))
        let arguments = LimitScript.arguments([call])
        send(arguments, .probe(arguments: arguments, isRepeated: false))
    }

    func turnEnded() {
        isTurnQueued = false
        // The turn may have taken a while: the server's time begins now.
        let now = Clock.now()
        if !unsent.isEmpty { metrics?.batchSent() }
        for call in unsent { sent.add(call, at: now) }
        unsent.removeAll(keepingCapacity: true)
        connection?.flush()
        armTimer()
    }

    func fired(_ timer: Timer) {
        switch state {
        case .idle: connect()
        case .connecting, .greeting: fail("no reply within \(settings.connectTimeout.milliseconds) ms of connecting")
        case .ready:
            // What came while this process was busy is in time.
            connection?.receive()
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
            case .probe: _ = breaker.timedOut(at: now, isProbe: true)
            case .refund, .loading, .greeting, .other, .question: break
            }
            // The receiver may have done anything.
            guard isReady else { return }
        }
        if let oldest = sent.oldest, max(oldest, connection?.heardAt ?? .past).adding(silence) <= now {
            return fail("it has said nothing for \(silence.milliseconds) ms")
        }
        if sent.lateCount >= lateMax { fail("it owes \(sent.lateCount) replies") }
    }

    func send(_ arguments: [[UInt8]], _ call: Call) {
        var command: [[UInt8]] = []
        command.reserveCapacity(2 + arguments.count)
        command.append(LimitScript.command)
        command.append(digest)
        command += arguments
        ask(command, call)
    }

    private var digest: [UInt8] {
        switch script {
        case .unknown: preconditionFailure("a call before the script was loaded")
        case .loaded(let digest), .reloading(let digest): digest
        }
    }

    private func ask(_ command: [[UInt8]], _ call: Call) {
        connection?.append(command)
        unsent.append(call)
        guard !isTurnQueued else { return }
        isTurnQueued = true
        loop.atEndOfTurn(self)
    }

    func connectionOpened(_ connection: RedisConnection) { greet() }

    func connection(_ connection: RedisConnection, broke reason: String) { fail(reason) }

    func connection(_ connection: RedisConnection, gave reply: RedisReply) {
        guard connection === self.connection else { return }
        take(reply)
    }

    private func take(_ reply: RedisReply) {
        guard let entry = sent.take() else { return fail("a reply without a call") }
        let length = loop.now.since(entry.sentAt)
        if entry.isLate { metrics?.repliedLate() }
        switch entry.call {
        case .greeting(let kind, let isLast): greeted(kind, reply, isLast: isLast)
        case .loading:
            script = .loaded(digest)
            if case .error(let text) = reply { refused(text) }
        case .other: break
        case .question(let answer): answer(reply)
        case .refund(let refunds, let arguments, let isRepeated):
            guard case .error(let text) = reply else { break }
            if !isRepeated, text.hasPrefix("NOSCRIPT") {
                loadAgain()
                send(arguments, .refund(refunds, arguments: arguments, isRepeated: true))
            } else if let redirection = Redirection(text), owner?.redirected(refunds, redirection, by: self) == true {
                break
            } else {
                refused(text)
            }
        case .probe(let arguments, let isRepeated):
            // It was late, and counted as that.
            if entry.isLate { break }
            if case .error(let text) = reply, text.hasPrefix("NOSCRIPT"), !isRepeated {
                loadAgain()
                send(arguments, .probe(arguments: arguments, isRepeated: true))
            } else if case .error(let text) = reply, owner == nil || Redirection(text) == nil {
                refused(text, isProbe: true)
            } else {
                // Where the key lies elsewhere, the server says so, and so it is well.
                isDoubtful = false
                if breaker.answered(after: length, at: loop.now, isProbe: true) {
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
                pause = retryPauseFirst
                isDoubtful = false
                _ = breaker.answered(after: length, at: loop.now)
                if breaker.isClosed { report(true, "it replies") }
                metrics?.decided(true)
                receiver.decided(decisions, at: loop.now)
            } else if case .error(let text) = reply, let redirection = Redirection(text), let owner {
                // Where it came late, nobody waits, and it has charged nothing.
                if !entry.isLate { owner.redirected(calls, for: receiver, redirection, sentAt: entry.sentAt, by: self) }
            } else if case .error(let text) = reply, text.hasPrefix("NOSCRIPT"), !isRepeated, !entry.isLate {
                loadAgain()
                send(arguments, .decision(receiver, calls: calls, arguments: arguments, isRepeated: true))
            } else if case .error(let text) = reply, text.hasPrefix("NOSCRIPT"), entry.isLate {
                loadAgain()
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
        metrics?.scriptLost()
        ask(Self.loadCommand.map { [UInt8]($0.utf8) }, .loading)
    }

    static let loadCommand = ["SCRIPT", "LOAD", LimitScript.text]

    /// The server will not run the script. Where it says that another one should be asked, or that it is not ready, a new
    /// connection may lead to one that does; otherwise (out of memory, a missing permission) it would meet the same. In both cases nobody asks
    /// until a probe has found it well.
    private func refused(_ reason: String, isProbe: Bool = false) {
        guard isReady else { return }
        _ = breaker.refused(at: loop.now, isProbe: isProbe)
        // Before Redis 7 what a script met stands in the middle of the error.
        guard notThisServer.contains(where: reason.hasPrefix) || reason.contains("-READONLY ") else {
            report(false, reason)
            return armTimer()
        }
        isDoubtful = true
        fail(reason)
    }

    /// Closes the connection, tells everybody who waits that no reply will come, and connects again later.
    func fail(_ reason: String) {
        let wasReady = isReady
        let unanswered = breakOff()
        report(false, reason)
        retryLater()
        if wasReady { broke() }
        sendEarly()
        for case .decision(let receiver, _, _, _) in unanswered {
            metrics?.decided(false)
            receiver.decided(nil, at: loop.now)
        }
    }

    /// - Returns: the calls without a reply whose time was not over yet.
    @discardableResult func breakOff() -> [Call] {
        connection?.close()
        connection = nil
        state = .idle
        let unanswered = sent.removeAll() + unsent
        unsent = []
        script = .unknown
        return unanswered
    }

    /// The connection is there: what came before goes out, or has no reply.
    func sendEarly() {
        let waiting = early
        early = []
        for one in waiting where (one.receiver as? RedirectedCall)?.isOver != true {
            decide(one.calls, for: one.receiver, isHandedOn: one.isHandedOn)
        }
    }

    func retryLater() {
        // More or less by chance, so that many gateways do not connect at the same moment.
        loop.set(timer!, after: Nanoseconds(pause.count / 2 + SystemRandom.word() % max(1, pause.count)))
        pause = min(pause * 2, retryPauseMax)
    }

    func report(_ isAvailable: Bool, _ reason: String) {
        let isFirst = wasAvailable == nil
        let isChange = wasAvailable != isAvailable
        wasAvailable = isAvailable
        if isChange, owner == nil { metrics?.isAvailable(isAvailable) }
        if isChange { owner?.linkChanged(self) }
        if let text = told.news(isAvailable, reason, isChange: isChange, at: loop.now) {
            observer?.storeChanged(title, isAvailable: isAvailable, text)
        }
        if isFirst { observer?.storeSettled() }
    }

    /// A server that owes replies for so long without a word is gone.
    private var silence: Nanoseconds { max(silenceMin, settings.timeout * 2) }

    func armTimer() {
        guard isReady else { return }
        var next = min(breaker.probeAt, sent.oldestInTime?.adding(settings.timeout) ?? .never)
        if let oldest = sent.oldest { next = min(next, max(oldest, connection?.heardAt ?? .past).adding(silence)) }
        loop.set(timer!, at: next)
    }
}

let retryPauseFirst = Nanoseconds.milliseconds(50)
private let retryPauseMax = Nanoseconds.seconds(1)
/// Questions that wait for a connection to come about.
private let earlyMax = 1_024

/// How a server's errors begin that is a replica, is loading its data, or has handed the key to another.
private let notThisServer = ["READONLY", "LOADING", "MASTERDOWN", "MOVED", "ASK ", "CLUSTERDOWN"]

private let silenceMin = Nanoseconds.seconds(1)
/// Late replies that are awaited at most.
private let lateMax = 1_024
/// Beyond so many keys the server is taken to know what there is to know.
let askedMax = 65_536
