import Forwarding
package import Authentication
package import Authorization
import Bytes
package import Configuration
package import HTTP1
package import HTTPMessage
package import Routing

/// What the configuration decides about a request: its target's normal form, its route, what that demands of it, and whether an identity
/// meets that.
///
/// Pure: no I/O, no clock, no counters, nothing random. The worker asks it for each request (``RequestPath``); `portcullis explain`,
/// `portcullis test` and the program's own tests ask the same two functions, ``match(_:_:_:in:)`` and ``authorize(_:_:in:)``. What is
/// left to the worker is what needs a state: the share of each client, the keys of issuers and the counts of limits.
package final class Policy {
    private let routeTable: RouteTable
    private let routes: [Route]
    private let headLimits: HeadLimits
    private let requirements: RequirementTable
    private let crossOrigin: CrossOriginRule
    private let responseFields: ResponseFields?
    private let errorPages: ErrorPages?
    /// Where no route says otherwise.
    private let challenge: Challenge

    package init(_ settings: Settings) {
        routeTable = settings.routeTable
        routes = settings.routes
        headLimits = settings.clientLimits.head
        requirements = settings.requirements
        crossOrigin = settings.tokenSources.crossOrigin
        responseFields = settings.responseFields
        errorPages = settings.errorPages
        challenge = settings.challenge
    }

    /// What of a request does not stand in its head, or is read from it by its version of HTTP.
    package struct Form {
        package let framing: BodyFraming
        package let isHTTP2: Bool
        /// The protocol of an extended CONNECT (RFC 8441).
        package let extendedProtocol: [UInt8]?

        package init(framing: BodyFraming = .none, isHTTP2: Bool = false, extendedProtocol: [UInt8]? = nil) {
            self.framing = framing
            self.isHTTP2 = isHTTP2
            self.extendedProtocol = extendedProtocol
        }
    }

    package enum Outcome {
        case match(RouteMatch)
        case reply(GatewayReply)
    }

    /// Brings the target into normal form and finds what the file demands of the request. The context follows the route from then on,
    /// also where its demands are not met.
    ///
    /// - Parameter found: called with the route once it is known, before it is known whether it takes the request.
    package func match(
        _ head: borrowing RequestHead, _ form: Form, _ target: inout RequestTarget, in context: RequestContext,
        found: (Route) -> Void = { _ in }
    ) throws(Refusal) -> Outcome {
        if case .options = head.method, head.text(head.targetRange) == "*" { return .reply(.aboutServer) }
        try normalize(head, &target, in: context)
        let route = try route(host: context.host, target)
        context.follow(route: route.name, captures: route.pattern.captures)
        found(route)
        switch route.cors?.preflight(head, allowed: route.allowed) {
        case .allowed(let lines): return .reply(.preflight(lines))
        case .originNotAllowed(let origin): throw .originNotAllowed(origin)
        case nil: break
        }
        let name = head.method == .other ? head.text(head.methodRange) : ""
        guard let rule = route.rule(for: head.method, named: name) else { throw .methodNotAllowed(allowed: route.allowed) }
        if case .length(let count) = form.framing, let most = route.bodyBytesMax, count > most { throw .bodyTooLarge }
        if let demands = route.demands {
            do throws(MessageDemands.Unmet) {
                try demands.check(head, queryBytes: Int(target.query.count), form.framing)
            } catch {
                throw .form(error)
            }
        }
        guard !route.upgrades.isEmpty || form.extendedProtocol != nil, let upgrade = try upgrade(head, form, route) else {
            return .match(RouteMatch(route: route, rule: rule, upgrade: nil))
        }
        let needsKey =
            form.extendedProtocol != nil && upgrade.span.equalsIgnoringCase("websocket") && head.field(named: "sec-websocket-key") == nil
        return .match(
            RouteMatch(route: route, rule: route.tunnelRule ?? rule, upgrade: RouteMatch.Upgrade(upgrade, needsWebSocketKey: needsKey)))
    }

    /// Whether the client comes from where the match lets it; asked first of all.
    package func checkAddress(_ match: RouteMatch, in context: RequestContext) throws(Refusal) {
        for demand in match.rule.from where !demand.contains(context.clientIP) { throw .addressNotAllowed(demand.text) }
    }

    /// Whether the route is closed for a while.
    ///
    /// - Parameter isClosed: whether an operator has closed the gateway.
    package func checkMaintenance(_ match: RouteMatch, isClosed: Bool, in context: RequestContext) throws(Refusal) {
        let rule = match.route.maintenance
        if rule.refuses(context.clientIP, isClosed: isClosed) { throw .maintenance(retryAfter: rule.retryAfter) }
    }

    /// The location that a listener sends a request to which has to come over https; nil where it is served in clear.
    ///
    /// - Parameter port: of https, where the listener names none.
    package func redirect(
        _ head: borrowing RequestHead, _ target: inout RequestTarget, in context: RequestContext, by redirect: HTTPSRedirect,
        toPort usual: UInt16
    ) throws(Refusal) -> GatewayReply? {
        if case .options = head.method, head.text(head.targetRange) == "*" { return .aboutServer }
        try normalize(head, &target, in: context)
        do {
            if try redirect.serves(target) { return nil }
        } catch {
            throw .target(error)
        }
        guard !context.host.isEmpty else { throw .malformed(.missingHost) }
        let port = redirect.port(usual)
        let host = String(decoding: context.host, as: UTF8.self) + (port == 443 ? "" : ":\(port)")
        return .redirect("https://\(host)\(target.pathSpan.text)\(head.text(target.query))")
    }

    /// Whether the identity meets what the match demands; nil stands for a request whose credential nobody looks at.
    ///
    /// A credential that a browser sends by itself must be used by a page of this origin. That is asked first.
    package func authorize(
        _ identity: Identity?, _ match: RouteMatch, in context: RequestContext
    ) throws(Refusal) -> Permit {
        guard let identity else {
            switch match.route.access {
            case .public(let rule): return Authorization.permit(rule)
            case .authenticated:
                guard let rule = match.rule.publicRule else { preconditionFailure("a request of a protected route without an identity") }
                return Authorization.permit(rule)
            }
        }
        if identity.kind.isAmbient { try checkOrigin(match, context.head, in: context) }
        do {
            return try Authorization.permit(identity, match.rule.authorization, requirements, in: context)
        } catch {
            throw .authorization(error)
        }
    }

    /// What a client is told that was refused.
    ///
    /// - Parameter route: nil where none was found.
    package func reply(
        to refusal: Refusal, _ route: Route?, _ identity: Identity?, in context: RequestContext, form: ReplyForm
    ) -> Reply {
        let reply = refusal.reply(
            requestID: context.requestID, challenge: route?.challenge ?? challenge, signIn: signIn(after: refusal, route, in: context),
            page: page(refusal.status, refusal.reason, route, form: form, in: context), form: form)
        return completed(reply, isRoutes: false, by: route, identity, in: context)
    }

    /// What a client is told that the gateway answers and does not refuse.
    package func reply(
        _ own: GatewayReply, _ route: Route?, _ identity: Identity?, in context: RequestContext, form: ReplyForm
    ) -> Reply {
        let isRoutes = if case .route = own { true } else { false }
        return completed(own.reply(requestID: context.requestID, form: form), isRoutes: isRoutes, by: route, identity, in: context)
    }

    /// Where a browser goes that was refused for want of a good credential: where its authorizer says, else where the route says. Nil for
    /// nowhere, as for whatever is no navigation.
    package func signIn(after refusal: Refusal, _ route: Route?, in context: RequestContext) -> [UInt8]? {
        guard refusal.status == 401, context.head.isNavigation else { return nil }
        if case .authorizer(let refusal) = refusal, let location = refusal.location { return location }
        return try? route?.signIn?.rendered(in: context) { _ in nil }
    }

    /// The file's page for a status, for a client that shows HTML; nil where there is none.
    private func page(_ status: Int, _ reason: String, _ route: Route?, form: ReplyForm, in context: RequestContext) -> [UInt8]? {
        guard form != .grpc, let pages = route == nil ? errorPages : route?.errorPages, context.head.accepts("text/html") else {
            return nil
        }
        return pages.page(status, reason: reason, requestID: context.requestID)
    }

    /// A response of the gateway's own, with what the route, or the file where there is none, says in responses.
    ///
    /// - Parameter isRoutes: whether the route itself gives it (`answer`), and it refuses nothing.
    private func completed(
        _ reply: Reply, isRoutes: Bool, by route: Route?, _ identity: Identity?, in context: RequestContext
    ) -> Reply {
        guard let fields = route == nil ? responseFields : route?.responseFields else { return reply }
        return fields.completed(reply, isRoutes: isRoutes, identity, context)
    }

    /// What a route answers by itself to a request that it has let in.
    package func reply(
        _ reply: RouteReply, of route: Route, to identity: Identity?, in context: RequestContext, form: ReplyForm
    ) throws(Refusal) -> GatewayReply {
        if case .none = reply.content, let page = page(reply.status, GatewayReply.routeReason, route, form: form, in: context) {
            return .route(status: reply.status, Reply(status: reply.status, fields: Reply.pageFields, body: page))
        }
        return .route(status: reply.status, try reply.reply(identity, in: context, form: form))
    }

    /// Whether the page that uses a credential which a browser sends by itself may do so.
    private func checkOrigin(
        _ match: RouteMatch, _ head: borrowing RequestHead, in context: RequestContext
    ) throws(Refusal) {
        let isAllowed = crossOrigin.allows(
            head, isUpgrade: match.upgrade != nil, authority: context.authority, isHTTPS: context.isHTTPS)
        guard isAllowed else { throw .crossOrigin }
    }

    /// Brings the target into normal form; a host that it alone names goes into the context.
    private func normalize(
        _ head: borrowing RequestHead, _ target: inout RequestTarget, in context: RequestContext
    ) throws(Refusal) {
        switch head.method {
        case .trace, .connect: throw .methodNotImplemented
        default: break
        }
        do {
            try target.normalize(head, headLimits)
        } catch {
            throw .target(error)
        }
        // HTTP/1.0 may name its host here alone.
        if context.authority == nil, !target.authority.isEmpty, let named = NamedHost(target.authority, in: head.bytes) {
            context.serve(named.authority, at: named.place, of: head.bytes)
        }
    }

    /// The route of a request whose target is in normal form.
    private func route(host: [UInt8], _ target: borrowing RequestTarget) throws(Refusal) -> Route {
        let found: Int?
        do {
            found = try routeTable.find(host: host, target)
        } catch {
            throw .target(error)
        }
        guard let index = found else { throw .noRoute }
        return routes[index]
    }

    /// What the request wants to change to, if its route lets it. An Upgrade that the route does not name is passed over, as
    /// HTTP has it (RFC 9110 §7.8); an extended CONNECT cannot be (RFC 8441 §4).
    private func upgrade(_ head: borrowing RequestHead, _ form: Form, _ route: Route) throws(Refusal) -> [UInt8]? {
        if let name = form.extendedProtocol {
            guard let known = route.upgrades.first(where: { name.span.equalsIgnoringCase($0) }) else { throw .protocolNotOffered }
            return Array(known.utf8)
        }
        guard form.framing == .none, !form.isHTTP2 else { return nil }
        return head.upgrade(among: route.upgrades)
    }
}
