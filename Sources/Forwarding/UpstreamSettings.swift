package import ConfigFile
import HTTPMessage
package import System
package import TLS
package import UpstreamHealth

/// A group of servers that response for one service, as the file describes it.
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
        /// The better one of two that are chosen by chance, by how long their responses take and how many are awaited.
        case p2c
        /// The same server for the same value of a variable, as long as it has not much more to do than the others.
        case hash(Variable)
    }

    package enum Version: Sendable {
        case http1, http2
    }

    package let name: String
    /// In their order in the file.
    package let serverSettings: [ServerSettings]
    package var servers: [Address] { serverSettings.map(\.address) }
    /// Where the servers stand in the DNS; nil where they stand in the file.
    package let service: ServiceName?
    /// Where its servers are, for people.
    package var places: [String] { service.map { ["srv \($0.text)"] } ?? servers.map(\.text) }
    /// Nil where no server is taken out for its failures.
    package let ejection: EjectionRule?
    /// When no server is asked for a while, because too many requests failed at all of them; nil where that does not happen.
    package let breaker: EjectionRule?
    /// Requests of all workers that may be under way at once; nil for no bound.
    package let requestsMax: Int?
    /// Nil where nobody looks.
    package let check: CheckRule?
    /// Nil where no request goes out again but those that never set out.
    package let retry: RetryRule?
    /// Whether servers are asked all the same where none is well.
    package let triesWhenAllDown: Bool
    package let balance: Balance
    /// Nil where no client is bound to the server that it began with.
    package let sticky: StickyCookie?
    package let tls: ClientTLSSettings?
    package let timeouts: UpstreamTimeouts
    /// Kept-alive connections that a worker holds for each server.
    package let idleMax: Int

    /// Connections, busy and idle, that a worker has to each server at most; requests beyond that wait for one.
    package let connectionsMax: Int

    /// Requests of all workers that wait for one at most; beyond it they are refused at once.
    package let waitingMax: Int

    /// Streams that a connection of HTTP/2 carries at once, if its server agrees.
    package let streamsMax: Int
    /// How large the receive window of a stream may become, and what it is at first.
    package let streamWindow: Int
    package var windowAtFirst: Int { min(streamWindow, 1 << 18) }
    /// Bytes of a response's head.
    package let headBytesMax: Int

    /// The version of HTTP that the servers speak; over TLS by ALPN, in clear by prior knowledge.
    package let version: Version
    /// What tells the servers the client's address before the first byte; then no connection serves two clients.
    package let proxyProtocol: ProxyProtocol.Version?

    package var speaksHTTP2: Bool { version == .http2 }

    /// Reads `upstream NAME { … }`; nil when a part of it is wrong.
    package init?(_ directive: Directive, files: any FileSource, _ diagnostics: Diagnostics) {
        guard directive.hasArguments(1...1, "NAME { … }", diagnostics) else { return nil }
        let errors = diagnostics.count
        let block = Block(of: directive, title: "an upstream", diagnostics)
        name = directive.arguments[0].text
        let given = block.all("server")
        var servers: [ServerSettings] = []
        for directive in given {
            guard let server = ServerSettings(directive, diagnostics) else { continue }
            if servers.contains(where: { $0.address == server.address }) {
                diagnostics.error("this server stands twice", at: directive.arguments.first ?? directive.name)
            }
            servers.append(server)
        }
        if !servers.isEmpty, servers.allSatisfy(\.isBackup) {
            diagnostics.error("all servers are backups", at: directive.name, hint: "a backup stands in for a server that is none")
        }
        serverSettings = servers
        let ejectionDirective = block.one("ejection")
        let serviceDirective = block.one("srv")
        service = serviceDirective.flatMap { ServiceName($0, diagnostics) }
        if let serviceDirective, !given.isEmpty {
            diagnostics.error(
                "the servers of an upstream stand in the file or in the DNS, not in both", at: serviceDirective.name,
                hint: "remove srv, or the lines with server")
        }
        ejection =
            ejectionDirective.map { EjectionRule($0, diagnostics) } ?? (servers.count > 1 || service != nil ? EjectionRule() : nil)
        breaker = block.one("breaker").flatMap { EjectionRule(breaker: $0, diagnostics) }
        requestsMax = block.one("max_requests")?.integer(1...1_000_000, diagnostics)
        let protocolDirective = block.one("protocol")
        let version = protocolDirective?.choice(["http/1.1": Version.http1, "h2": .http2], diagnostics) ?? .http1
        self.version = version
        check = block.one("health_check").flatMap { CheckRule($0, speaksHTTP2: version == .http2, diagnostics) }
        retry = block.one("retry").flatMap { RetryRule($0, diagnostics) }
        triesWhenAllDown = block.one("when_all_down")?.choice(["try": true, "refuse": false], diagnostics) ?? true
        balance = block.one("balance").flatMap { Balance($0, diagnostics) } ?? .roundRobin
        sticky = block.one("sticky").flatMap { StickyCookie($0, files: files, diagnostics) }
        tls = block.one("tls").flatMap { ClientTLSSettings($0, files: files, diagnostics) }
        timeouts = UpstreamTimeouts(block, diagnostics)
        idleMax = block.one("keepalive")?.integer(0...100_000, diagnostics) ?? 256
        connectionsMax = block.one("max_connections")?.integer(1...100_000, diagnostics) ?? 1_024
        waitingMax = block.one("max_waiting")?.integer(0...1_000_000, diagnostics) ?? 1_024
        streamsMax = block.one("streams")?.integer(1...100_000, diagnostics) ?? 100
        let window = block.one("stream_window")
        streamWindow = window?.size(diagnostics).map { Int(clamping: $0) } ?? 8 << 20
        if let window, !(65_536...(16 << 20)).contains(streamWindow) {
            diagnostics.error("stream_window is from 64k to 16m", at: window.arguments.first ?? window.name)
        }
        let headSize = block.one("head_size")
        headBytesMax = headSize?.size(diagnostics).map { Int(clamping: $0) } ?? Limits.responseHeadBytesMax
        if let headSize, !(1_024...Limits.responseHeadBytesMax).contains(headBytesMax) {
            diagnostics.error("head_size is from 1k to 64k", at: headSize.arguments.first ?? headSize.name)
        }
        proxyProtocol = block.one("proxy_protocol")?.choice(["v1": ProxyProtocol.Version.v1, "v2": .v2], diagnostics)
        if version == .http2, proxyProtocol != nil, let word = protocolDirective?.arguments.first {
            diagnostics.error(
                "connections of HTTP/2 serve many clients, and proxy_protocol can name only one", at: word, hint: "use one of the two")
        }
        if let word = block.one("health_check")?.name, let check, check.kind != .tcp, proxyProtocol != nil {
            diagnostics.error(
                "a check that asks speaks no PROXY protocol, and these servers want it", at: word,
                hint: "look whether they take connections: health_check tcp { … }")
        }
        // Who forges an answer of the DNS would otherwise choose the name that is checked (RFC 6125 §6.2.1).
        if let serviceDirective, let tls, tls.serverName == nil {
            diagnostics.error(
                "the names of these servers come from the DNS, which vouches for none of them", at: serviceDirective.name,
                hint: "say which name their certificates carry: tls { server_name NAME; }")
        }
        block.finish()
        if given.isEmpty, serviceDirective == nil {
            diagnostics.error("an upstream has no server", at: directive.name, hint: "add: server 127.0.0.1:8000;")
        }
        if diagnostics.count > errors { return nil }
    }

    /// The name that a server's certificate must carry.
    package func tlsHost(of address: Address) -> String {
        if let name = tls?.serverName { return name }
        switch address {
        case .host(let host, _): return host
        case .socket(.ip(let address, _)): return address.text
        case .socket(.unix): return "localhost"
        }
    }
}

extension UpstreamSettings.Balance {
    /// Reads `balance round_robin|least_connections|p2c;` and `balance hash $VARIABLE;`.
    fileprivate init?(_ directive: Directive, _ diagnostics: Diagnostics) {
        guard directive.arguments.first?.text == "hash", directive.arguments.count == 2, directive.block == nil else {
            let words = ["round_robin": Self.roundRobin, "least_connections": .leastConnections, "p2c": .p2c]
            guard let choice = directive.choice(words, diagnostics) else { return nil }
            self = choice
            return
        }
        let word = directive.arguments[1]
        guard let template = Template(word, diagnostics) else { return nil }
        guard template.parts.count == 1, let variable = template.variables.first else {
            diagnostics.error("'\(word.text)' is not a variable", at: word, hint: "write: balance hash $client.ip;")
            return nil
        }
        self = .hash(variable)
    }
}

extension UpstreamSettings.Address {
    init?(_ word: Word, _ diagnostics: Diagnostics) {
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
