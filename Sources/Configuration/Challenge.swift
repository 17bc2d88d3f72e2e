/// What a client that brings no good credential is told of those that would do (RFC 9110 §11.6.1).
package struct Challenge: Sendable {
    let realm: String
    /// Given in place of the usual one, such as that of a registry, which names its token service.
    let text: String?
    /// Whether a token may come as the password of Basic: clients that speak nothing else ask for it then.
    let offersBasic: Bool

    package init(realm: String, text: String? = nil, offersBasic: Bool = false) {
        self.realm = realm
        self.text = text
        self.offersBasic = offersBasic
    }

    package func bearer(_ cause: String? = nil) -> String {
        (text ?? "Bearer realm=\"\(realm)\"") + (cause.map { ", \($0)" } ?? "")
    }

    /// One field each. Mercurial and Python's urllib look at the first alone and fail on Bearer, so Basic comes first, except where the
    /// route says what does: a registry's clients take the first that they know.
    package func fields(_ cause: String? = nil) -> [String] {
        guard offersBasic else { return [bearer(cause)] }
        let basic = "Basic realm=\"\(realm)\", charset=\"UTF-8\""
        return text == nil ? [basic, bearer(cause)] : [bearer(cause), basic]
    }
}
