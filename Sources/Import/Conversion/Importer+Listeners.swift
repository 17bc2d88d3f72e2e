import System

/// Addresses, certificates, and which servers send to https.
extension Importer {
    /// An address of a server.
    struct Listen {
        let directive: NginxDirective
        let address: String
        let isTLS: Bool

        /// Nil for one that the gateway cannot listen on.
        init?(_ directive: NginxDirective, _ server: NginxScope) {
            self.directive = directive
            let options = directive.arguments.dropFirst()
            isTLS = options.contains("ssl") || server.here.contains { $0.name == "ssl" && $0.value == "on" }
            var text = directive.value
            if text.hasPrefix("unix:") {
                address = text
                return
            }
            if Int(text) != nil { text = "0.0.0.0:" + text }
            if text.hasPrefix("*:") { text = "0.0.0.0" + text.dropFirst() }
            if text.hasPrefix("localhost") { text = "127.0.0.1" + text.dropFirst(9) }
            let bare = text.hasPrefix("[") ? String(text.drop { $0 != "]" }.dropFirst()) : text
            if !bare.contains(":") { text += ":80" }
            guard !options.contains("quic"), SocketAddress(text) != nil, !text.hasSuffix(":0") else { return nil }
            address = text
        }

        var port: Substring { address.split(separator: ":").last ?? "" }
    }

    func listens(_ server: NginxServer) -> [Listen] {
        let directives = server.scope.here.filter { $0.name == "listen" }
        if directives.isEmpty {
            let usual = NginxDirective(
                id: server.directive.id, name: "listen", arguments: ["80"], block: nil, line: server.directive.line, comments: [])
            return [Listen(usual, server.scope)].compactMap { $0 }
        }
        return directives.compactMap { directive in
            guard let listen = Listen(directive, server.scope) else {
                record.note(
                    directive.arguments.contains("quic") ? "HTTP/3 is not spoken" : "'\(directive.value)' is no address to listen on",
                    directive)
                return nil
            }
            return listen
        }
    }

    /// Whether all that comes in clear is sent to https, and which locations are not.
    func redirection(_ server: NginxServer) -> (all: Bool, exceptions: [NginxLocation])? {
        let scope = server.scope
        if let answer = scope.own("return"), Self.isToHTTPS(answer) { return (true, []) }
        if let rewrite = scope.own("rewrite"), Self.isRewriteToHTTPS(rewrite) { return (true, []) }
        let conditions = scope.here.filter { $0.name == "if" }
        // certbot writes one if for each name, and 404 behind them.
        if !conditions.isEmpty, conditions.allSatisfy({ ($0.block ?? []).contains(where: Self.isToHTTPS) && $0.value.contains("$host") }),
            scope.own("return").map({ $0.value == "404" }) ?? server.locations.isEmpty
        {
            return (true, [])
        }
        if conditions.contains(where: { ($0.block ?? []).contains(where: Self.isToHTTPS) }) { return (false, []) }
        guard let root = server.locations.first(where: { $0.matching == .prefix("/", isPreferred: false) }),
            let answer = root.scope.own("return") ?? root.scope.own("rewrite"), Self.isToHTTPS(answer) || Self.isRewriteToHTTPS(answer)
        else {
            return nil
        }
        return (true, server.locations.filter { $0.directive.id != root.directive.id })
    }

    private static func isRewriteToHTTPS(_ directive: NginxDirective) -> Bool {
        guard directive.name == "rewrite" else { return false }
        let url = directive.argument(1)
        return [
            "https://$host$request_uri", "https://$server_name$request_uri", "https://$http_host$request_uri", "https://$host$1",
            "https://$server_name$1", "https://$host/$1", "https://$server_name/$1", "https://$host$request_uri?",
            "https://$server_name$request_uri?",
        ].contains(url)
    }

    /// Adds the addresses of a server to those that the file listens on.
    func listen(_ server: NginxServer, _ listens: [Listen], redirects: (Listen) -> Bool, exceptions: [String]) {
        for listen in listens {
            let scope = server.scope
            let hasProxyProtocol = listen.directive.arguments.contains("proxy_protocol")
            let index: Int
            if let known = listeners.firstIndex(where: { $0.address == listen.address }) {
                index = known
            } else {
                index = listeners.count
                listeners.append(ListenerDraft(address: listen.address, isTLS: listen.isTLS, hasProxyProtocol: hasProxyProtocol))
            }
            if listen.isTLS {
                let chains = scope.nearest("ssl_certificate")
                let keys = scope.nearest("ssl_certificate_key")
                for (chain, key) in zip(chains, keys) {
                    let pair = [path(chain.value), path(key.value)]
                    if !listeners[index].certificates.contains(pair) { listeners[index].certificates.append(pair) }
                    record.converted(chain)
                    record.converted(key)
                }
                if let versions = scope.one("ssl_protocols") {
                    if versions.arguments == ["TLSv1.3"] { listeners[index].needsTLS13 = true }
                    if versions.arguments.contains(where: { ["SSLv3", "TLSv1", "TLSv1.1"].contains($0) }) {
                        record.note("TLS 1.2 is the oldest that is spoken", versions)
                    } else {
                        record.converted(versions)
                    }
                }
                if let http2 = scope.one("http2") { record.converted(http2) }
                if listen.directive.arguments.contains("http2") || scope.isOn("http2") { listeners[index].speaksHTTP2 = true }
            }
            if listen.isTLS, listeners[index].certificates.isEmpty {
                record.refuse("nothing is listened on without an ssl_certificate and its key", listen.directive)
            }
            if redirects(listen) {
                listeners[index].redirects = true
            } else if !listen.isTLS {
                clearServers.append((server.directive, index))
            }
            for exception in exceptions where !listeners[index].exceptions.contains(exception) {
                listeners[index].exceptions.append(exception)
            }
            if hasProxyProtocol {
                record.note(
                    "the address of the PROXY header counts, and only from the networks of set_real_ip_from, or else of this machine",
                    listen.directive)
            } else {
                record.converted(listen.directive)
            }
        }
    }

    /// The `listen` lines.
    ///
    /// - Parameter proxies: networks of proxies that speak the PROXY protocol.
    func listenLines(proxies: [String]) -> [GatewayLine] {
        for (server, index) in clearServers where listeners[index].redirects {
            record.note(
                "another server on \(listeners[index].address) sends to https, and so everything that comes there in clear is sent", server)
        }
        return listenerLines(proxies)
    }

    private func listenerLines(_ proxies: [String]) -> [GatewayLine] {
        listeners.filter { !$0.isTLS || !$0.certificates.isEmpty }.map { listener in
            var block: [GatewayLine] = []
            if listener.hasProxyProtocol {
                block.append(GatewayLine(words: ["proxy_protocol"] + (proxies.isEmpty ? ["127.0.0.0/8"] : proxies)))
            }
            if listener.isTLS {
                var tls = listener.certificates.map { GatewayLine(words: ["certificate"] + $0) }
                if listener.needsTLS13 { tls.append(GatewayLine("minimum", "1.3")) }
                block.append(GatewayLine("tls", block: tls))
                block.append(GatewayLine(words: ["protocols"] + (listener.speaksHTTP2 ? ["h2", "http/1.1"] : ["http/1.1"])))
            } else if listener.redirects {
                block.append(
                    GatewayLine(words: ["redirect", "https"] + (listener.exceptions.isEmpty ? [] : ["except"] + listener.exceptions)))
            } else {
                block.append(GatewayLine("plaintext"))
            }
            return GatewayLine("listen", listener.address, block: block)
        }
    }
}
