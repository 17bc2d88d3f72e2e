package import Authentication
import Bytes
import HTTP1
import HTTPMessage
import Routing

/// A request that nobody sent, to ask what would become of it.
package struct OfflineRequest {
    /// Who asks.
    package enum Bearer {
        /// Whoever the request's own fields say.
        case fields
        /// A token, in the place where the file looks for one first.
        case token([UInt8])
        /// What a token would say, without one.
        case claims(UnsignedClaims)
    }

    package var method: String
    /// As it stands in a request line.
    package var target: String
    package var host: String
    package var isHTTPS: Bool
    package var fields: [(name: String, value: String)]
    package var clientIP: String
    package var bearer: Bearer
    /// Seconds since 1970.
    package var time: UInt64

    package init(
        _ method: String, _ target: String, host: String = "localhost", isHTTPS: Bool = true, fields: [(name: String, value: String)] = [],
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
        var text = "\(method) \(target) HTTP/1.1\r\n"
        if !fields.contains(where: { $0.name.lowercased() == "host" }) { text += "Host: \(host)\r\n" }
        for field in fields { text += "\(field.name): \(field.value)\r\n" }
        var bytes = [UInt8](text.utf8)
        if case .token(let token) = bearer { bytes += sources.line(for: token) }
        return bytes + [0x0D, 0x0A]
    }

    /// Reads the request as the gateway would.
    func read(into context: RequestContext, _ limits: HeadLimits, _ sources: TokenSources) throws(Refusal) -> BodyFraming {
        let bytes = head(sources)
        do throws(MessageError) {
            var parser = RequestParser(limits)
            guard case .complete(let count) = try parser.parse(bytes.span, into: &context.head), count == bytes.count else {
                throw .badRequestLine
            }
            context.begin(clientIP: [UInt8](clientIP.utf8), isHTTPS: isHTTPS)
            context.identify("REQUEST-ID".utf8.span)
            return try Self.readEnvelope(context.head, in: context)
        } catch {
            throw .malformed(error)
        }
    }

    private static func readEnvelope(_ head: borrowing RequestHead, in context: RequestContext) throws(MessageError) -> BodyFraming {
        let envelope = try head.envelope()
        if let host = envelope.host { context.serve(host.authority, at: host.place, of: head.bytes) }
        if envelope.expectation == .unknown { throw .unknownExpectation }
        return envelope.framing
    }
}
