import Bytes
import Connection
package import System
import TLS
import Time

/// From a server's name to a connection that can be asked.
extension RedisLink {
    /// Where the server's name leads; told by the control process.
    package func resolve(to addresses: [SocketAddress]) {
        guard self.addresses != addresses else { return }
        self.addresses = addresses
        if case .idle = state { return loop.set(timer!, at: loop.now) }
        leaveIfOutdated()
    }

    /// Changes to another server where the name no longer leads to this one. Those who wait for a reply still get it.
    func leaveIfOutdated() {
        guard isReady, let current, !addresses.contains(current), sent.isEmpty, unsent.isEmpty, outbound.isEmpty else { return }
        breakOff()
        connect()
    }

    func connect() {
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

    func connected() {
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

    func handshake() {
        guard let io else { return }
        switch io.handshake() {
        case .done: greet()
        case .wantsRead: io.wait(for: .readable)
        case .wantsWrite: io.wait(for: [.readable, .writable])
        case .failed(let reason): fail("TLS: \(reason)")
        }
    }

    func greet() {
        var commands: [(kind: Greeting, words: [String])] = []
        if let password = settings.password {
            commands.append((.authentication, settings.username.map { ["AUTH", $0, password] } ?? ["AUTH", password]))
        }
        commands.append((.role, ["ROLE"]))
        if settings.database > 0 { commands.append((.database, ["SELECT", String(settings.database)])) }
        commands.append((.script, Self.loadCommand))
        for (index, command) in commands.enumerated() {
            RedisCommand.append(command.words.map { [UInt8]($0.utf8) }, to: &outbound)
            sent.add(.greeting(command.kind, isLast: index == commands.count - 1), at: loop.now)
        }
        state = .greeting
        flush()
    }

    func greeted(_ kind: Greeting, _ reply: RedisReply, isLast: Bool) {
        guard case .greeting = state else { return }
        switch (kind, reply) {
        // Who may not ask for it finds out with the first write.
        case (.role, .error(let text)) where text.hasPrefix("NOPERM") || text.hasPrefix("ERR"): break
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
        timer?.clear()
        breaker.connected(at: loop.now)
        asked.removeAll(keepingCapacity: true)
        if wasAvailable == nil {
            wasAvailable = true
            metrics?.isAvailable(true)
            observer?.linkSettled(self)
        } else if !isDoubtful, breaker.isClosed {
            report(true, "connected")
        }
        armTimer()
    }
}
