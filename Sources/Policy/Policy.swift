package import Configuration
package import Authentication
package import Authorization
import Bytes
import Forwarding
package import HTTP1
package import HTTPMessage
package import Routing

/// What the configuration decides about a request: its target's normal form, its route, what that demands of it, and whether an identity
/// meets that. Whether a token is asked for says the route's `access`; limits are asked elsewhere.
///
/// Pure: no I/O, no clock, no counters, nothing random. The worker asks it for each request (``RequestPath``); a command or a test that asks
/// it gets the same outcome for the same request. The context must follow the route before a rule with `$path` is looked at.
package final class Policy {
    private let routeTable: RouteTable
    private let routes: [Route]
    private let headLimits: HeadLimits
    private let requirements: RequirementTable
    private let crossOrigin: CrossOriginRule

    package init(_ settings: Settings) {
        routeTable = settings.routeTable
        routes = settings.routes
        headLimits = settings.clientLimits.head
        requirements = settings.requirements
        crossOrigin = settings.tokenSources.crossOrigin
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

    /// What a route demands of a request.
    package struct Match {
        package let rule: Route.MethodRule
        /// The protocol that the request changes to, as the client wrote it; nil for none.
        package let upgrade: [UInt8]?
        /// Whether the upstream needs a Sec-WebSocket-Key that the client did not send, as over HTTP/2.
        package let needsWebSocketKey: Bool
    }

    /// Brings the target into normal form; a host that it alone names goes into the context.
    package func normalize(
        _ head: borrowing RequestHead, _ target: inout RequestTarget, in context: RequestContext
    ) throws(Refusal) {
        switch head.method {
        case .trace, .connect: throw .methodNotImplemented
        case .options where head.text(head.targetRange) == "*": throw .aboutServer
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
    package func route(host: [UInt8], _ target: borrowing RequestTarget) throws(Refusal) -> Route {
        let found: Int?
        do {
            found = try routeTable.find(host: host, target)
        } catch {
            throw .target(error)
        }
        guard let index = found else { throw .noRoute }
        return routes[index]
    }

    /// What the route demands of this request.
    package func match(_ head: borrowing RequestHead, _ form: Form, to route: Route) throws(Refusal) -> Match {
        switch route.cors?.preflight(head, allowed: route.allowed) {
        case .allowed(let lines): throw .preflight(lines)
        case .originNotAllowed(let origin): throw .originNotAllowed(origin)
        case nil: break
        }
        let name = head.method == .other ? head.text(head.methodRange) : ""
        guard let rule = route.rule(for: head.method, named: name) else { throw .methodNotAllowed(allowed: route.allowed) }
        if case .length(let count) = form.framing, let most = route.bodyBytesMax, count > most { throw .bodyTooLarge }
        guard !route.upgrades.isEmpty || form.extendedProtocol != nil else {
            return Match(rule: rule, upgrade: nil, needsWebSocketKey: false)
        }
        guard let upgrade = try upgrade(head, form, route) else { return Match(rule: rule, upgrade: nil, needsWebSocketKey: false) }
        let needsKey =
            form.extendedProtocol != nil && upgrade.span.equalsIgnoringCase("websocket") && head.field(named: "sec-websocket-key") == nil
        return Match(rule: route.tunnelRule ?? rule, upgrade: upgrade, needsWebSocketKey: needsKey)
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

    /// Whether a browser's page may use a credential that the browser sends by itself.
    package func checkOrigin(
        _ head: borrowing RequestHead, of identity: Identity, isUpgrade: Bool, in context: RequestContext
    ) throws(Refusal) {
        guard identity.kind.isAmbient else { return }
        let isAllowed = crossOrigin.allows(head, isUpgrade: isUpgrade, authority: context.authority, isHTTPS: context.isHTTPS)
        guard isAllowed else { throw .crossOrigin }
    }

    /// Whether the identity meets what the rule demands.
    package func authorize(_ identity: Identity, _ rule: Route.MethodRule, in context: RequestContext) throws(Refusal) -> Permit {
        do {
            return try Authorization.permit(identity, rule.authorization, requirements, in: context)
        } catch {
            throw .authorization(error)
        }
    }
}
