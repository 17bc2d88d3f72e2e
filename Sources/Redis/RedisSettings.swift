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

    package let name: String
    package let address: Address
    package let username: String?
    package let password: String?
    package let database: Int
    package let tls: ClientTLSSettings?
    /// What keys are called there.
    package let keyNames: KeyNames
    /// How long a decision may take before `when_store_fails` holds.
    package let timeout: Nanoseconds

    /// The name to verify in the server's certificate.
    package var tlsHost: String {
        if let name = tls?.serverName { return name }
        switch address {
        case .host(let host, _): return host
        case .socket(.ip(let address, _)): return address.text
        case .socket(.unix): return "localhost"
        }
    }

    /// Reads `redis NAME { … }`; nil when a part of it is wrong.
    package init?(_ directive: Directive, files: any FileSource, _ diagnostics: Diagnostics) {
        guard directive.hasArguments(1...1, "NAME { … }", diagnostics) else { return nil }
        let errors = diagnostics.count
        let block = Block(of: directive, title: "a redis", diagnostics)
        name = directive.arguments[0].text
        let addresses = block.all("address")
        var address: Address?
        if let word = addresses.first?.word("HOST:PORT or unix:/path", diagnostics) {
            address = Address(word, diagnostics)
        }
        for extra in addresses.dropFirst() {
            diagnostics.error("more than one address is not available yet", at: extra.name, hint: "clusters and sentinels come later")
        }
        username = block.one("username")?.word("NAME", diagnostics)?.text
        let passwordDirective = block.one("password")
        password = passwordDirective?.word("PASSWORD", diagnostics)?.text
        database = block.one("database")?.integer(0...1_000_000, diagnostics) ?? 0
        let tlsDirective = block.one("tls")
        tls = tlsDirective.flatMap { ClientTLSSettings($0, files: files, diagnostics) }
        let timeout = block.one("timeout")?.duration(diagnostics, in: .milliseconds(1)...(.seconds(60)))
        self.timeout = Nanoseconds(timeout ?? .milliseconds(50))
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
        block.finish(later: ["sentinel", "cluster"])
        if addresses.isEmpty { diagnostics.error("a redis has no address", at: directive.name, hint: "add: address 127.0.0.1:6379;") }
        if username != nil, passwordDirective == nil { diagnostics.error("a username needs a password", at: directive.name) }
        guard let address, diagnostics.count == errors else { return nil }
        self.address = address
    }
}

extension RedisSettings.Address {
    fileprivate init?(_ word: Word, _ diagnostics: Diagnostics) {
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
