package import ConfigFile
import System

/// Addresses of clients: `network NAME NETWORK …;`, or those of a demand, `from NETWORK …;`.
package struct NetworkSet: Sendable {
    /// Empty for those of a demand alone.
    package let name: String
    private let networks: [IPNetwork]
    /// As the file has it.
    package let text: String
    package let line: SourceLine

    /// Reads `network NAME NETWORK …;`; nil when a part of it is wrong.
    package init?(_ directive: Directive, _ diagnostics: Diagnostics) {
        guard directive.takes(2...Int.max, "NAME NETWORK …", diagnostics) else { return nil }
        let words = Array(directive.arguments.dropFirst())
        self.init(directive.arguments[0].text, words, [:], directive, diagnostics)
    }

    /// Reads `from NETWORK-OR-NAME …;`.
    ///
    /// - Parameter named: the sets of the file.
    package init?(demand directive: Directive, _ named: [String: NetworkSet], _ diagnostics: Diagnostics) {
        let words = directive.words("NETWORK …", diagnostics)
        if words.isEmpty { return nil }
        self.init("", words, named, directive, diagnostics)
    }

    private init?(_ name: String, _ words: [Word], _ named: [String: NetworkSet], _ directive: Directive, _ diagnostics: Diagnostics) {
        var networks: [IPNetwork] = []
        for word in words {
            if let known = named[word.text] {
                networks += known.networks
            } else if let network = IPNetwork(word.text) {
                networks.append(network)
            } else {
                let meant = nearest(to: word.text, among: named.keys)
                diagnostics.error(
                    "'\(word.text)' is not a network", at: word,
                    hint: meant.map { "did you mean '\($0)'?" } ?? "write 10.0.0.0/8 or 2001:db8::/32; bits after the prefix are zero")
                return nil
            }
        }
        self.name = name
        self.networks = networks
        text = words.map(\.text).joined(separator: " ")
        line = diagnostics.line(of: directive.position)
    }

    /// All of them, in one form.
    package var summary: [String] { networks.map(\.text).sorted() }

    /// - Parameter client: an address as text; that of a Unix socket's client is in no network.
    package func contains(_ client: [UInt8]) -> Bool {
        guard let address = IPAddress(String(decoding: client, as: UTF8.self)) else { return false }
        return networks.contains { $0.contains(address) }
    }
}

/// A set of the configuration that routes take for a credential, by its place among them.
package struct NetworkID: Hashable, Sendable {
    package let index: Int

    package init(_ index: Int) { self.index = index }
}
