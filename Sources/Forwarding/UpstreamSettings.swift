package import ConfigFile
package import EventLoop
package import TLS

/// A group of servers that answer for one service, as the file describes it.
package struct UpstreamSettings {
    package enum Address: Hashable, Sendable {
        case socket(SocketAddress)
        /// A name that the control process resolves.
        case host(String, port: UInt16)

        package var text: String {
            switch self {
            case .socket(let address): address.text
            case .host(let host, let port): "\(host):\(port)"
            }
        }
    }

    package enum Balance: Sendable {
        case roundRobin, leastConnections
    }

    package let name: String
    package let servers: [Address]
    package let balance: Balance
    package let tls: ClientTLSSettings?
    package let connectTimeout: UInt64
    /// The longest silence of a server that owes an answer; nanoseconds, as all of these.
    package let answerTimeout: UInt64
    package let idleTimeout: UInt64
    /// Kept-alive connections that a worker holds for each server.
    package let idleMax: Int

    /// Connections, busy and idle, that a worker has to each server at most; requests beyond that wait for one.
    package let connectionsMax: Int

    /// Reads `upstream NAME { … }`; nil when a part of it is wrong.
    package init?(_ directive: Directive, files: any FileSource, _ diagnostics: Diagnostics) {
        guard directive.hasArguments(1...1, "NAME { … }", diagnostics) else { return nil }
        let errors = diagnostics.count
        let block = Block(of: directive, title: "an upstream", diagnostics)
        name = directive.arguments[0].text
        let given = block.all("server")
        var servers: [Address] = []
        for server in given {
            if server.block != nil {
                diagnostics.error("a server's own block is not available yet", at: server.name, hint: "write server ADDRESS;")
                continue
            }
            guard let word = server.word("HOST:PORT or unix:/path", diagnostics), let address = Address(word, diagnostics) else { continue }
            if servers.contains(address) { diagnostics.error("this server stands twice", at: word) }
            servers.append(address)
        }
        self.servers = servers
        balance =
            block.one("balance")?.choice(["round_robin": Balance.roundRobin, "least_connections": .leastConnections], diagnostics)
            ?? .roundRobin
        tls = block.one("tls").flatMap { ClientTLSSettings($0, files: files, diagnostics) }
        func nanoseconds(_ name: String, _ fallback: Duration) -> UInt64 {
            let given = block.one(name)?.duration(diagnostics, in: .milliseconds(1)...(.seconds(86_400)))
            return UInt64(clamping: (given ?? fallback).nanoseconds)
        }
        connectTimeout = nanoseconds("connect_timeout", .seconds(3))
        answerTimeout = nanoseconds("answer_timeout", .seconds(60))
        idleTimeout = nanoseconds("idle_timeout", .seconds(55))
        idleMax = block.one("keepalive")?.integer(0...100_000, diagnostics) ?? 256
        connectionsMax = block.one("max_connections")?.integer(1...100_000, diagnostics) ?? 1_024
        block.finish(later: ["health", "health_check", "protocol", "weight", "proxy_protocol", "sticky"])
        if given.isEmpty { diagnostics.error("an upstream has no server", at: directive.name, hint: "add: server 127.0.0.1:8000;") }
        if diagnostics.count > errors { return nil }
    }

    /// The name that a server's certificate must carry.
    func tlsHost(of address: Address) -> String {
        if let name = tls?.serverName { return name }
        switch address {
        case .host(let host, _): return host
        case .socket(.ip(let address, _)): return address.text
        case .socket(.unix): return "localhost"
        }
    }
}

extension UpstreamSettings.Address {
    fileprivate init?(_ word: Word, _ diagnostics: Diagnostics) {
        if let socket = SocketAddress(word.text) {
            self = .socket(socket)
        } else if let (host, port) = SocketAddress.split(word.text), port > 0 {
            self = .host(host, port: port)
        } else {
            diagnostics.error("'\(word.text)' is not an address", at: word, hint: "write HOST:PORT or unix:/path")
            return nil
        }
    }
}
