import Bytes
package import ConfigFile
package import HTTPMessage

/// What is known of one request on its way through the stages. Used again for the next request of its connection.
package final class RequestContext {
    package var head = RequestHead()
    package var target = RequestTarget()
    /// As ``Authority`` compares hosts; empty when the request names none.
    package var host: [UInt8] { named == nil ? [] : hostName }
    /// Where the host that is routed by stands in the head, with its port: it is the one that goes on. Nil when the request names none.
    package var authority: ByteRange? { named }
    /// Whether the client's own connection is secure: this one, or the one that a trusted proxy tells of.
    package var isHTTPS: Bool { isSecure }
    /// The address that the request comes from, as text; behind a trusted proxy the one that it tells.
    package var clientIP: [UInt8] { client }
    package var requestID: [UInt8] { identifier }
    package var routeName: String { name }
    /// Where the captures of the route stand among the path's segments.
    package var captures: [String: Int] { places }

    // Kept apart from what is visible: only what no other module can see is known not to be looked at while it changes.
    /// Of the last request that named one.
    private var hostName: [UInt8] = []
    private var named: ByteRange?
    private var isSecure = false
    private var client: [UInt8] = []
    private var identifier: [UInt8] = []
    private var name = ""
    private var places: [String: Int] = [:]

    /// The limits that would have refused the request, but refuse nobody; see ``Variable/limitsExceeded``.
    package var exceeded: [UInt8] = []

    package init() {}

    /// Gives the head up, with its storage.
    package func releaseHead() { head = RequestHead() }

    /// Another request begins, whose host and route are not known yet; its head stands here.
    package func begin(clientIP: [UInt8], isHTTPS: Bool) {
        client = clientIP
        isSecure = isHTTPS
        named = nil
        if !exceeded.isEmpty { exceeded = [] }
        follow(route: "", captures: [:])
    }

    /// The request is for the host that stands at `place` of the head, whose bytes these are.
    package func serve(_ authority: Authority, at place: ByteRange, of bytes: Span<UInt8>) {
        named = place
        let text = bytes.extracting(place.range)
        var name: [UInt8] = exchange(&hostName, with: [])
        // Most requests are for the host of the one before.
        if !text.extracting(authority.host).equalsIgnoringCase(name.span) {
            name.removeAll(keepingCapacity: true)
            authority.appendHost(of: text, to: &name)
        }
        swap(&name, &hostName)
    }

    /// Gives the request its identifier, in the place of the one before.
    package func identify(_ identifier: Span<UInt8>) {
        var kept: [UInt8] = exchange(&self.identifier, with: [])
        if kept.count == identifier.count {
            var bytes = kept.mutableSpan
            bytes.copy(identifier)
        } else {
            kept = identifier.copied()
        }
        swap(&kept, &self.identifier)
    }

    /// The route has been found.
    package func follow(route name: String, captures: [String: Int]) {
        self.name = name
        places = captures
    }

    /// The value of a variable that the request itself decides; nil when it has none, and for `$claim.…`.
    package func value(of variable: Variable) -> [UInt8]? {
        switch variable {
        case .clientIP: clientIP
        case .requestID: requestID
        case .requestMethod: head.copy(head.methodRange)
        case .requestHost: host.isEmpty ? nil : host
        case .requestScheme: [UInt8]((isHTTPS ? "https" : "http").utf8)
        case .requestPath: target.path
        case .requestQuery: target.query.isEmpty ? nil : Array(head.copy(target.query).dropFirst())
        case .requestURI: uri
        case .requestURL: url
        case .route: [UInt8](routeName)
        case .claim, .tokenPayload: nil
        case .limitsExceeded: exceeded.isEmpty ? nil : exceeded
        case .path(let name): captures[name].map { target.decodedSegment($0) }
        case .header(let name): head.field(named: name)
        case .cookie(let name): head.cookie(named: name)
        case .query(let name): head.parameter(named: name, in: target.query)
        }
    }

    private var uri: [UInt8] { target.path + head.copy(target.query) }

    /// Nil for a request that names no host.
    private var url: [UInt8]? {
        guard let authority else { return nil }
        return [UInt8]((isHTTPS ? "https://" : "http://").utf8) + head.copy(authority) + uri
    }
}
