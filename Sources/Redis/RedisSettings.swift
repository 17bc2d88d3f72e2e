package import Time
import Authentication
import Bytes
package import ConfigFile
package import System
package import TLS

/// A Redis server, as the file describes it.
package struct RedisSettings {
    package enum Address: Equatable, Sendable {
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

    /// Which servers there are, and which of them has a key.
    package enum Topology {
        case server(Address)
        /// One that is found by asking.
        case sentinel(SentinelSettings)
        /// A Redis Cluster, found through any of these.
        case cluster([Address])
        /// Servers that know nothing of each other.
        case shards([Address])

        /// The addresses that the file names.
        package var addresses: [Address] {
            switch self {
            case .server(let address): [address]
            case .sentinel(let sentinels): sentinels.addresses
            case .cluster(let addresses), .shards(let addresses): addresses
            }
        }

        /// As the file says it.
        package var text: String {
            let list = addresses.map(\.text).joined(separator: " ")
            return switch self {
            case .server: list
            case .sentinel(let sentinels): "sentinel \(list) master \(sentinels.master)"
            case .cluster: "cluster \(list)"
            case .shards: "shards \(list)"
            }
        }
    }

    package let name: String
    package let topology: Topology
    package let login: RedisLogin
    package let database: Int
    package let tls: ClientTLSSettings?
    /// What keys are called there.
    package let keyNames: KeyNames
    /// How long a decision may take before `when_store_fails` holds.
    package let timeout: Nanoseconds

    /// How long a connection may take to come about.
    package let connectTimeout: Nanoseconds
    /// After so long a shard that is away has its keys counted by the others; zero for never.
    package let rehashAfter: Nanoseconds

    /// The name to verify in a server's certificate.
    func tlsHost(of server: Address, at address: SocketAddress) -> String {
        if let name = tls?.serverName { return name }
        if !isSentinel, case .host(let host, _) = server { return host }
        return address.hostText
    }

    /// The files with passwords, and whether one is the sentinels'.
    package var passwordFiles: [(path: String, isOfSentinels: Bool)] {
        var files = login.passwordFile.map { [($0, false)] } ?? []
        if case .sentinel(let sentinels) = topology, let file = sentinels.login.passwordFile { files.append((file, true)) }
        return files
    }

    /// A file with a password has another content.
    ///
    /// - Returns: whether that is another password of the servers, which their connections have to be told.
    package func replacePassword(_ content: [UInt8], isOfSentinels: Bool) -> Bool {
        guard isOfSentinels else { return login.replace(content) }
        if case .sentinel(let sentinels) = topology { _ = sentinels.login.replace(content) }
        return false
    }

    /// How its servers, and its sentinels, are spoken to over TLS.
    package var clientTLS: [ClientTLSSettings] {
        var all = tls.map { [$0] } ?? []
        if case .sentinel(let sentinels) = topology, let own = sentinels.tls { all.append(own) }
        return all
    }

    var isSentinel: Bool { if case .sentinel = topology { true } else { false } }

    /// Reads `redis NAME { … }`; nil when a part of it is wrong.
    package init?(_ directive: Directive, files: any FileSource, _ diagnostics: Diagnostics) {
        guard directive.hasArguments(1...1, "NAME { … }", diagnostics) else { return nil }
        let errors = diagnostics.count
        let block = Block(of: directive, title: "a redis", diagnostics)
        name = directive.arguments[0].text
        topology = Self.topology(block, directive, files: files, diagnostics) ?? .shards([])
        login = RedisLogin(block, files: files, diagnostics)
        let databaseDirective = block.one("database")
        database = databaseDirective?.integer(0...1_000_000, diagnostics) ?? 0
        if let databaseDirective, case .cluster = topology, database != 0 {
            diagnostics.error("a cluster has one database", at: databaseDirective.name, hint: "remove it")
        }
        let tlsDirective = block.one("tls")
        tls = tlsDirective.flatMap { ClientTLSSettings($0, files: files, diagnostics) }
        let timeout = block.one("timeout")?.duration(diagnostics, in: .milliseconds(1)...(.seconds(60)))
        self.timeout = Nanoseconds(timeout ?? .milliseconds(50))
        let connecting = block.one("connect_timeout")?.duration(diagnostics, in: .milliseconds(1)...(.seconds(60)))
        connectTimeout = Nanoseconds(connecting ?? .milliseconds(500))
        let rehash = block.one("rehash_after")
        rehashAfter = Nanoseconds(rehash?.duration(diagnostics, in: .zero...(.seconds(86_400))) ?? .zero)
        if let rehash {
            guard case .shards = topology else {
                diagnostics.error("rehash_after is for shards", at: rehash.name, hint: "remove it")
                return nil
            }
        }
        let prefix = block.one("prefix")?.word("NAME", diagnostics)
        if let prefix, !(1...16).contains(prefix.text.utf8.count) || !prefix.text.utf8.allSatisfy({ ASCII.isUnreserved($0) }) {
            diagnostics.error("'\(prefix.text)' is not a prefix", at: prefix, hint: "use up to 16 letters, digits, - and _")
        }
        let secret = block.one("key_secret").flatMap { directive in
            Issuer.SecretFile(directive, diagnostics).flatMap {
                SharedSecret($0, at: directive.arguments[0], files: files, diagnostics)
            }
        }
        keyNames = KeyNames(prefix: prefix?.text ?? "pc", secret: secret.map { $0.digest(Array("redis keys".utf8)) })
        block.finish()
        guard diagnostics.count == errors else { return nil }
    }

    /// What exactly one of four directives says.
    private static func topology(
        _ block: Block, _ directive: Directive, files: any FileSource, _ diagnostics: Diagnostics
    ) -> Topology? {
        let address = block.one("address")
        let sentinel = block.one("sentinel")
        let cluster = block.one("cluster")
        let shards = block.one("shards")
        let given = [address, sentinel, cluster, shards].compactMap(\.self)
        guard let first = given.first else {
            diagnostics.error("a redis has no address", at: directive.name, hint: "add: address 127.0.0.1:6379;")
            return nil
        }
        for extra in given.dropFirst() {
            diagnostics.error(
                "a redis has \(first.name.text) or \(extra.name.text), not both", at: extra.name,
                hint: "use two redis blocks, or cluster, or shards")
        }
        func addresses(_ directive: Directive, _ counts: ClosedRange<Int>) -> [Address]? {
            guard directive.takes(counts, counts.lowerBound > 1 ? "HOST:PORT HOST:PORT …" : "HOST:PORT …", diagnostics) else { return nil }
            let found = directive.arguments.compactMap { Address($0, diagnostics) }
            for (index, address) in found.enumerated() where found[..<index].contains(address) {
                diagnostics.error("\(address.text) stands there twice", at: directive.arguments[index])
            }
            return found
        }
        if let address { return addresses(address, 1...1)?.first.map { .server($0) } }
        if let sentinel { return SentinelSettings(sentinel, files: files, diagnostics).map { .sentinel($0) } }
        if let cluster { return addresses(cluster, 1...64).map { .cluster($0) } }
        return shards.flatMap { addresses($0, 2...64) }.map { .shards($0) }
    }
}

extension RedisSettings.Address {
    init?(_ word: Word, _ diagnostics: Diagnostics) {
        if let socket = SocketAddress(word.text) {
            self = .socket(socket)
        } else if let (host, port) = SocketAddress.split(word.text) {
            self = .host(host, port: port)
        } else {
            diagnostics.error("'\(word.text)' is not an address", at: word, hint: "write HOST:PORT or unix:/path")
            return nil
        }
    }
}
