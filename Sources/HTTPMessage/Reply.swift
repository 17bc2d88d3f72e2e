/// A response that the gateway makes itself.
package struct Reply: Equatable, Sendable {
    package let status: Int
    /// Whole field lines; without framing and connection fields, and without those that every response gets.
    package let fields: [UInt8]
    package let body: [UInt8]
    /// Whether nobody knows where the next request of the connection would begin, so that it closes.
    package let endsConnection: Bool
    /// Whether the response is a head alone, which no Content-Length describes: a call of gRPC that fails at once.
    package let isHeadOnly: Bool

    package init(status: Int, fields: [UInt8] = [], body: [UInt8] = [], endsConnection: Bool = false, isHeadOnly: Bool = false) {
        self.status = status
        self.fields = fields
        self.body = body
        self.endsConnection = endsConnection
        self.isHeadOnly = isHeadOnly
    }

    /// Whether a Content-Length goes with it (RFC 9110 §8.6).
    package var hasLength: Bool { !isHeadOnly && status != 204 && status != 304 }

    /// The reason phrase of a status line.
    package static func phrase(_ status: Int) -> String {
        switch status {
        case 200: "OK"
        case 201: "Created"
        case 202: "Accepted"
        case 204: "No Content"
        case 301: "Moved Permanently"
        case 302: "Found"
        case 303: "See Other"
        case 307: "Temporary Redirect"
        case 308: "Permanent Redirect"
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 408: "Request Timeout"
        case 410: "Gone"
        case 413: "Content Too Large"
        case 414: "URI Too Long"
        case 417: "Expectation Failed"
        case 429: "Too Many Requests"
        case 431: "Request Header Fields Too Large"
        case 501: "Not Implemented"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        case 505: "HTTP Version Not Supported"
        case 451: "Unavailable For Legal Reasons"
        case 500: "Internal Server Error"
        case ..<300: "Success"
        case ..<400: "Redirection"
        default: "Error"
        }
    }
}
