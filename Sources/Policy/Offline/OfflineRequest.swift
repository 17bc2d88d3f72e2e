import System
import Configuration
package import Authentication
import Bytes
import HTTP1
import HTTPMessage
import Routing

/// A request that nobody sent, to ask what would become of it.
package struct OfflineRequest {
    /// Who asks.
    package enum Bearer {
        /// The credential that the request's own fields carry.
        case fields
        /// A token, in the place where the file looks for one first.
        case token([UInt8])
        /// What a token would say, without one.
        case claims(UnsignedClaims)
        /// The same, for several requests.
        case checked(CheckedClaims)
    }

    package var method: String
    /// As it stands in a request line.
    package var target: String
    package var host: String
    /// Nil where only the listeners of the file say it.
    package var isHTTPS: Bool?
    package var fields: [(name: String, value: String)]
    package var clientIP: String
    package var bearer: Bearer
    /// Seconds since 1970.
    package var time: UInt64
    /// Whether an external authorizer, which nobody asks here, is taken to refuse who brings no claims; else the request is undecided.
    package var authorizersRefuse = false
    /// Whether it does not matter from where it comes.
    package var ignoresAddress = false

    package init(
        _ method: String, _ target: String, host: String = "localhost", isHTTPS: Bool? = nil, fields: [(name: String, value: String)] = [],
        clientIP: String = "127.0.0.1", bearer: Bearer = .fields, time: UInt64
    ) {
        self.method = method
        self.target = target
        self.host = host
        self.isHTTPS = isHTTPS
        self.fields = fields
        self.clientIP = clientIP
        self.bearer = bearer
        self.time = time
    }

    /// Takes a URL apart: `https://HOST/PATH`, or a path alone.
    package init(_ method: String, url: String, time: UInt64) {
        self.init(method, url, time: time)
        for (scheme, isHTTPS) in [("https://", true), ("http://", false)] where url.lowercased().hasPrefix(scheme) {
            let rest = url.dropFirst(scheme.count)
            let slash = rest.firstIndex { $0 == "/" || $0 == "?" } ?? rest.endIndex
            host = String(rest[..<slash])
            target = slash == rest.endIndex ? "/" : (rest[slash] == "?" ? "/" : "") + String(rest[slash...])
            self.isHTTPS = isHTTPS
        }
    }

    /// The request's head, as a client would send it over HTTP/1.1.
    package func head(_ sources: TokenSources) -> [UInt8] {
        var (target, line): (String, [UInt8]) = (target, [])
        if case .token(let token) = bearer {
            if let found = sources.line(for: token) {
                line = found
            } else {
                target += (target.contains("?") ? "&" : "?") + sources.parameter(for: token)
            }
        }
        var text = "\(method) \(target) HTTP/1.1\r\n"
        if !fields.contains(where: { $0.name.lowercased() == "host" }) { text += "Host: \(host)\r\n" }
        for field in fields { text += "\(field.name): \(field.value)\r\n" }
        return [UInt8](text.utf8) + line + [0x0D, 0x0A]
    }

    /// What in it no request could have been sent with: a mistake in the command, and no refusal.
    package var mistake: String? {
        if method.isEmpty || !method.utf8.allSatisfy(ASCII.isToken) { return "'\(method)' is not a method" }
        guard target.hasPrefix("/") || target == "*" || target.lowercased().hasPrefix("http") && target.contains("://") else {
            return "'\(target)' is neither a path nor a URL of http or https"
        }
        if target.utf8.contains(where: { $0 <= 0x20 || $0 == 0x7F }) { return "'\(target)' holds a space or a control character" }
        for field in fields {
            if field.name.isEmpty || !field.name.utf8.allSatisfy(ASCII.isToken) { return "'\(field.name)' is not the name of a field" }
            if field.value.utf8.contains(where: { $0 < 0x20 && $0 != 0x09 || $0 == 0x7F }) {
                return "the value of \(field.name) holds a control character"
            }
        }
        return nil
    }

    /// Reads the request as the gateway would from a peer with the address ``clientIP``.
    func read(into context: RequestContext, _ settings: Settings) throws(Refusal) -> BodyFraming {
        let bytes = head(settings.tokenSources)
        do throws(MessageError) {
            var parser = RequestParser(settings.clientLimits.head)
            guard case .complete(let count) = try parser.parse(bytes.span, into: &context.head), count == bytes.count else {
                throw .badRequestLine
            }
            context.identify("REQUEST-ID".utf8.span)
            return try begin(context.head, in: context, settings)
        } catch {
            throw .malformed(error)
        }
    }

    /// As `Passage` does it for a request that came.
    private func begin(
        _ head: borrowing RequestHead, in context: RequestContext, _ settings: Settings
    ) throws(MessageError) -> BodyFraming {
        let isHTTPS = isHTTPS ?? settings.isServedOverTLS
        guard let peer = IPAddress(clientIP), settings.trusts(peer) else {
            context.begin(clientIP: [UInt8]((IPAddress(clientIP)?.text ?? clientIP).utf8), isHTTPS: isHTTPS)
            return try readEnvelope(head, toldHost: nil, in: context)
        }
        let told = ProxyReport(head, trusted: settings.trustedProxies, in: settings.trustedFields)
        context.begin(clientIP: [UInt8]((told.address ?? peer).text), isHTTPS: told.isHTTPS ?? isHTTPS)
        let envelope = try readEnvelope(head, toldHost: told.host, in: context)
        if told.isMalformed { throw .badForwarded }
        return envelope
    }

    private func readEnvelope(
        _ head: borrowing RequestHead, toldHost: ByteRange?, in context: RequestContext
    ) throws(MessageError) -> BodyFraming {
        let envelope = try head.envelope()
        if let toldHost {
            guard let named = NamedHost(toldHost, in: head.bytes) else { throw .badHost }
            context.serve(named.authority, at: toldHost, of: head.bytes)
        } else if let host = envelope.host {
            context.serve(host.authority, at: host.place, of: head.bytes)
        }
        if envelope.expectation == .unknown { throw .unknownExpectation }
        return envelope.framing
    }
}
