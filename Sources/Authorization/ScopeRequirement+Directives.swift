package import Authentication
package import ConfigFile

extension ScopeRequirement {
    /// Reads `scope a b;` (all) or `scope any a b;` (one).
    ///
    /// - Parameter issuers: those that the route accepts; each must be able to compare the scopes.
    package init?(_ directive: Directive, issuers: [Issuer], _ diagnostics: Diagnostics) {
        let words = directive.words("[any] SCOPE …", diagnostics)
        let isAny = words.first?.text == "any"
        let scopes = isAny ? Array(words.dropFirst()) : words
        guard !scopes.isEmpty else {
            if isAny { diagnostics.error("'scope any' names no scope", at: directive.position) }
            return nil
        }
        for word in scopes {
            // RFC 6749 §3.3
            if !word.text.utf8.allSatisfy({ (0x21...0x7E).contains($0) && $0 != 0x22 && $0 != 0x5C }) || word.text.isEmpty {
                diagnostics.error("a scope is made of visible ASCII characters without quote and backslash", at: word)
            }
            for issuer in issuers {
                if let problem = DemandedScope(text: word.text).problem(for: issuer.scopeMatch) {
                    diagnostics.error("issuer \(issuer.name) cannot compare this scope: \(problem)", at: word)
                }
            }
        }
        self.init(scopes: scopes.map(\.text), isAny: isAny)
    }
}
