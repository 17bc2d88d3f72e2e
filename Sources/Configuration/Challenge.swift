package import Authentication

/// What a client that brings no good credential is told of those that would do (RFC 9110 §11.6.1).
package struct Challenge: Sendable {
    let realm: String
    /// Given in place of the usual one, such as that of a registry, which names its token service.
    let text: String?
    /// The schemes of the Authorization field in which a credential may come.
    let schemes: [CredentialPlaces.Scheme]
    /// Whether a token would do; else only what the schemes say.
    let takesTokens: Bool

    package init(realm: String, text: String? = nil, schemes: [CredentialPlaces.Scheme] = [], takesTokens: Bool = true) {
        self.realm = realm
        self.text = text
        self.schemes = schemes
        self.takesTokens = takesTokens
    }

    package func bearer(_ cause: String? = nil) -> String {
        (text ?? "Bearer realm=\"\(realm)\"") + (cause.map { ", \($0)" } ?? "")
    }

    /// One field each. Mercurial and Python's urllib look at the first alone and fail on Bearer, so Basic comes first, except where the
    /// route says what does: a registry's clients take the first that they know.
    package func fields(_ cause: String? = nil) -> [String] {
        guard schemes.contains(.basic) else { return [bearer(cause)] }
        let basic = "Basic realm=\"\(realm)\", charset=\"UTF-8\""
        if !takesTokens { return [basic] }
        return text == nil ? [basic, bearer(cause)] : [bearer(cause), basic]
    }
}
