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
            if word.text.contains(where: { $0 == " " || $0 == "\"" || $0 == "\\" }) {
                diagnostics.error("a scope holds no space, quote or backslash", at: word)
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
