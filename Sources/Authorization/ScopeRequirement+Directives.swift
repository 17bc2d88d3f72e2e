package import Authentication
package import ConfigFile

extension ScopeRequirement {
    /// A credential that has scopes.
    package struct Holder {
        /// With its kind, for messages.
        package let name: String
        package let match: ScopeMatch

        package init(name: String, match: ScopeMatch) {
            self.name = name
            self.match = match
        }
    }

    /// Reads `scope a b;` (all) or `scope any a b;` (one).
    ///
    /// - Parameter holders: the credentials that the route accepts; the scopes of each must be comparable with these.
    package init?(_ directive: Directive, of holders: [Holder], _ diagnostics: Diagnostics) {
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
            for holder in holders {
                if let problem = DemandedScope(text: word.text).problem(for: holder.match) {
                    diagnostics.error("\(holder.name) cannot compare this scope: \(problem)", at: word)
                }
            }
        }
        self.init(scopes: scopes.map(\.text), isAny: isAny)
    }
}
