import Bytes
package import HTTPMessage

/// A request that the gateway answers itself though it refuses nothing.
package enum GatewayReply: Equatable, Sendable {
    /// `OPTIONS *`: asks about the gateway itself (RFC 9110 §9.3.7).
    case aboutServer
    /// The response to a preflight of a page that may; whole lines.
    case preflight([UInt8])
    /// A listener that sends every request to https; the location.
    case redirect(String)
    /// What a route answers by itself; the status is the file's, which a call of gRPC is told in its own way.
    case route(status: Int, Reply)
    /// A proxy that asks whether a request may come is told that it may; whole lines of the fields that the service would get.
    case decision([UInt8])

    /// A stable identifier, for the log.
    package var reason: String {
        switch self {
        case .aboutServer: "about_server"
        case .preflight: "preflight"
        case .redirect: "redirect_https"
        case .route: Self.routeReason
        case .decision: "decision"
        }
    }

    static let routeReason = "route_answer"

    package var status: Int {
        switch self {
        case .aboutServer, .decision: 200
        case .preflight: 204
        case .redirect: 308
        case .route(let status, _): status
        }
    }

    package func reply(requestID: [UInt8], form: ReplyForm) -> Reply {
        switch self {
        case .aboutServer: return Reply(status: status, fields: [UInt8]("Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n"))
        case .preflight(let lines), .decision(let lines): return Reply(status: status, fields: lines)
        case .route(_, let reply): return reply
        case .redirect(let location):
            let content = ReplyContent(
                status: status, reason: reason, detail: "This is served at \(location).", requestID: requestID, form: form)
            return Reply(status: status, fields: [UInt8]("Location: \(location)\r\n") + content.fields, body: content.body)
        }
    }
}
