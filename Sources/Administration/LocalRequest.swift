package import System

/// A request of an operator, or of a tool of theirs: small, and in memory.
package struct LocalRequest: Sendable {
    package let method: String
    /// Without the query.
    package let path: String
    package let query: String
    package let accept: String
    package let contentType: String
    /// Whether a page in a browser has sent it.
    package let hasOrigin: Bool
    package let body: [UInt8]
    /// Who asks, over a Unix socket.
    package let peer: PeerCredentials?

    package init(
        method: String, path: String, query: String = "", accept: String = "", contentType: String = "", hasOrigin: Bool = false,
        body: [UInt8] = [], peer: PeerCredentials? = nil
    ) {
        self.method = method
        self.path = path
        self.query = query
        self.accept = accept
        self.contentType = contentType
        self.hasOrigin = hasOrigin
        self.body = body
        self.peer = peer
    }
}

package struct LocalResponse: Sendable {
    package let status: Int
    package let contentType: String
    package let body: [UInt8]

    package init(_ status: Int, _ contentType: String, _ body: [UInt8]) {
        self.status = status
        self.contentType = contentType
        self.body = body
    }

    package init(_ status: Int, text: String) { self.init(status, "text/plain; charset=utf-8", Array(text.utf8)) }

    package init(_ status: Int, _ json: JSON) { self.init(status, "application/json", json.line) }

    /// What went wrong, for a person and a program.
    package static func error(_ status: Int, _ message: String) -> LocalResponse {
        LocalResponse(status, .object([("error", .text(message))]))
    }
}

/// Answers requests.
package protocol LocalRequestHandler: AnyObject {
    /// - Parameter reply: called once, now or later; of a request that nobody waits for any longer it does nothing.
    func respond(to request: LocalRequest, _ reply: @escaping (LocalResponse) -> Void)
}
