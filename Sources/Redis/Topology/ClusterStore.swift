import RateLimiting
import System
import Time

/// A `redis` that is a cluster: each slot has its server, and each server its link, which is available or not by itself.
///
/// Where the slots are is asked at the start, every half a minute, when a connection ends and when a server says that a slot has moved; the servers
/// known so far are asked first, then those of the file. A question that a server passes on (`MOVED`, `ASK`) goes to the other one within its time.
final class ClusterStore: RedisStore, RedisLinkOwner, TimerHandler {
    private let settings: RedisSettings
    private let loop: EventLoop
    private let metrics: StoreMetrics?
    /// By the file's name or address, where it leads.
    private var seeds: [(server: RedisSettings.Address, addresses: [SocketAddress])]
    private var slots = ClusterSlots()
    private var links: [ClusterSlots.Node: RedisLink] = [:]
    /// Of servers that have no slots any more, and since when; they end when nobody waits for them.
    private var leaving: [(link: RedisLink, since: Instant)] = []
    /// When a server was asked over its link for the slots, and has not replied yet.
    private var askedLinkAt: Instant?
    /// How soon it may be asked again; longer and longer while the replies tell nothing new.
    private var pause = refreshMin
    /// Names of probes that lie at a server, as far as they were looked for.
    private var probeNames: [ClusterSlots.Node: [UInt8]] = [:]
    private var inquiry: ServerInquiry?
    private var askedAt = Instant.past
    private var nextAt = Instant.past
    private var timer: Timer?
    private var hasBeenTold = false
    private var state = ToldState()
    private var isFound = false
    weak var observer: (any RedisStoreObserver)? { didSet { for link in links.values { link.observer = observer } } }

    init(_ settings: RedisSettings, _ seeds: [RedisSettings.Address], on loop: EventLoop, _ metrics: StoreMetrics?) {
        self.settings = settings
        self.loop = loop
        self.metrics = metrics
        self.seeds = seeds.map { seed in if case .socket(let address) = seed { (seed, [address]) } else { (seed, []) } }
        timer = Timer(self)
        loop.set(timer!, at: loop.now)
    }

    var hasSettled: Bool { hasBeenTold && links.values.allSatisfy(\.hasSettled) }

    func resolve(_ host: String, to addresses: [IPAddress]) {
        for index in seeds.indices {
            if case .host(host, let port) = seeds[index].server { seeds[index].addresses = addresses.map { .ip($0, port: port) } }
        }
        if !isFound { refreshSoon() }
    }

    func passwordChanged() { for link in links.values { link.passwordChanged() } }

    /// How many servers it has links to.
    var linksCount: Int { links.count }

    // MARK: - Questions

    private func link(of name: [UInt8]) -> RedisLink? { slots[ClusterSlots.slot(of: name)].flatMap { links[$0] } }

    func parts(of calls: [RemoteCall]) -> [[Int]]? {
        guard calls.count > 1 else { return nil }
        let slots = calls.map { ClusterSlots.slot(of: $0.name) }
        guard slots.contains(where: { $0 != slots[0] }) else { return nil }
        return Dictionary(grouping: calls.indices) { slots[$0] }.values.sorted { $0[0] < $1[0] }
    }

    func isAvailable(for calls: [RemoteCall]) -> Bool { calls.first.flatMap { link(of: $0.name) }?.isAvailable ?? false }

    var timeout: Nanoseconds { settings.timeout }

    func server(of calls: [RemoteCall]) -> ObjectIdentifier? { calls.first.flatMap { link(of: $0.name) }.map { ObjectIdentifier($0) } }

    func triesAgainAt(_ calls: [RemoteCall], now: Instant) -> Instant { calls.first.flatMap { link(of: $0.name) }?.triesAgainAt ?? nextAt }

    func name(ofKey key: [UInt8], limit: String, tag: [UInt8]?) -> [UInt8] { settings.keyNames.name(ofKey: key, limit: limit, tag: tag) }

    func forgetKeys() { for link in links.values { link.forgetKeys() } }

    func knows(_ fingerprint: UInt64, name: [UInt8]) -> Bool { link(of: name)?.knows(fingerprint) ?? false }

    func decide(_ calls: [RemoteCall], for receiver: any RemoteDecisionReceiver) {
        guard let link = calls.first.flatMap({ link(of: $0.name) }) else { return receiver.decided(nil, at: loop.now) }
        link.decide(calls, for: receiver)
    }

    func meet(_ host: [UInt8], _ heard: @escaping (UInt64) -> Void) -> Bool {
        link(of: settings.keyNames.membersName)?.meet(host, heard) ?? false
    }

