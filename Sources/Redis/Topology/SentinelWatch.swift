import System
import Time

/// Keeps the link of a `redis` with sentinels at its master.
///
/// One sentinel is asked each second; another one is listened to for `+switch-master`, which moves the link at once, also where the old master still
/// answers: it does not know yet that it is one no more. Who answers is asked for a while, and then the next one: it may have been cut off itself. While the link is at a server that says that it is the
/// master, a sentinel that says otherwise has the others asked too: what more than half of them say holds, or, where some do not answer, what two of them say
/// and more than name the present one. Where none answers, the link stays where it is.
final class SentinelWatch: TimerHandler {
    private let settings: SentinelSettings
    private let loop: EventLoop
    private unowned let link: RedisLink
    /// The file's, and where each leads.
    private var named: [(server: RedisSettings.Address, addresses: [SocketAddress])]
    /// All addresses, in the order in which they are asked.
    private var order: [Place] = []
    private var asking: (connection: SentinelConnection, place: Place)?
    private var listening: (connection: SentinelConnection, place: Place)?
    /// What sentinels have said a short while ago, while one of them names another master than the link is at.
    private var opinions: [Opinion] = []
    /// What was said in a dispute that changed nothing, and begins no other one for a while.
    private var overruled: [Opinion] = []
    /// Until when each answer has the next one asked: a dispute was settled, and others may come to say what one has said first.
    private var asksAllUntil = Instant.past
    /// The server that was left last for another one: a sentinel that has not heard of that still names it.
    private var left: (address: SocketAddress, at: Instant)?
    /// How often the present one has answered.
    private var answers = 0
    private var complainedAt = Instant.past
    private var listenAfter = Instant.past
    /// How often a sentinel was chosen to be listened to.
    private var listened = 0
    private var timer: Timer?

    private struct Place: Equatable {
        let server: RedisSettings.Address
        let address: SocketAddress
    }

    private struct Opinion {
        let place: Place
        /// Nil where there was no answer.
        let address: SocketAddress?
        let at: Instant
    }

    init(_ settings: SentinelSettings, of link: RedisLink, on loop: EventLoop) {
        self.settings = settings
        self.link = link
        self.loop = loop
        named = settings.addresses.map { address in if case .socket(let socket) = address { (address, [socket]) } else { (address, []) } }
        order = places
        timer = Timer(self)
        loop.set(timer!, at: loop.now)
    }

    func resolve(_ host: String, to addresses: [IPAddress]) {
        for index in named.indices {
            if case .host(host, let port) = named[index].server { named[index].addresses = addresses.map { .ip($0, port: port) } }
        }
        // Who has been asked stays where it is in the order.
        let present = places
        order = order.filter { present.contains($0) } + present.filter { !order.contains($0) }
        if asking == nil { loop.set(timer!, at: loop.now) }
    }

    /// One for each address: a name may lead to several sentinels, or to addresses at which none is.
    private var places: [Place] {
        named.flatMap { one in one.addresses.map { Place(server: one.server, address: $0) } }
    }

    func fired(_ timer: Timer) {
        loop.set(timer, after: askPause)
        if let listening, !listening.connection.isAlive() {
            listening.connection.close()
            self.listening = nil
        }
        if let asking, let askedAt = asking.connection.askedAt, loop.now.since(askedAt) >= askPause {
            asking.connection.close()
            askedInVain(asking.place)
        }
        // A server that is not there, or says that it is no master: perhaps the sentinel is behind.
        if !link.isReady, link.current != nil, order.count > 1, asking != nil { dropAsking() }
        if let last = opinions.last, loop.now.since(last.at) >= opinionFor { opinions = [] }
        overruled.removeAll { loop.now.since($0.at) >= overruledFor }
        if asking == nil { ask() } else { asking?.connection.ask() }
        if listening == nil, listenAfter <= loop.now { listen() }
    }

    private func dropAsking() {
        guard let place = asking?.place else { return }
        asking?.connection.close()
        askedInVain(place)
    }

    /// It is asked last from now on.
    private func askedInVain(_ place: Place) {
        link.metrics?.topologyAsked(false)
        asking = nil
        answers = 0
        if !opinions.isEmpty {
            hear(nil, from: place)
            if !opinions.isEmpty, hasUnheard { loop.set(timer!, at: loop.now.adding(nextPause)) }
        }
        order.removeAll { $0 == place }
        if places.contains(place) { order.append(place) }
    }

    private func ask() {
        // Those that have been heard in a dispute come behind.
        let heard = opinions.map(\.place)
        for place in order.filter({ !heard.contains($0) }) + order.filter({ heard.contains($0) }) {
            if let made = connection(.asking, to: place) {
                asking = (made, place)
                return
            }
        }
    }

    private func connection(_ purpose: SentinelConnection.Purpose, to place: Place) -> SentinelConnection? {
        try? SentinelConnection(purpose, settings, place.server, at: place.address, on: loop) { [unowned self] in heard($1, from: $0) }
    }

