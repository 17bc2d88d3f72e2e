package import Authentication
package import ConfigFile

/// Which credentials a request passes with.
package struct Audience {
    package enum Kind {
        /// Everybody who comes from these networks; empty for everybody.
        case everybody(from: [String])
        /// The status and the reason, no matter who asks.
        case nobody(String)
        /// Anyone with a token of one of these issuers, or a credential that one of these authorizers knows, who has all the scopes and meets all
        /// the rules.
        case bearers(
            issuers: [Issuer], authorizers: [String], networks: [String], passwords: [String], scopes: [(text: String, line: SourceLine)],
            rules: [(text: String, line: SourceLine)])
    }

    package let policyID: String
    package let target: String
    package let route: (name: String, line: SourceLine)?
    package let kind: Kind
}
