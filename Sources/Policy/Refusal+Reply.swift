import Authentication
import Authentication
import Authorization
import Bytes
package import Configuration
package import HTTPMessage

extension Refusal {
    /// What the client is told.
    ///
    /// - Parameter challenge: of the route, for a client without a good credential.
    package func reply(requestID: [UInt8], challenge: Challenge, form: ReplyForm) -> Reply {
        var fields: [UInt8] = []
        func field(_ name: String, _ value: String) { fields.append("\(name): \(value)\r\n") }
        switch self {
        case .token(.missing): for text in challenge.fields() { field("WWW-Authenticate", text) }
        case .token(let error) where status == 401:
            let cause = "error=\"invalid_token\", error_description=\"\(quoted(error.explanation))\""
            for text in challenge.fields(cause) { field("WWW-Authenticate", text) }
        case .authorizer(let refusal):
            if refusal.asksForCredential {
                // A 401 names what would do (RFC 9110 §15.5.2).
                for text in refusal.challenges.isEmpty ? challenge.fields() : refusal.challenges { field("WWW-Authenticate", text) }
            }
            fields += refusal.lines
        case .authorization(.scopeMissing(let scopes)):
            field("WWW-Authenticate", challenge.bearer("error=\"insufficient_scope\", scope=\"\(scopes)\""))
        case .authorization(.ruleUnmet): field("WWW-Authenticate", challenge.bearer("error=\"insufficient_scope\""))
        case .methodNotAllowed(let allowed): field("Allow", allowed)
        default: break
        }
        if let seconds = retryAfter { field("Retry-After", String(seconds)) }
        let content = ReplyContent(
            status: status, reason: reason, detail: detail, requestID: requestID, form: form, grpcStatus: grpcStatus)
        // A call of gRPC is told its status in a head of its own; the status of HTTP is always 200.
        return Reply(
            status: form == .grpc ? 200 : status, fields: fields + content.fields, body: content.body, endsConnection: endsConnection,
            isHeadOnly: form == .grpc)
    }
}

/// For a quoted-string: without quotes and backslashes, in ASCII (RFC 6750 §3).
private func quoted(_ text: String) -> String { String(text.map { $0 == "\"" || $0 == "\\" || !$0.isASCII ? "'" : $0 }) }
