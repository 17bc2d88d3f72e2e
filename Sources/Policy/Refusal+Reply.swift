import Authentication
import Authentication
import Authorization
import Bytes
package import Configuration
package import HTTPMessage

extension Refusal {
    /// What the client is told.
    ///
    /// - Parameters:
    ///   - challenge: of the route, for a client without a good credential.
    ///   - signIn: where a browser without one goes; nil for nowhere.
    ///   - page: of HTML, in place of the gateway's own words.
    package func reply(requestID: [UInt8], challenge: Challenge, signIn: [UInt8]? = nil, page: [UInt8]? = nil, form: ReplyForm) -> Reply {
        if let signIn { return redirect(to: signIn) }
        var fields: [UInt8] = []
        func field(_ name: String, _ value: String) { fields.append("\(name): \(value)\r\n") }
        switch self {
        case .token(.missing), .passwordWrong: for text in challenge.fields() { field("WWW-Authenticate", text) }
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
        if let page {
            return Reply(status: status, fields: fields + Reply.pageFields, body: page, endsConnection: endsConnection)
        }
        let content = ReplyContent(
            status: status, reason: reason, detail: detail, requestID: requestID, form: form, grpcStatus: grpcStatus,
            retryAfter: retryAfter)
        // A call of gRPC is told its status in a head of its own; the status of HTTP is always 200.
        return Reply(
            status: form == .grpc ? 200 : status, fields: fields + content.fields, body: content.body, endsConnection: endsConnection,
            isHeadOnly: form == .grpc)
    }
}

extension Reply {
    /// Of a page that the file has for a status.
    static let pageFields = [UInt8]("Content-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\n".utf8)
}

extension Refusal {
    /// Never kept: the next request may have a good credential.
    private func redirect(to location: [UInt8]) -> Reply {
        var fields = [UInt8]("Location: ") + location + [UInt8]("\r\nCache-Control: no-store\r\n")
        if case .authorizer(let refusal) = self { fields += refusal.lines }
        return Reply(status: 302, fields: fields)
    }
}

/// For a quoted-string: without quotes and backslashes, in ASCII (RFC 6750 §3).
private func quoted(_ text: String) -> String { String(text.map { $0 == "\"" || $0 == "\\" || !$0.isASCII ? "'" : $0 }) }
