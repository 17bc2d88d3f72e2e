package import Time
package import Authentication
package import Authorization
package import ConfigFile
package import Configuration
import Bytes
package import Forwarding
package import HTTPMessage
package import RateLimiting

/// Every way in which the gateway itself answers a request. The one file that turns the stages' errors into what a client
/// is told.
package enum Refusal: Error, Sendable {
    case malformed(MessageError)
    case target(TargetError)
    case methodNotImplemented
    case noRoute
    case methodNotAllowed(allowed: String)
    case token(CredentialError)
    /// The external authorizer that the route names says no.
    case authorizer(AuthorizerRefusal)
    /// The authorizer of this name did not say anything; why.
    case authorizerUnavailable(String, String)
    /// A user or password that the file does not have.
    case passwordWrong
    case authorization(AuthorizationError)
    case admission(AdmissionError)
    case forwarding(ForwardingError)
    /// The client's address is in none of these networks.
    case addressNotAllowed(String)
    case bodyTooLarge
    /// The request's form is not what the route asks for.
    case form(MessageDemands.Unmet)
    case headTimeout
    case bodyTimeout
    /// The body comes, but so slowly that it is there to hold a place.
    case bodyTooSlow
    /// An extended CONNECT for a protocol that the route does not name.
    case protocolNotOffered
    /// The route is closed for a while.
    case maintenance(retryAfter: Nanoseconds)
    /// The worker holds as much memory as it may.
    case overloaded
    /// The client, or its token's subject, has as many requests under way as it may.
    case tooManyAtOnce(subject: Bool)
    /// Too many tokens of the client were no good; how long to wait.
    case tooManyFailedTokens(retryAfter: Nanoseconds)
    /// A value that the route's own response is made of is missing, or does not fit into it.
    case answerUnusable(Variable)
    /// A browser was to use a credential that it sends by itself, for a page of another origin.
    case crossOrigin
    /// A preflight for a page of an origin that the route's `cors` does not name.
    case originNotAllowed(String)

    package var status: Int {
        switch self {
        case .malformed(let error):
            switch error {
            case .headTooLarge, .tooManyFields: 431
            case .targetTooLong: 414
            case .badVersion: 505
            case .unknownCoding: 501
            case .unknownExpectation: 417
            default: 400
            }
        case .target(.tooLong): 414
        case .target: 400
        case .methodNotImplemented: 501
        case .noRoute: 404
        case .methodNotAllowed: 405
        case .token(.keysUnavailable): 503
        case .token: 401
        case .authorizer(let refusal): refusal.asksForCredential ? 401 : 403
        case .passwordWrong: 401
        case .authorizerUnavailable: 503
        case .authorization, .answerUnusable: 403
        case .admission(.limitExceeded): 429
        case .admission(.storeUnavailable): 503
        case .forwarding(.responseTimedOut), .forwarding(.connectTimedOut): 504
        case .forwarding(.headerUnusable): 403
        case .forwarding(.pathUnusable): 400
        case .forwarding(.unresolved), .forwarding(.noServer), .forwarding(.busy), .forwarding(.queueFull),
            .forwarding(.tooManyRequests), .forwarding(.circuitOpen), .forwarding(.gaveWay):
            503
        case .forwarding: 502
        case .addressNotAllowed: 403
        case .bodyTooLarge: 413
        case .form(.contentType): 415
        case .form(.query): 414
        case .form(.fields): 431
        case .headTimeout, .bodyTimeout, .bodyTooSlow: 408
        case .protocolNotOffered: 501
        case .overloaded, .maintenance: 503
        case .tooManyAtOnce, .tooManyFailedTokens: 429
        case .crossOrigin, .originNotAllowed: 403
        }
    }

    /// A stable identifier for machines.
    package var reason: String {
        switch self {
        case .malformed(let error): "request_" + snake(error.rawValue)
        case .target(let error): "target_" + snake(error.rawValue)
        case .methodNotImplemented: "method_not_implemented"
        case .noRoute: "no_route"
        case .methodNotAllowed: "method_not_allowed"
        case .token(let error): error.reason
        case .authorizer(let refusal): refusal.asksForCredential ? "authorizer_unauthenticated" : "authorizer_forbidden"
        case .authorizerUnavailable: "authorizer_unavailable"
        case .passwordWrong: "password_wrong"
        case .authorization(let error): error.reason
        case .admission(let error): error.reason
        case .forwarding(let error): error.reason
        case .addressNotAllowed: "address_not_allowed"
        case .bodyTooLarge: "body_too_large"
        case .form(.contentType): "content_type_not_accepted"
        case .form(.query): "query_too_long"
        case .form(.fields): "too_many_fields"
        case .headTimeout: "head_timeout"
        case .bodyTimeout: "body_timeout"
        case .bodyTooSlow: "body_too_slow"
        case .protocolNotOffered: "protocol_not_offered"
        case .overloaded: "overloaded"
        case .maintenance: "maintenance"
        case .tooManyAtOnce(let isSubject): isSubject ? "too_many_requests_of_subject" : "too_many_requests_at_once"
        case .tooManyFailedTokens: "too_many_failed_tokens"
        case .crossOrigin: "csrf_refused"
        case .originNotAllowed: "cors_refused"
        case .answerUnusable: "answer_unusable"
        }
    }

    /// A sentence for a person. Shows no secret, no token and no address behind the gateway.
    package var detail: String {
        switch self {
        case .malformed(let error): "The request is malformed: \(error.explanation)."
        case .target(let error): "The request target is not accepted: \(error.explanation)."
        case .methodNotImplemented: "This method is never forwarded."
        case .noRoute: "Nothing is served at this path."
        case .methodNotAllowed(let allowed): "This resource takes: \(allowed)."
        case .token(let error): error.explanation
        case .authorizer(let refusal):
            refusal.asksForCredential ? "This resource needs you to sign in." : "You may not use this resource."
        case .passwordWrong: "The user name or the password is not right."
        case .authorizerUnavailable: "Whether you may use this resource cannot be found out at the moment."
        case .authorization(.scopeMissing(let scopes)): "The access token lacks the scope that this needs: \(scopes)."
        case .authorization(.ruleUnmet): "The access token is not meant for this resource."
        case .admission(.limitExceeded): "Too many requests. Wait as long as Retry-After says."
        case .admission(.storeUnavailable): "The request cannot be counted at the moment."
        case .forwarding(.responseTimedOut), .forwarding(.connectTimedOut): "The service behind did not respond in time."
        case .forwarding(.headerUnusable): "A value of the access token or the request cannot be passed on."
        case .forwarding(.pathUnusable): "The path cannot be passed on."
        case .forwarding: "The service behind cannot be reached or gave no proper response."
        case .addressNotAllowed: "Clients of this address may not use this resource."
        case .bodyTooLarge: "The request's body is larger than this resource takes."
        case .form(.contentType(let accepted)): "This resource takes bodies of: \(accepted)."
        case .form(.query): "The query is longer than this resource takes."
        case .form(.fields): "The request has more fields than this resource takes."
        case .headTimeout: "The request's head did not come in time."
        case .bodyTimeout: "The request's body did not come in time."
        case .bodyTooSlow: "The request's body comes too slowly."
        case .protocolNotOffered: "This resource does not speak that protocol."
        case .maintenance: "This is closed for maintenance. Come again after what Retry-After says."
        case .overloaded: "The gateway has as much to do as it can hold. Try again soon."
        case .tooManyAtOnce: "Too many requests at once. Wait for a response before the next request."
        case .tooManyFailedTokens: "Too many access tokens from this address were not valid. Wait as long as Retry-After says."
        case .crossOrigin: "A page of another origin may not do this with your credentials."
        case .originNotAllowed: "Pages of this origin may not use this resource."
        case .answerUnusable: "A value that the response needs is missing or too long."
        }
    }

    /// What operators see besides, in the log.
    package var logDetail: String? {
        switch self {
        case .forwarding(let error): error.explanation
        case .authorization(.ruleUnmet(let rule)): rule
        case .authorization(.scopeMissing(let scopes)): scopes
        case .token(.claimUnmet(let claim)), .token(.claimMalformed(let claim)): claim
        case .originNotAllowed(let origin): origin
        case .addressNotAllowed(let networks): networks
        case .authorizerUnavailable(let name, let reason): "\(name): \(reason)"
        case .answerUnusable(let variable): "$" + variable.name
        default: nil
        }
    }

    /// Whether somebody tried what is not allowed: such refusals go to the security log.
    package var concernsSecurity: Bool {
        switch self {
        case .forwarding(.headerUnusable), .forwarding(.pathUnusable): true
        case .forwarding, .noRoute, .methodNotAllowed, .headTimeout, .bodyTimeout, .bodyTooSlow,
            .protocolNotOffered, .overloaded, .maintenance, .answerUnusable,
            .token(.keysUnavailable), .authorizerUnavailable,
            .admission(.storeUnavailable):
            false
        default: true
        }
    }

    /// Whether it is a credential that lets nobody in, so that another one might.
    package var isOfCredential: Bool {
        switch self {
        case .token, .authorizer, .authorizerUnavailable, .passwordWrong, .tooManyFailedTokens: true
        default: false
        }
    }

    /// Whether it is what the client is told, where any of several credentials would do and another one was refused after it.
    package func outweighs(_ later: Refusal) -> Bool {
        if status == 503 || later.status == 503 { return status == 503 }
        switch (self, later) {
        case (.authorizer, .authorizer): return false
        case (.authorizer, _): return true
        default: return false
        }
    }

    /// Whether the request was refused for how it is written, before it was asked who may do what.
    var isOfMalformedRequest: Bool {
        switch self {
        case .malformed, .target: true
        default: false
        }
    }

    /// Whether it is in doubt where the next request would begin.
    var endsConnection: Bool {
        switch self {
        case .malformed, .bodyTooLarge, .headTimeout, .bodyTimeout, .bodyTooSlow, .overloaded: true
        default: false
        }
    }

    /// Seconds after which it makes sense to try again.
    var retryAfter: UInt64? {
        switch self {
        case .tooManyAtOnce: 1
        case .maintenance(let wait): max(1, wait.secondsUp)
        case .admission(.limitExceeded(_, let wait)), .admission(.storeUnavailable(_, let wait)), .tooManyFailedTokens(let wait):
            max(1, wait.secondsUp)
        case .token(.keysUnavailable), .authorizerUnavailable, .forwarding(.unresolved), .forwarding(.busy),
            .forwarding(.queueFull), .forwarding(.tooManyRequests), .forwarding(.circuitOpen), .forwarding(.gaveWay), .overloaded:
            2
        default: nil
        }
    }

    /// The status that a client of gRPC is told (grpc.github.io, "Status codes and their use in gRPC").
    var grpcStatus: Int {
        Self.grpcStatus(of: status)
    }

    /// The status of gRPC that says what a status of HTTP does.
    static func grpcStatus(of status: Int) -> Int {
        switch status {
        case 200..<300: 0
        case 401: 16
        case 403: 7
        case 413, 429, 431: 8
        case 404, 405, 501: 12
        case 408, 502, 503, 504: 14
        default: 13
        }
    }

    private func snake(_ name: String) -> String {
        var result = ""
        for character in name {
            if character.isUppercase { result += "_" }
            result += character.lowercased()
        }
        return result
    }
}