    func read(rates name: String, _ done: @escaping ([(name: String, value: String)]?) -> Void) -> Bool {
        let name = settings.keyNames.ratesName(name)
        return link(of: name)?.read(name, done) ?? false
    }

    func reset(_ call: RemoteCall) {
        guard let link = link(of: call.name) else { return }
        link.reset(call) { [unowned self, unowned link] redirection in
            if let next = follow(redirection, by: link), next.link !== link { next.link.reset(call, isHandedOn: next.isHandedOn) }
        }
    }

    func refund(_ refunds: [RemoteRefund]) { for refund in refunds { link(of: refund.call.name)?.refund([refund]) } }

    // MARK: - Keys that are elsewhere

    func redirected(
        _ calls: [RemoteCall], for receiver: any RemoteDecisionReceiver, _ redirection: Redirection, sentAt: Instant, by link: RedisLink
    ) {
        metrics?.redirected()
        let call =
            receiver as? RedirectedCall
            ?? RedirectedCall(receiver, until: sentAt.adding(settings.timeout), on: loop, metrics)
        guard call.goesOn(), let next = follow(redirection, by: link) else { return call.decided(nil, at: loop.now) }
        next.link.decideSoon(calls, for: call, isHandedOn: next.isHandedOn)
    }

    func redirected(_ refunds: [RemoteRefund], _ redirection: Redirection, by link: RedisLink) -> Bool {
        // A charge that moves on while it is taken back stays, and wears off by itself: one hop is enough.
        if let next = follow(redirection, by: link), next.link !== link { next.link.refund(refunds, isHandedOn: next.isHandedOn) }
        return true
    }

    private func follow(_ redirection: Redirection, by link: RedisLink) -> (link: RedisLink, isHandedOn: Bool)? {
        switch redirection {
        case .tryAgain: return nil
        case .unserved:
            refreshSoon()
            return nil
        case .moved(let slot, let host, let port):
            refreshSoon()
            guard let node = node(host, port, link) else { return nil }
            slots.move(slot, to: node)
            return makeLink(to: node).map { ($0, false) }
        case .ask(_, let host, let port): return node(host, port, link).flatMap { makeLink(to: $0) }.map { ($0, true) }
        }
    }

    private func node(_ host: String, _ port: UInt16, _ link: RedisLink) -> ClusterSlots.Node? {
        if let known = slots.nodes.first(where: { $0.hostname == host && !host.isEmpty && $0.address.port == port }) { return known }
        // Without a host it means the one that was asked; a name that nobody has told leads nowhere.
        let address = host.isEmpty ? link.current?.ip : IPAddress(host)
        guard let address else { return nil }
        let place = SocketAddress.ip(address, port: port)
        return slots.nodes.first { $0.address == place } ?? ClusterSlots.Node(address: place, hostname: "")
    }

    private func makeLink(to node: ClusterSlots.Node) -> RedisLink? {
        if let link = links[node] { return link }
        guard links.count < linksMax else { return nil }
        let server: RedisSettings.Address =
            if case .ip(_, let port) = node.address, !node.hostname.isEmpty { .host(node.hostname, port: port) } else {
                .socket(node.address)
            }
        let link = RedisLink(
            settings, to: server, title: "\(settings.name) (\(node.address.text))", on: loop, metrics: metrics, isOneServer: false)
        link.owner = self
        link.observer = observer
        link.resolve(to: [node.address])
        links[node] = link
        return link
    }

    // MARK: - Where the slots are

    private func refreshSoon() {
        nextAt = min(nextAt, max(loop.now, askedAt.adding(pause)))
        armTimer()
    }

    private func armTimer() {
        var next = nextAt
        if let askedLinkAt { next = min(next, askedLinkAt.adding(settings.connectTimeout)) }
        if !leaving.isEmpty { next = min(next, loop.now.adding(refreshMin)) }
        loop.set(timer!, at: next)
    }

    func fired(_ timer: Timer) {
        leaving.removeAll { link, since in
            guard !link.owesReplies || loop.now.since(since) > settings.timeout else { return false }
            link.end()
            return true
        }
        if let askedLinkAt, loop.now.since(askedLinkAt) >= settings.connectTimeout { inquire() } else if nextAt <= loop.now { refresh() }
        armTimer()
    }

    private func refresh() {
        nextAt = loop.now.adding(isFound ? Self.withJitter(refreshPause) : Self.withJitter(retryPause))
        guard inquiry == nil, askedLinkAt == nil else { return }
        askedAt = loop.now
        // One that is connected is asked there: a connection for each question would be a storm where many gateways lose the same server.
        guard let link = links.values.filter(\.isAvailable).randomElement() else { return inquire() }
        let moment = loop.now
        askedLinkAt = moment
        link.ask(["CLUSTER", "SLOTS"]) { [unowned self, unowned link] reply in
            guard askedLinkAt == moment else { return }
            if case .error = reply { return inquire() }
            askedLinkAt = nil
            found(reply, link.current, "")
        }
    }

