package import Authentication
package import Authorization
package import ConfigFile
package import Forwarding
package import HTTPMessage
package import RateLimiting
package import Routing

/// A route of the file, with what it demands of each method.
package final class Route {
    package let id: RouteID
    package let line: SourceLine
    /// The path as the file has it, with the host before it if there is one.
    package let name: String
    package let pattern: PathPattern
    package let hosts: [HostPattern]
    package let pathDemand: PathDemand
    package let access: Access
    package let action: Action
    package let challenge: Challenge
    /// Where a browser without a good credential is sent; nil for nowhere.
    package let signIn: URLTemplate?
    /// Nil where the upstream says itself which pages may read its responses.
    package let cors: CORSRule?
    /// What browsers are shown of refusals; nil for the gateway's own words.
    package let errorPages: ErrorPages?
    /// What the route says in responses itself.
    package let responseFields: ResponseFields?
    /// Bytes; nil for no bound.
    package let bodyBytesMax: UInt64?
    /// Nil where the form of a request is its sender's own matter.
    package let demands: MessageDemands?
    /// When it is closed.
    package let maintenance: MaintenanceRule
    /// Whether the file says anything of that.
    package let saysMaintenance: Bool
    /// Nil where responses go on in the coding in which they come.
    package let compression: CompressionRule?
    /// Protocols that a request may change to, in lower case.
    package let upgrades: [String]
    /// What holds for a request that changes to one of them, where that is more than for its method.
    package let tunnelRule: MethodRule?
    /// Whether streams and tunnels end with the credential that let them in.
    package let endsStreamsOnExpiry: Bool
    /// What holds for every method, when the route names none; else for none.
    package let anyMethod: MethodRule?
    package let methods: [MethodRule]

    init(
        id: RouteID, line: SourceLine, name: String, pattern: PathPattern, hosts: [HostPattern], pathDemand: PathDemand, access: Access,
        action: Action,
        challenge: Challenge, signIn: URLTemplate?, cors: CORSRule?, responseFields: ResponseFields?, errorPages: ErrorPages?,
        bodyBytesMax: UInt64?, demands: MessageDemands?, compression: CompressionRule?, maintenance: MaintenanceRule,
        upgrades: [String], tunnelRule: MethodRule?, endsStreamsOnExpiry: Bool, anyMethod: MethodRule?, methods: [MethodRule]
    ) {
        self.id = id
        self.line = line
        self.name = name
        self.pattern = pattern
        self.hosts = hosts
        self.pathDemand = pathDemand
        self.access = access
        self.action = action
        self.challenge = challenge
        self.signIn = signIn
        self.cors = cors
        self.responseFields = responseFields
        self.errorPages = errorPages
        self.bodyBytesMax = bodyBytesMax
        self.demands = demands
        self.compression = compression
        self.maintenance = maintenance
        saysMaintenance = maintenance !== MaintenanceRule.usual
        self.upgrades = upgrades
        self.tunnelRule = tunnelRule
        self.endsStreamsOnExpiry = endsStreamsOnExpiry
        self.anyMethod = anyMethod
        self.methods = methods
    }

    /// What becomes of a request that meets all demands.
    package enum Action {
        case forward(ForwardingRule)
        case reply(RouteReply)
    }

    /// Nil for a route that gives its responses itself.
    package var forwarding: ForwardingRule? {
        switch action {
        case .forward(let rule): rule
        case .reply: nil
        }
    }

    package enum Access {
        case `public`(PublicRule)
        case authenticated(AuthenticationRule)

        var isPublic: Bool { if case .public = self { true } else { false } }
    }

    /// What holds for some methods of a route: its own part and the route's together.
    package final class MethodRule {
        /// As in the file; empty for all.
        package let names: [String]
        /// Of the method block; without one, of the route.
        package let line: SourceLine
        /// Set where these methods are everybody's, though the route asks for a token: for preflights, that carry none.
        package let publicRule: PublicRule?
        let known: Set<Method>
        package let authorization: AuthorizationRule
        /// Those that no claim decides are asked before a token is looked at: they count, and bound, those
        /// requests too that the gateway itself refuses.
        package let earlyLimits: [LimitID]
        package let limits: [LimitID]
        /// From where clients may come: each of them holds.
        package let from: [NetworkSet]

        /// - Parameters:
        ///   - isPublic: whether no token is looked at, so that all limits are asked at once.
        ///   - all: the limits of the configuration.
        init(
            names: [String], line: SourceLine, known: Set<Method>, authorization: AuthorizationRule, limits: [LimitID], of all: [Limit],
            from: [NetworkSet],
            isPublic: Bool,
            publicRule: PublicRule? = nil
        ) {
            self.names = names
            self.line = line
            self.publicRule = publicRule
            self.known = known
            self.authorization = authorization
            self.from = from
            let isEarly: (LimitID) -> Bool = { !isPublic && all.indices.contains($0.index) && !all[$0.index].dependsOnClaims }
            earlyLimits = limits.filter(isEarly)
            self.limits = limits.filter { !isEarly($0) }
        }

        /// In the order in which they are asked.
        package var allLimits: [LimitID] { earlyLimits + limits }
    }

    /// The rule for a request's method; nil when the route does not take it.
    package func rule(for method: Method, named name: String) -> MethodRule? {
        if let anyMethod { return anyMethod }
        for rule in methods where method == .other ? rule.names.contains(name) : rule.known.contains(method) { return rule }
        return nil
    }

    /// The value of the Allow field of a 405.
    package var allowed: String { methods.flatMap(\.names).joined(separator: ", ") }
}
