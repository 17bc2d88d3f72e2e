import Authentication
import ConfigFile
import Routing
import System

/// Who a limit does not count: `allow NETWORK …;` and `allow $claim.NAME VALUE …;`. Any of them is enough.
package struct LimitAllowance: Sendable {
    private let networks: [IPNetwork]
    private let claims: [(name: String, values: Set<String>)]

    /// Nil without such a directive.
    init?(_ directives: [Directive], _ diagnostics: Diagnostics) {
        var networks: [IPNetwork] = []
        var claims: [(String, Set<String>)] = []
        for directive in directives {
            let words = directive.words("NETWORK …; or: allow $claim.NAME VALUE …", diagnostics)
            guard let first = words.first else { continue }
            if first.text.hasPrefix("$") {
                guard case .claim(let name)? = Variable(String(first.text.dropFirst())) else {
                    diagnostics.error("'\(first.text)' is no claim", at: first, hint: "write allow $claim.role admin; or allow 10.0.0.0/8;")
                    continue
                }
                if words.count == 1 { diagnostics.error("which values are allowed?", at: first, hint: "write allow \(first.text) VALUE;") }
                claims.append((name, Set(words.dropFirst().map(\.text))))
                continue
            }
            for word in words {
                guard let network = IPNetwork(word.text) else {
                    diagnostics.error(
                        "'\(word.text)' is not a network", at: word,
                        hint: "write 10.0.0.0/8 or 2001:db8::/32; bits after the prefix are zero")
                    continue
                }
                networks.append(network)
            }
        }
        if directives.isEmpty { return nil }
        self.networks = networks
        self.claims = claims
    }

    /// Whether it has to be known who asks.
    var dependsOnClaims: Bool { !claims.isEmpty }

    /// As the file says it.
    package var text: String {
        (networks.map(\.text) + claims.map { "$claim.\($0.name) \($0.values.sorted().joined(separator: " "))" }).joined(separator: ", ")
    }

    func covers(_ identity: Identity?, in context: RequestContext) -> Bool {
        if !networks.isEmpty, let address = IPAddress(String(decoding: context.clientIP, as: UTF8.self)),
            networks.contains(where: { $0.contains(address) })
        {
            return true
        }
        return claims.contains { name, values in identity?.principal.claims.texts(name)?.contains { values.contains($0) } ?? false }
    }
}
