import TLS
import Bytes
import System
import Time

/// From a server's name to a connection that can be asked.
extension RedisLink {
    /// Where the server's name leads; told by the control process.
    func resolve(to addresses: [SocketAddress]) {
        guard self.addresses != addresses else { return }
        self.addresses = addresses
        if case .idle = state { return loop.set(timer!, at: loop.now) }
        leaveIfOutdated()
    }

    /// Another server has taken its place: this one is left at once, whatever it still says.
    func move(to address: SocketAddress) {
        guard addresses != [address] else { return }
        addresses = [address]
        pause = retryPauseFirst
        guard current != nil, current != address else { return connectIfIdle() }
        if case .idle = state { return connectIfIdle() }
        fail("\(address.text) has taken its place")
        connectIfIdle()
    }

    private func connectIfIdle() { if case .idle = state { loop.set(timer!, at: loop.now) } }

    /// Changes to another server where the name no longer leads to this one. Those who wait for a reply still get it, if it comes within a second.
    func leaveIfOutdated() {
        guard isReady, let current, !addresses.isEmpty, !addresses.contains(current) else { return leaveAt = .never }
        if leaveAt == .never {
            leaveAt = loop.now.adding(outdatedFor)
            armTimer()
        }
        guard leaveAt <= loop.now || sent.isEmpty && unsent.isEmpty && gathered.isEmpty else { return }
        for work in breakOff() { endWithoutReply(work) }
        tellServer()
        connect()
    }

    /// There is another password: a connection that goes on is told, as one that is to outlive the old one must be.
    func passwordChanged() {
        guard let words = settings.login.command else { return }
        ask(words) { [unowned self] reply in
            // What it was let in with before holds on this connection.
            if case .error(let text) = reply {
                observer?.storeSaid(title, "it does not take the password that is in the file now: \(Self.code(of: text))")
            }
        }
        // One that was refused with the old one need not wait.
        if case .idle = state, !addresses.isEmpty { loop.set(timer!, at: loop.now) }
    }

    /// The first word of an error.
    static func code(of error: String) -> String { String(error.prefix { $0.isASCII && $0.isUppercase }.prefix(32)) }

    func connect() {
        guard !addresses.isEmpty else {
            // At the start it takes a moment to find out.
            if wasAvailable != nil || loop.now.since(madeAt) >= settings.connectTimeout {
                report(false, settings.isSentinel ? "no sentinel has said where the master is" : "its name is not resolved yet")
            }
            return retryLater()
        }
        // After a failure the next address of the name is tried.
        let address = addresses[nextAddress % addresses.count]
        nextAddress &+= 1
        current = address
        do {
            connection = try RedisConnection(
                to: address, settings.tls, host: settings.tlsHost(of: server, at: address),
                resuming: session(for: address),
                on: loop, self)
        } catch {
            return fail(error.description)
        }
        state = .connecting
        loop.set(timer!, after: settings.connectTimeout)
    }

    /// What an earlier connection to the server has left. A resumed one looks at no certificate: now and then a whole handshake does.
    private func session(for address: SocketAddress) -> ResumableSession? {
        guard let known, known.address == address, loop.now.since(known.since) < resumedFor else { return nil }
        return known.session
    }

    /// A connection that could be asked has ended.
    func broke() {
        metrics?.connectionLost()
        owner?.linkFailed(self)
    }

    func greet() {
        var commands: [(kind: Greeting, words: [String])] = []
        if let words = settings.login.command { commands.append((.authentication, words)) }
        commands.append((.role, ["ROLE"]))
        if settings.database > 0 { commands.append((.database, ["SELECT", String(settings.database)])) }
        commands.append((.script, Self.loadCommand))
        for (index, command) in commands.enumerated() {
            connection?.append(command.words.map { [UInt8]($0.utf8) })
            sent.add(.greeting(command.kind, isLast: index == commands.count - 1), at: loop.now)
        }
        state = .greeting
        connection?.flush()
    }

    func greeted(_ kind: Greeting, _ reply: RedisReply, isLast: Bool) {
        guard case .greeting = state else { return }
        // Said in place of the first reply, whatever was asked.
        if case .error(let text) = reply, text.hasPrefix("ERR max number of clients") {
            return fail("it has as many clients as it takes (maxclients)")
        }
        switch (kind, reply) {
        // Who may not ask for it finds out with the first write.
        case (.role, .error(let text)) where text.hasPrefix("NOPERM") || text.hasPrefix("ERR"): break
        // What a server that does not know AUTH says of it may have the password in it.
        case (.authentication, .error(let text)): return fail("AUTH is refused: \(Self.code(of: text))")
        case (.script, .error(let text)) where LimitScript.isUnkept(text):
            script = .unkept
            tellOnce("it keeps no scripts, so each question brings one along", text)
        case (_, .error(let text)): return fail(text)
        case (.role, .array(let parts)):
            guard case .string(let role)? = parts.first else { return fail("ROLE gave no role") }
            guard role == Array("master".utf8) else {
                return fail("it is no master but a \(String(decoding: role.prefix(16), as: UTF8.self))")
            }
        case (.script, .string(let digest)) where digest.count == 40: script = .loaded(digest)
        case (.script, _): return fail("SCRIPT LOAD gave no digest")
        default: break
        }
        guard isLast else { return }
        state = .ready
        if let connection {
            let since = connection.isResumed ? known?.since ?? loop.now : loop.now
            known = connection.resumable.map { (connection.address, $0, since) }
            serverMetrics = metrics?.server(connection.address.text)
        }
        metrics?.connectionOpened()
        tellServer()
        timer?.clear()
        breaker.connected(at: loop.now)
        asked.removeAll(keepingCapacity: true)
        if wasAvailable == nil {
            wasAvailable = true
            if owner == nil { metrics?.isAvailable(true) }
            observer?.storeSettled()
        } else if !isDoubtful, breaker.isClosed {
            report(true, "connected")
        }
        owner?.linkChanged(self)
        sendEarly()
        armTimer()
    }
}

/// A server that the name no longer leads to is asked no longer than this.
private let outdatedFor = Nanoseconds.seconds(1)
/// So long after a whole handshake connections resume it.
private let resumedFor = Nanoseconds.seconds(3_600)