    /// Another sentinel than the one that is asked, where there are several.
    private func listen() {
        listenAfter = loop.now.adding(askPause)
        let free = order.filter { $0 != asking?.place }
        // By turns: one that lets itself be connected to and says nothing does not keep the others from being heard.
        let choice = free.isEmpty ? order : free
        listened &+= 1
        for index in choice.indices {
            let place = choice[(listened + index) % choice.count]
            if let made = connection(.listening, to: place) {
                listening = (made, place)
                return
            }
        }
    }

    private func heard(_ news: SentinelConnection.News, from connection: SentinelConnection) {
        switch (news, connection.purpose) {
        case (.switched(let old, let new), _):
            if let old { left = (old, loop.now) }
            (opinions, overruled) = ([], [])
            link.move(to: new)
        case (.master(let address), _):
            guard let asking, connection === asking.connection else { return }
            guard let address else {
                if loop.now.since(complainedAt) >= complaintPause {
                    complainedAt = loop.now
                    link.observer?.storeSaid(link.title, "a sentinel knows of no master '\(settings.master)'")
                }
                return dropAsking()
            }
            link.metrics?.topologyAsked(true)
            heard(address, from: asking.place)
        case (.ended, .asking):
            guard let asking, connection === asking.connection else { return }
            askedInVain(asking.place)
        case (.ended, .listening):
            if connection === listening?.connection { listening = nil }
        }
    }

    private func heard(_ address: SocketAddress, from place: Place) {
        answers += 1
        let isPresent = link.addresses == [address]
        if opinions.isEmpty {
            if isPresent {
                let isNext = order.count > 1 && (answers >= answersOfOne || loop.now < asksAllUntil)
                return isNext ? leaveAsking() : askFirst(place)
            }
            if link.isReady, overruled.contains(where: { $0.place == place && $0.address == address }) { return leaveAsking() }
            // It has not heard of a change that this host has.
            if let left, left.address == address, loop.now.since(left.at) < leftFor { return askFirst(place) }
        }
        guard link.isReady, order.count > 1 else {
            askFirst(place)
            return isPresent ? opinions = [] : move(to: address)
        }
        hear(address, from: place)
        guard !opinions.isEmpty else { return }
        leaveAsking()
        if hasUnheard { ask() }
    }

    private var hasUnheard: Bool { order.contains { next in !opinions.contains { $0.place == next } } }

    /// Takes down what a sentinel has said in a dispute, and ends the dispute where that is enough.
    private func hear(_ address: SocketAddress?, from place: Place) {
        opinions.removeAll { $0.place == place }
        opinions.append(Opinion(place: place, address: address, at: loop.now))
        var votes: [(address: SocketAddress, count: Int)] = []
        for case let said? in opinions.map(\.address) {
            if let index = votes.firstIndex(where: { $0.address == said }) { votes[index].count += 1 } else { votes.append((said, 1)) }
        }
        let present = votes.first { link.addresses == [$0.address] }?.count ?? 0
        if let most = votes.max(by: { $0.count < $1.count }), link.addresses != [most.address],
            most.count * 2 > order.count || !hasUnheard && most.count > 1 && most.count > present
        {
            return move(to: most.address)
        }
        guard present * 2 > order.count || !hasUnheard else { return }
        // Nothing changes.
        overruled += opinions.filter { opinion in opinion.address.map { link.addresses != [$0] } ?? false }
        opinions = []
        asksAllUntil = loop.now.adding(asksAllFor)
        leaveAsking()
    }

    private func askFirst(_ place: Place) {
        order.removeAll { $0 == place }
        if places.contains(place) { order.insert(place, at: 0) }
    }

    private func move(to address: SocketAddress) {
        if let before = link.addresses.first { left = (before, loop.now) }
        opinions = []
        overruled = []
        link.move(to: address)
    }

    /// It is asked last from now on, and has not failed.
    private func leaveAsking() {
        answers = 0
        guard let place = asking?.place else { return }
        asking?.connection.close()
        asking = nil
        order.removeAll { $0 == place }
        if places.contains(place) { order.append(place) }
    }
}

private let askPause = Nanoseconds.seconds(1)
private let complaintPause = Nanoseconds.seconds(60)
private let leftFor = Nanoseconds.seconds(10)
/// So long after the last answer a dispute goes on.
private let opinionFor = Nanoseconds.seconds(5)
/// One sentinel is asked so many times in a row.
private let answersOfOne = 5
/// So long after a dispute that changed nothing what was said in it counts for nothing by itself, and so long all are asked by turns.
private let overruledFor = Nanoseconds.seconds(30)
private let asksAllFor = Nanoseconds.seconds(10)
/// Where one does not answer in a dispute, the next one is asked after this.
private let nextPause = Nanoseconds.milliseconds(20)
