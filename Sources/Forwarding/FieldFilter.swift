package import Authentication
import Bytes
import HTTPMessage

/// Which fields of a client's request reach an upstream.
///
/// What any route sets is taken from every request, public routes too, with every alias of its name, so that a backend can
/// trust what arrives under it.
package final class FieldFilter: Sendable {
    /// Folded names, by their length.
    private let managed: [[[UInt8]]]
    private let hiddenCookies: [[UInt8]]
    private let hidesBearer: Bool

    /// - Parameters:
    ///   - headers: all names that any route sets.
    ///   - sources: where tokens may be.
    package init(headers: [String], sources: TokenSources) {
        var names = headers.map { FieldAlias.fold($0) } + Self.alwaysManaged.map { FieldAlias.fold($0) }
        var hidesBearer = false
        for source in sources.sources {
            switch source {
            case .bearer: hidesBearer = true
            // A field in which a token may be is a token to some service behind, whichever way its name is spelled.
            case .field(let name): names.append(FieldAlias.fold(name.span))
            case .cookie: break
            }
        }
        self.hidesBearer = hidesBearer
        var byLength: [[[UInt8]]] = []
        for name in Set(names) {
            while byLength.count <= name.count { byLength.append([]) }
            byLength[name.count].append(name)
        }
        managed = byLength
        hiddenCookies = sources.hiddenCookies
    }

    enum Verdict {
        case keep, drop
        /// A Cookie field, from which the token is taken out.
        case rewrite
    }

    /// - Parameter hasIdentity: whether the request was let in by a token. Then no other bearer token goes with it, which a
    ///   service behind might believe instead.
    func verdict(on line: FieldTable.Line, in bytes: Span<UInt8>, hasIdentity: Bool) -> Verdict {
        switch line.id {
        case .cookie: return hiddenCookies.isEmpty ? .keep : .rewrite
        case .host, .contentLength, .expect, .forwarded, .xForwardedFor, .xForwardedHost, .xForwardedPort, .xForwardedProto, .xRequestID,
            .xRealIP:
            return .drop
        case .authorization:
            if isManaged(bytes.extracting(line.name.range)) { return .drop }
            return (hidesBearer || hasIdentity) && TokenSources.bearerToken(line.value.range, bytes) != nil ? .drop : .keep
        default:
            if line.id.isHopByHop { return .drop }
            let name = bytes.extracting(line.name.range)
            return isManaged(name) ? .drop : .keep
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
