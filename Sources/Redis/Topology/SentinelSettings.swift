import ConfigFile
import System
package import TLS

/// The sentinels that say which of several Redis servers is the master: `sentinel HOST:PORT … { … }`.
package struct SentinelSettings {
    package let addresses: [RedisSettings.Address]
    /// What they call the group of servers.
    package let master: String
    let login: RedisLogin
    package let tls: ClientTLSSettings?

    init?(_ directive: Directive, files: any FileSource, _ diagnostics: Diagnostics) {
        guard directive.hasArguments(1...16, "HOST:PORT … { master NAME; }", diagnostics) else { return nil }
        let errors = diagnostics.count
        addresses = directive.arguments.compactMap { RedisSettings.Address($0, diagnostics) }
        let block = Block(of: directive, title: "a sentinel", diagnostics)
        master = block.one("master")?.word("NAME", diagnostics)?.text ?? ""
        if master.isEmpty { diagnostics.error("a sentinel needs the master's name", at: directive.name, hint: "add: master NAME;") }
        login = RedisLogin(block, files: files, diagnostics)
        tls = block.one("tls").flatMap { ClientTLSSettings($0, files: files, diagnostics) }
        block.finish()
        guard diagnostics.count == errors else { return nil }
    }

    func tlsHost(of server: RedisSettings.Address, at address: SocketAddress) -> String {
        if let name = tls?.serverName { return name }
        if case .host(let host, _) = server { return host }
        return address.hostText
    }
}
