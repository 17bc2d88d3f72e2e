package import ConfigFile
package import System

/// `srv NAME;` or `srv NAME { resolver ADDRESS …; }`: a service whose servers stand in the DNS. Source: RFC 2782.
package struct ServiceName: Hashable, Sendable {
    /// Such as `_http._tcp.app.example`, without the dot at its end.
    package let name: String
    /// Who is asked; empty for the system's resolvers.
    package let resolvers: [SocketAddress]

    package init(name: String, resolvers: [SocketAddress] = []) {
        self.name = name
        self.resolvers = resolvers
    }

    /// Nil where a part of it is wrong.
    package init?(_ directive: Directive, _ diagnostics: Diagnostics) {
        guard directive.arguments.count == 1, let word = directive.arguments.first else {
            diagnostics.error("srv has one name", at: directive.name, hint: "write: srv _http._tcp.app.example;")
            return nil
        }
        var name = word.text.lowercased()
        if name.hasSuffix(".") { name.removeLast() }
        self.name = name
        let labels = name.split(separator: ".", omittingEmptySubsequences: false)
        let isGood =
            labels.count > 2 && name.utf8.count <= 253 && labels.allSatisfy(Self.isLabel) && labels[0].first == "_"
            && labels[1].first == "_"
        if !isGood {
            diagnostics.error(
                "'\(word.text)' is not the name of a service", at: word,
                hint: "write _SERVICE._PROTOCOL.DOMAIN, such as _http._tcp.app.example")
        }
        let block = Block(directive.block ?? [], title: "srv", opening: directive, diagnostics: diagnostics)
        let given = block.one("resolver")?.words("ADDRESS …", diagnostics) ?? []
        resolvers = given.compactMap { word in
            if let address = IPAddress(word.text) { return .ip(address, port: 53) }
            if case .ip(let address, let port)? = SocketAddress(word.text), port > 0 { return .ip(address, port: port) }
            diagnostics.error(
                "'\(word.text)' is not the address of a resolver", at: word, hint: "write an IP address, with a port where it is not 53")
            return nil
        }
        if given.count > DNSQuery.resolversMax {
            diagnostics.error("no more than \(DNSQuery.resolversMax) resolvers are asked", at: given[DNSQuery.resolversMax])
        }
        block.finish()
        if !isGood || resolvers.count != given.count { return nil }
    }

    private static func isLabel(_ label: Substring) -> Bool {
        (1...63).contains(label.utf8.count)
            && label.utf8.allSatisfy { byte in
                (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x2D || byte == 0x5F
            }
    }

    /// Stands for it in messages between processes.
    package var text: String { ([name] + resolvers.map(\.text)).joined(separator: " ") }
}