    /// Asks one server after the other on connections of their own.
    private func inquire() {
        askedLinkAt = nil
        guard inquiry == nil else { return }
        let known = links.filter { $0.value.isReady }.keys.shuffled().map { (links[$0]!.server, $0.address) }
        let named = seeds.flatMap { seed in seed.addresses.map { (seed.server, $0) } }
        guard !known.isEmpty || !named.isEmpty else { return notFound("no name is resolved yet") }
        inquiry = ServerInquiry(["CLUSTER", "SLOTS"], to: known.prefix(knownMax) + named, settings, on: loop) {
            [unowned self] reply, address, reason in
            // The inquiry is still at work when it says so.
            let ended = inquiry
            inquiry = nil
            withExtendedLifetime(ended) { found(reply, address, reason) }
        }
    }

    private func found(_ reply: RedisReply?, _ address: SocketAddress?, _ reason: String) {
        guard let reply, let address else { return notFound(reason) }
        guard let slots = ClusterSlots(reply, from: address) else { return notFound("\(address.text) gave another reply to CLUSTER SLOTS") }
        guard slots.covered > 0 else { return notFound("\(address.text) knows of no slots") }
        metrics?.topologyAsked(true)
        pause = slots == self.slots ? min(pause * 2, pauseMax) : refreshMin
        self.slots = slots
        probeNames = [:]
        for node in slots.nodes { _ = makeLink(to: node) }
        let present = Set(slots.nodes)
        for (node, link) in links where !present.contains(node) {
            links[node] = nil
            link.observer = nil
            link.retire()
            // Its replies may still say where the keys are now.
            leaving.append((link, loop.now))
        }
        if !isFound, hasBeenTold, let text = state.news(true, "its slots are known", isChange: true, at: loop.now) {
            observer?.storeChanged(settings.name, isAvailable: true, text)
        }
        isFound = true
        // Until each server can be asked, another one may take its place at any time.
        let isWhole = slots.covered == ClusterSlots.count && slots.nodes.allSatisfy { links[$0]?.isReady == true }
        nextAt = loop.now.adding(Self.withJitter(isWhole ? refreshPause : pause))
        armTimer()
        settle()
    }

    private func notFound(_ reason: String) {
        metrics?.topologyAsked(false)
        nextAt = loop.now.adding(Self.withJitter(retryPause))
        armTimer()
        // Where slots are known, those servers are asked for as long as they answer.
        guard !isFound else { return }
        if let text = state.news(false, "its slots are not known: \(reason)", isChange: !hasBeenTold, at: loop.now) {
            observer?.storeChanged(settings.name, isAvailable: false, text)
        }
        settle()
    }

    private func settle() {
        tellUp()
        guard !hasBeenTold else { return }
        hasBeenTold = true
        observer?.storeSettled()
    }

    /// It is up where all of it is.
    private func tellUp() {
        metrics?.isAvailable(slots.covered == ClusterSlots.count && slots.nodes.allSatisfy { links[$0]?.isAvailable == true })
    }

    func linkChanged(_ link: RedisLink) { if !isLeaving(link) { tellUp() } }

    func linkFailed(_ link: RedisLink) { if !isLeaving(link) { refreshSoon() } }

    private func isLeaving(_ link: RedisLink) -> Bool { leaving.contains { $0.link === link } }

    /// A name that lies in a slot of this server.
    func probeName(for link: RedisLink) -> [UInt8] {
        guard let node = links.first(where: { $0.value === link })?.key, slots.hasSlots(node) else { return settings.keyNames.probeName(0) }
        if let name = probeNames[node] { return name }
        let name = (0..<probesTried).lazy.map { self.settings.keyNames.probeName($0) }.first { self.link(of: $0) === link }
        probeNames[node] = name ?? settings.keyNames.probeName(0)
        return probeNames[node]!
    }

    /// Half of it more or less.
    private static func withJitter(_ pause: Nanoseconds) -> Nanoseconds {
        Nanoseconds(pause.count / 2 + SystemRandom.word() % max(1, pause.count))
    }
}

private let refreshPause = Nanoseconds.seconds(30)
private let refreshMin = Nanoseconds.milliseconds(100)
/// Where nothing new was told, it is not asked more often than that for what moves or fails.
private let pauseMax = Nanoseconds.seconds(1)
private let retryPause = Nanoseconds.milliseconds(500)
/// Of those that are known, so many are asked before the file's.
private let knownMax = 4
private let linksMax = 1_000
private let probesTried = 65_536
