package import Configuration
package import HTTPMessage

extension Reply {
    /// What a proxy that asks for a decision is told, in the words that it knows. It has no body: nginx reads none, and a question may be asked
    /// about HEAD.
    ///
    /// Nothing but a decision to let in is a 2xx, for that is what lets in: not what a route answers itself, nor a preflight's response.
    ///
    /// - Parameter isAllowed: whether the request may come.
    package func told(to decisions: DecisionProtocol, isAllowed: Bool) -> Reply {
        if isAllowed { return Reply(status: status, fields: fields, endsConnection: endsConnection) }
        let told: Int
        switch (decisions, status) {
        case (_, ..<300): told = 403
        // To it a redirect is an error; the location goes along.
        case (.nginx, 300..<400): told = 401
        case (.nginx, 401), (.nginx, 403), (.nginx, 500...): told = status
        case (.nginx, _): told = 403
        case (.traefik, _), (.envoy, _): told = status
        }
        let note = told == status ? [] : [UInt8]("X-Portcullis-Status: \(status)\r\n".utf8)
        return Reply(status: told, fields: fields + note, endsConnection: endsConnection)
    }
}
