package import ConfigFile
import HTTPMessage
package import Routing
package import Time

/// A service that is asked of each request whether it may come, as the file describes it: what nginx calls `auth_request`, Traefik
/// `forwardAuth` and Envoy `ext_authz` over HTTP.
package final class Authorizer: Sendable {
    /// A field that it is sent.
    package struct SentField: Sendable {
        package let name: String
        package let value: Template
    }

    /// A field of its response that becomes a claim.
    package struct ClaimField: Sendable {
        package let claim: String
        package let field: String
        /// What stands between the elements of a list; nil for one value.
        package let separator: String?
    }

    /// How long, and for which requests, what it says holds.
    package struct CacheRule: Sendable {
        package let time: Nanoseconds
        /// What the file names; empty for all cookies.
        package let variables: [Variable]
        /// Whether nothing else tells two requests apart.
        package let isExact: Bool
    }

    package let name: String
    package let line: SourceLine
    package let method: String
    package let path: URLTemplate
    /// What its Host field says; nil for the name of its server.
    package let host: Template?
    /// Besides those that it is sent in any case, or in their place.
    package let sent: [SentField]
    package let claims: [ClaimField]
    /// Their names, folded (``FieldIdentity``).
    package let sentNames: [[UInt8]]
    /// Fields of its response that reach the client.
    package let passedFields: [String]
    /// Whether a browser is sent where its response says.
    package let followsRedirects: Bool
    package let timeout: Nanoseconds
    package let cache: CacheRule?
    /// How often a stream or a tunnel is asked for again; nil for never.
    package let recheck: Nanoseconds?
    package let scopeReading: ScopeReading
    package let subjectClaims: [String]

    package init(
        name: String, line: SourceLine, method: String, path: URLTemplate, host: Template?, sent: [SentField], claims: [ClaimField],
        passedFields: [String], followsRedirects: Bool, timeout: Nanoseconds, cache: CacheRule?, recheck: Nanoseconds?,
        scopeReading: ScopeReading, subjectClaims: [String]
    ) {
        self.name = name
        self.line = line
        self.method = method
        self.path = path
        self.host = host
        self.sent = sent
        sentVariables = path.variables + (host?.variables ?? []) + sent.flatMap(\.value.variables)
        sentNames = sent.map { FieldIdentity.fold($0.name) }
        self.claims = claims
        self.passedFields = passedFields
        self.followsRedirects = followsRedirects
        self.timeout = timeout
        self.cache = cache
        self.recheck = recheck
        self.scopeReading = scopeReading
        self.subjectClaims = subjectClaims
    }

    /// What of a request it is told by the file's own word.
    package var variables: [Variable] { sentVariables + (cache?.variables ?? []) }
    /// Of them, those that it is sent.
    let sentVariables: [Variable]
}
