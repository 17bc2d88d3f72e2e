import ConfigFile
package import System
package import TLS

/// `proxy_protocol NETWORK …;`: peers whose connections begin with a PROXY header. Nobody else's do: what they send there is
/// read as TLS or HTTP, and so refused. On a Unix socket every peer is meant.
package struct ProxyPeers {
    private let networks: [IPNetwork]

    init(_ directive: Directive, _ diagnostics: Diagnostics) {
        networks = directive.words("NETWORK …", diagnostics).compactMap { IPNetwork(reading: $0, diagnostics) }
    }

    package func contains(_ peer: IPAddress?) -> Bool {
        guard let peer else { return true }
        return networks.contains { $0.contains(peer) }
    }
}

extension IPNetwork {
    /// Reads a network of the file.
    init?(reading word: Word, _ diagnostics: Diagnostics) {
        guard let network = IPNetwork(word.text) else {
            diagnostics.error(
                "'\(word.text)' is not a network", at: word, hint: "write 10.0.0.0/8 or 2001:db8::/32; bits after the prefix are zero")
            return nil
        }
        self = network
    }
}

/// A `listen ADDRESS { … }` of the file.
package struct ListenerSettings {
    package enum Role {
        case tls(ServerTLSSettings)
        /// In clear: something in front terminates TLS.
        case plaintext
        /// Sends requests to https.
        case redirect(HTTPSRedirect)
    }

    package let address: SocketAddress
    package let role: Role
    /// Whose connections begin with a PROXY header.
    package let proxies: ProxyPeers?
    /// What is agreed on by ALPN, the most wanted first.
    package let protocols: [String]
    /// Set where requests are questions of another proxy, that are decided and not forwarded.
    package let decisions: DecisionProtocol?

    init?(_ directive: Directive, files: any FileSource, _ diagnostics: Diagnostics) {
        guard directive.hasArguments(1...1, "ADDRESS:PORT { … }", diagnostics) else { return nil }
        let word = directive.arguments[0]
        let block = Block(of: directive, title: "a listener", diagnostics)
        let tls = block.one("tls")
        let redirect = block.one("redirect")
        let plaintext = block.one("plaintext")
        protocols = Self.protocols(block.one("protocols"), isTLS: tls != nil, diagnostics)
        proxies = block.one("proxy_protocol").map { ProxyPeers($0, diagnostics) }
        let kinds: [String: DecisionProtocol] = ["nginx": .nginx, "traefik": .traefik, "envoy": .envoy]
        decisions = block.one("decisions")?.choice(kinds, diagnostics)
        if let directive = block.one("decisions"), redirect != nil {
            diagnostics.error("a listener that redirects decides nothing", at: directive.name, hint: "remove this line, or redirect")
        }
        block.finish(later: ["backlog", "http3"])
        let toHTTPS = redirect.flatMap { HTTPSRedirect($0, diagnostics) }
        if let plaintext { _ = plaintext.takes(0...0, "without arguments", diagnostics) }
        guard let address = SocketAddress(word.text) else {
            diagnostics.error("'\(word.text)' is not an address to listen on", at: word, hint: "write 0.0.0.0:443, [::]:443 or unix:/path")
            return nil
        }
        self.address = address
        switch (tls, redirect, plaintext) {
        case (.some(let tls), nil, nil):
            guard let settings = ServerTLSSettings(tls, files: files, diagnostics) else { return nil }
            role = .tls(settings)
        case (nil, .some, nil): role = .redirect(toHTTPS ?? HTTPSRedirect())
        case (nil, nil, .some): role = .plaintext
        case (nil, nil, nil):
            diagnostics.error(
                "a listener says neither tls nor redirect", at: directive.name,
                hint: "add: tls { certificate …; } or redirect https; or, behind something that terminates TLS: plaintext;")
            return nil
        default:
            diagnostics.error("a listener has one of tls, redirect and plaintext", at: directive.name)
            return nil
        }
    }

    private static func protocols(_ directive: Directive?, isTLS: Bool, _ diagnostics: Diagnostics) -> [String] {
        guard let directive else { return isTLS ? ["h2", "http/1.1"] : ["http/1.1"] }
        var protocols: [String] = []
        for name in directive.words("NAME …", diagnostics) {
            if !["h2", "http/1.1"].contains(name.text) {
                diagnostics.error("'\(name.text)' is not a protocol", at: name, hint: "write h2, http/1.1 or both")
            } else if name.text == "h2", !isTLS {
                diagnostics.error("HTTP/2 needs a listener with tls", at: name, hint: "clients agree on it by ALPN")
            } else if protocols.contains(name.text) {
                diagnostics.error("'\(name.text)' stands twice", at: name)
            }
            protocols.append(name.text)
        }
        return protocols
    }
}
