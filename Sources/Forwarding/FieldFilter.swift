package import Authentication
import Bytes
import HTTPMessage

/// Which fields of a client's request reach an upstream.
///
/// What any route sets is taken from every request, public routes too, with every alias of its name, so that a backend can
/// trust what arrives under it.
package struct FieldFilter: Sendable {
    /// Folded names, by their length.
    private let managed: [[[UInt8]]]
    private let tokenFields: [[UInt8]]
    private let hiddenCookies: [[UInt8]]
    private let hidesBearer: Bool

    /// - Parameters:
    ///   - headers: all names that any route sets.
    ///   - sources: where tokens may be.
    package init(headers: [String], sources: TokenSources) {
        var byLength: [[[UInt8]]] = []
        for name in Set(headers.map { FieldAlias.fold($0) } + Self.alwaysManaged.map { FieldAlias.fold($0) }) {
            while byLength.count <= name.count { byLength.append([]) }
            byLength[name.count].append(name)
        }
        managed = byLength
        hiddenCookies = sources.hiddenCookies
        var tokenFields: [[UInt8]] = []
        var hidesBearer = false
        for source in sources.sources {
            switch source {
            case .bearer: hidesBearer = true
            case .field(let name): tokenFields.append(name)
            case .cookie: break
            }
        }
        self.tokenFields = tokenFields
        self.hidesBearer = hidesBearer
    }

    enum Verdict {
        case keep, drop
        /// A Cookie field, from which the token is taken out.
        case rewrite
    }

    func verdict(on line: FieldTable.Line, in bytes: Span<UInt8>) -> Verdict {
        switch line.id {
        case .cookie: return hiddenCookies.isEmpty ? .keep : .rewrite
        case .host, .contentLength, .expect, .forwarded, .xForwardedFor, .xForwardedHost, .xForwardedPort, .xForwardedProto, .xRequestID,
            .xRealIP:
            return .drop
        case .authorization:
            if isManaged(bytes.extracting(line.name.range)) { return .drop }
            return hidesBearer && TokenSources.bearerToken(line.value.range, bytes) != nil ? .drop : .keep
        default:
            if line.id.isHopByHop { return .drop }
            let name = bytes.extracting(line.name.range)
            if isManaged(name) { return .drop }
            for field in tokenFields where name.equalsIgnoringCase(field.span) { return .drop }
            return .keep
        }
    }

    /// Whether a name is, or is an alias of, one that the gateway sets.
    package func isManaged(_ name: Span<UInt8>) -> Bool {
        guard name.count < managed.count else { return false }
        for candidate in managed[name.count] {
            var isSame = true
            for index in name.indices where FieldAlias.fold(name[index]) != candidate[index] {
                isSame = false
                break
            }
            if isSame { return true }
        }
        return false
    }

    /// Appends the pairs of a Cookie field that an upstream may see, with the field's name; nothing if there are none.
    func appendCookies(_ line: FieldTable.Line, in bytes: Span<UInt8>, to output: inout ByteQueue) {
        var reader = CookieReader(range: line.value.range)
        var isFirst = true
        while let pair = reader.next(in: bytes) {
            let name = bytes.extracting(pair.name)
            var isHidden = false
            for hidden in hiddenCookies where name.equals(hidden) { isHidden = true }
            if isHidden { continue }
            output.append(isFirst ? "Cookie: " : "; ")
            output.append(bytes.extracting(pair.whole))
            isFirst = false
        }
        if !isFirst { output.append("\r\n") }
    }

    /// Aliases of fields that frame a message or that the gateway sets on every request, and `Proxy`, which CGI would
    /// make into the variable that names a proxy to use.
    private static let alwaysManaged = [
        "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-real-ip", "x-request-id", "content-length",
        "transfer-encoding", "proxy-authorization", "proxy-connection", "keep-alive", "proxy",
    ]
}
