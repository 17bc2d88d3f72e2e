import TLS
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
        /// The server keeps no scripts, as proxies do that know no `SCRIPT`: each call brings the text.
        case unkept
    }

    enum Call {
        /// One call of the script; again where the server had lost it.
        case works([LimitWork], isRepeated: Bool)
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
    /// As above; as many of them as may be go out as one call.
    var gathered: [LimitWork] = []
    /// Whether one call may have any keys.
    let isOneServer: Bool
    /// Keys that the server was asked about on this connection.
    var asked: Set<UInt64> = []
    var breaker: StoreBreaker
    var script = Script.unknown
    private var isTurnQueued = false
    /// Questions of a part of a cluster that came before the connection was there.
    private var early: [(calls: [RemoteCall], receiver: any RemoteDecisionReceiver, isHandedOn: Bool)] = []
    /// Keys to be reset before what waits for the connection is asked.
    var earlyResets: [(call: RemoteCall, isHandedOn: Bool)] = []
    var pause = retryPauseFirst
    /// When it connects again, after a failure.
    private var connectsAt = Instant.past
    var wasAvailable: Bool?
    private var told: ToldState
    /// The server said that it is not the one to ask; it is believed to be when it has answered a call.
    var isDoubtful = false
    var current: SocketAddress?
    let metrics: StoreMetrics?
    /// Of the server that it has a connection to.
    var serverMetrics: StoreMetrics.Server?
    /// What the last connection to a server has left, for the next one to it.
    var known: (address: SocketAddress, session: ResumableSession, since: Instant)?
    /// When a server is left to which the name no longer leads, whatever it owes.
    var leaveAt = Instant.never
    /// What was told once of what it cannot do.
    var toldOnce: Set<String> = []
    let madeAt: Instant
    var timer: Timer?

    /// - Parameter isOneServer: false for one of a cluster, which runs no script for keys of several slots.
    init(
        _ settings: RedisSettings, to server: RedisSettings.Address, title: String, on loop: EventLoop, metrics: StoreMetrics?,
        isOneServer: Bool = true
    ) {
        self.isOneServer = isOneServer
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

    /// Whether somebody waits for a reply, or for the connection.
    var owesReplies: Bool { sent.oldestInTime != nil || !unsent.isEmpty || !gathered.isEmpty || !early.isEmpty || !earlyResets.isEmpty }

    var isReady: Bool { if case .ready = state { true } else { false } }

    var isAvailable: Bool { isReady && breaker.isClosed }

    /// While it is not available: when it finds out next whether it is again.
    ///
    /// - Returns: now where it is asked already.
    var triesAgainAt: Instant {
        let moment = isReady ? breaker.probeAt : connectsAt
        return moment == .never ? loop.now : moment
    }

    /// Ends it for good: nobody is told, and who waits has no reply.
    func end() {
        timer?.cancel()
        observer = nil
        owner = nil
        for work in breakOff() { endWithoutReply(work) }
        tellServer()
    }

    /// - Parameter isHandedOn: by another server of a cluster, which has handed the keys to this one but for good (`ASK`).
    func decide(_ calls: [RemoteCall], for receiver: any RemoteDecisionReceiver, isHandedOn: Bool = false) {
        guard isAvailable else { return receiver.decided(nil, at: loop.now) }
        if asked.count < askedMax { for call in calls { asked.insert(call.fingerprint) } }
        put(.decision(receiver, calls: calls), isHandedOn: isHandedOn)
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
        put(.refund(refunds), isHandedOn: isHandedOn)
    }

    /// What one server of a cluster has handed on goes by itself, behind a word that says so.
    private func put(_ work: LimitWork, isHandedOn: Bool) {
        guard isHandedOn else {
            gathered.append(work)
            return queueTurn()
        }
        ask([[UInt8]("ASKING".utf8)], .other)
        send([work])
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
        send([.probe(RemoteCall(name: name, fingerprint: 0, quota: Quota(count: 1_000_000, window: .seconds(1))))])
    }

    func turnEnded() {
        isTurnQueued = false
        sendGathered()
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
            leaveIfOutdated()
            guard isReady else { return }
            if breaker.probeAt <= loop.now { probe() }
            armTimer()
        }
    }

    /// Who has waited for so long as a decision may take waits no longer. Their replies are owed, up to a bound.
    private func endLateCalls() {
        let now = loop.now
        while let sentAt = sent.oldestInTime, sentAt.adding(settings.timeout) <= now, let call = sent.makeLate(sentBy: sentAt) {
            guard case .works(let works, _) = call else { continue }
            serverMetrics?.owes(sent.lateCount)
            ended(works, lateAt: now)
            // The receiver may have done anything.
            guard isReady else { return }
        }
        if let oldest = sent.oldest, max(oldest, connection?.heardAt ?? .past).adding(silence) <= now {
            return fail("it has said nothing for \(silence.milliseconds) ms")
        }
        if sent.lateCount >= lateMax { fail("it owes \(sent.lateCount) replies") }
    }

    func send(_ works: [LimitWork], isRepeated: Bool = false) { call(LimitScript.arguments(works), .works(works, isRepeated: isRepeated)) }

    /// Calls the script.
    func call(_ arguments: [[UInt8]], _ call: Call) {
        var command: [[UInt8]] = []
        command.reserveCapacity(2 + arguments.count)
        switch script {
        case .unknown: preconditionFailure("a call before the script was loaded")
        case .loaded(let digest), .reloading(let digest):
            command.append(LimitScript.command)
            command.append(digest)
        case .unkept:
            command.append(LimitScript.commandWithText)
            command.append(LimitScript.bytes)
        }
        command += arguments
        ask(command, call)
    }

    func ask(_ command: [[UInt8]], _ call: Call) {
        connection?.append(command)
        unsent.append(call)
        queueTurn()
    }

    /// Nobody asks it any more, and another link may lead to the same server.
    func retire() {
        serverMetrics?.isAvailable(false)
        serverMetrics?.owes(0)
        serverMetrics = nil
    }

    /// What is measured of the server is what is so now.
    func tellServer() {
        serverMetrics?.isAvailable(isAvailable)
        serverMetrics?.owes(sent.lateCount)
    }

    private func queueTurn() {
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
        if entry.isLate {
            metrics?.repliedLate()
            serverMetrics?.owes(sent.lateCount)
        }
        switch entry.call {
        case .greeting(let kind, let isLast): greeted(kind, reply, isLast: isLast)
        case .loading:
            if case .reloading(let digest) = script { script = .loaded(digest) }
            if case .error(let text) = reply { refused(text) }
        case .other: break
        case .question(let answer): answer(reply)
        case .works(let works, let isRepeated): take(reply, to: works, isRepeated: isRepeated, entry.isLate, entry.sentAt, length)
        }
        leaveIfOutdated()
    }

    /// The server has lost the script, as after SCRIPT FLUSH: what is sent from now on finds it again.
    func loadAgain() {
        guard case .loaded(let digest) = script else { return }
        script = .reloading(digest)
        metrics?.scriptLost()
        ask(Self.loadCommand.map { [UInt8]($0.utf8) }, .loading)
    }

    static let loadCommand = ["SCRIPT", "LOAD", LimitScript.text]

    /// Closes the connection, tells everybody who waits that no reply will come, and connects again later.
    func fail(_ reason: String) {
        let wasReady = isReady
        // Whatever was wrong, the next one begins with a whole handshake.
        if !wasReady { known = nil }
        let unanswered = breakOff()
        report(false, reason)
        retryLater()
        if wasReady { broke() }
        tellServer()
        sendEarly()
        for work in unanswered { endWithoutReply(work) }
    }

    /// - Returns: what has no reply, and whose time was not over yet.
    func breakOff() -> [LimitWork] {
        connection?.close()
        connection = nil
        state = .idle
        var unanswered: [LimitWork] = []
        for case .works(let works, _) in sent.removeAll() + unsent { unanswered += works }
        unanswered += gathered
        gathered = []
        unsent = []
        script = .unknown
        leaveAt = .never
        return unanswered
    }

    /// The connection is there: what came before goes out, or has no reply.
    func sendEarly() {
        let (resets, waiting) = (earlyResets, early)
        (earlyResets, early) = ([], [])
        if isReady { for (call, isHandedOn) in resets { reset(call, isHandedOn: isHandedOn) } }
        for one in waiting where (one.receiver as? RedirectedCall)?.isOver != true {
            decide(one.calls, for: one.receiver, isHandedOn: one.isHandedOn)
        }
    }

    func retryLater() {
        // More or less by chance, so that many gateways do not connect at the same moment.
        connectsAt = loop.now.adding(Nanoseconds(pause.count / 2 + SystemRandom.word() % max(1, pause.count)))
        loop.set(timer!, at: connectsAt)
        pause = min(pause * 2, retryPauseMax)
    }

    func report(_ isAvailable: Bool, _ reason: String) {
        let isFirst = wasAvailable == nil
        let isChange = wasAvailable != isAvailable
        wasAvailable = isAvailable
        if isChange, owner == nil { metrics?.isAvailable(isAvailable) }
        if isChange { owner?.linkChanged(self) }
        tellServer()
        if let text = told.news(isAvailable, reason, isChange: isChange, at: loop.now) {
            observer?.storeChanged(title, isAvailable: isAvailable, text)
        }
        if isFirst { observer?.storeSettled() }
    }

    /// A server that owes replies for so long without a word is gone.
    private var silence: Nanoseconds { max(silenceMin, settings.timeout * 2) }

    func armTimer() {
        guard isReady else { return }
        var next = min(breaker.probeAt, leaveAt, sent.oldestInTime?.adding(settings.timeout) ?? .never)
        if let oldest = sent.oldest { next = min(next, max(oldest, connection?.heardAt ?? .past).adding(silence)) }
        loop.set(timer!, at: next)
    }
}

let retryPauseFirst = Nanoseconds.milliseconds(50)
private let retryPauseMax = Nanoseconds.seconds(1)
/// Questions that wait for a connection to come about.
private let earlyMax = 1_024

private let silenceMin = Nanoseconds.seconds(1)
/// Late replies that are awaited at most.
private let lateMax = 1_024
/// Beyond so many keys the server is taken to know what there is to know.
let askedMax = 65_536
