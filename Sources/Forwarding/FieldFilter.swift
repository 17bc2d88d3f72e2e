package import Authentication
package import Bytes
package import HTTPMessage

/// Which fields of a client's request reach an upstream.
///
/// What any route sets is taken from every request, public routes too, under every spelling of its name (``FieldIdentity``), so that a
/// backend can trust what arrives under it. So is the family of X-Forwarded-* with its relatives, which tell of a request what only a proxy
/// may tell; a trusted one's go on under their usual spelling.
package final class FieldFilter: Sendable {
    private struct Managed {
        let name: [UInt8]
        /// Who may say it; empty for nobody.
        let speakers: Speakers
    }

    /// What a sender may speak as.
    struct Speakers: OptionSet {
        let rawValue: UInt8
        init(rawValue: UInt8) { self.rawValue = rawValue }
        /// A proxy that is believed what it tells of its client.
        static let proxy = Speakers(rawValue: 1)
        /// A peer that is trusted.
        static let trusted = Speakers(rawValue: 2)
        /// A request that belongs to a trace that can be read.
        static let traced = Speakers(rawValue: 4)
        static let all: Speakers = [.proxy, .trusted, .traced]
    }

    /// Names by their length.
    private let managed: [[Managed]]
    /// A bit for the mark of each: nearly every other name is told apart by its own.
    private let marks: [UInt64]
    private let hiddenCookies: [[UInt8]]
    /// Those of them that are no credentials, but bind clients to servers.
    private let bindingCookies: [[UInt8]]
    private let hidesBearer: Bool
    private let hidesPasswords: Bool
    /// Schemes of Authorization besides those, in lower case.
    private let hiddenSchemes: [[UInt8]]
    /// Parameters of the query.
    private let hiddenParameters: [String]

    /// - Parameters:
    ///   - headers: all names that any route sets, and that the gateway does.
    ///   - followsTraces: whether the gateway takes part in traces: then it says itself where the request stands.
    ///   - hidden: where credentials for the gateway may be.
    ///   - binding: cookies by which clients are bound to servers.
    package init(headers: [String], followsTraces: Bool = false, hiding hidden: CredentialPlaces, binding: [[UInt8]] = []) {
        // Authorization is judged for each route: one that sets it has no say in what the others pass on.
        var names = Set(
            headers.map { FieldIdentity.fold($0) }.filter { $0 != authorizationName } + Self.alwaysManaged.map { FieldIdentity.fold($0) })
        // A field in which a credential may be is one to some service behind, however its name is spelled.
        for name in hidden.fields { names.insert(FieldIdentity.fold(name.span)) }
        hidesBearer = hidden.schemes.contains(.bearer)
        hidesPasswords = hidden.schemes.contains(.basic)
        hiddenSchemes = hidden.schemes.compactMap { if case .other(let name) = $0 { name } else { nil } }
        hiddenParameters = hidden.parameters
        var byLength: [[Managed]] = []
        func add(_ name: [UInt8], _ speakers: Speakers) {
            while byLength.count <= name.count { byLength.append([]) }
            byLength[name.count].append(Managed(name: name, speakers: speakers))
        }
        if followsTraces { names.insert(FieldIdentity.fold("traceparent")) }
        for name in names { add(name, []) }
        let others =
            Self.proxyFields.map { ($0, Speakers.proxy) } + (followsTraces ? [("baggage", .trusted), ("tracestate", .traced)] : [])
        for (name, speakers) in others.map({ (FieldIdentity.fold($0), $1) }) where !names.contains(name) { add(name, speakers) }
        managed = byLength
        var marks = [UInt64](repeating: 0, count: Self.markCount / 64)
        for entry in byLength.joined() {
            let mark = Self.mark(entry.name.span)
            marks[mark >> 6] |= 1 << UInt64(mark & 63)
        }
        self.marks = marks
        hiddenCookies = hidden.cookies + binding
        bindingCookies = binding
    }

    /// What is known of who sends a request.
    struct Sender {
        /// Whether the request was let in by a token. Then no other credential goes with it that a service behind might believe instead.
        let hasIdentity: Bool
        let speaks: Speakers
        /// How many Authorization fields it has.
        let authorizations: Int
        var authorization = Authorization.filtered
    }

    /// What becomes of the client's own Authorization.
    enum Authorization {
        /// Goes on where it is no credential for the gateway, nor could be taken for one.
        case filtered
        /// The route sets its own.
        case dropped
        /// Goes on as it came.
        case asReceived
    }

    enum Verdict {
        case keep, drop
        /// A Cookie field, from which the token is taken out.
        case rewrite
    }

    func verdict(on line: FieldTable.Line, in bytes: Span<UInt8>, from sender: Sender) -> Verdict {
        switch line.id {
        case .cookie: return hiddenCookies.isEmpty ? .keep : .rewrite
        case .host, .contentLength, .expect, .forwarded, .xForwardedFor, .xForwardedHost, .xForwardedPort, .xForwardedProto, .xRequestID,
            .xRealIP, .xForwardedPrefix:
            return .drop
        case .authorization:
            switch sender.authorization {
            case .dropped: return .drop
            // Of two nobody could say which one a service goes by.
            case .asReceived: return sender.authorizations == 1 ? .keep : .drop
            case .filtered: break
            }
            guard hidesBearer || hidesPasswords || !hiddenSchemes.isEmpty || sender.hasIdentity else { return .keep }
            let value = bytes.extracting(line.value.range)
            for scheme in hiddenSchemes
            where value.count > scheme.count && value.extracting(0..<scheme.count).equalsIgnoringCase(scheme.span) {
                return .drop
            }
            if hidesPasswords, BasicCredential.carriesToken(value) { return .drop }
            return sender.authorizations == 1 && Credential.isForeign(value) ? .keep : .drop
        default:
            if line.id.isHopByHop { return .drop }
            return isManaged(bytes.extracting(line.name.range), from: sender.speaks) ? .drop : .keep
        }
    }

    /// Whether a trailer of this name reaches an upstream: not one that the gateway sets, and none that a proxy tells.
    package func passes(trailer name: Span<UInt8>) -> Bool { !isManaged(name, from: []) }

    /// Whether a name is, or is another spelling of, one that the gateway sets or that this sender may not send.
    private func isManaged(_ name: Span<UInt8>, from speaks: Speakers) -> Bool {
        if name.count >= forwardedPrefix.count, name[0] | 0x20 == UInt8(ascii: "x"),
            isSame(name.extracting(0..<forwardedPrefix.count), forwardedPrefix)
        {
            return !speaks.contains(.proxy) || !FieldIdentity.isUsualSpelling(name) || isListed(name, from: speaks)
        }
        return isListed(name, from: speaks)
    }

    private func isListed(_ name: Span<UInt8>, from speaks: Speakers) -> Bool {
        guard name.count < managed.count, !name.isEmpty else { return false }
        let mark = Self.mark(name)
        guard marks[mark >> 6] >> UInt64(mark & 63) & 1 != 0 else { return false }
        for candidate in managed[name.count] where isSame(name, candidate.name) {
            return speaks.isDisjoint(with: candidate.speakers) || !FieldIdentity.isUsualSpelling(name)
        }
        return false
    }

    /// Whether only a trusted proxy may send a field of this name.
    func isProxys(_ name: Span<UInt8>) -> Bool {
        isManaged(name, from: []) && !isManaged(name, from: .all)
    }

    private static let markCount = 1_024

    /// Made of its length and of some of its bytes; the same for every spelling of a name.
    private static func mark(_ name: Span<UInt8>) -> Int {
        let count = name.count
        let first = Int(FieldIdentity.fold(name[0]))
        let middle = Int(FieldIdentity.fold(name[count >> 1]))
        let last = Int(FieldIdentity.fold(name[count - 1]))
        return (first &* 33 ^ middle &* 7 ^ last &* 131 ^ count &* 61) & (markCount - 1)
    }

    private func isSame(_ name: Span<UInt8>, _ folded: [UInt8]) -> Bool {
        for index in name.indices where FieldIdentity.fold(name[index]) != folded[index] { return false }
        return true
    }

    /// Appends what an upstream may see of a query, which stands at `range` with its `?`: all but the parameters that hold a token.
    func append(query range: Range<Int>, in bytes: Span<UInt8>, to output: inout ByteQueue) {
        guard !hiddenParameters.isEmpty else { return output.append(bytes.extracting(range)) }
        var parameters = QueryParameters(target: range, in: bytes)
        var kept: [UInt8] = []
        var endsHidden = false
        while let parameter = parameters.next(in: bytes) {
            endsHidden = hiddenParameters.contains { parameter.isNamed($0, in: bytes) }
            if endsHidden { continue }
            kept.append(bytes.extracting(parameter.whole))
        }
        // What stood behind the last one that is kept is gone.
        if endsHidden, kept.last == UInt8(ascii: "&") { kept.removeLast() }
        if kept.isEmpty { return }
        output.append(UInt8(ascii: "?"))
        output.append(kept)
    }

    /// Appends what an upstream may see of a Cookie field, with the field's name; nothing if there is nothing. All but the named
    /// cookies goes on byte for byte.
    ///
    /// - Parameter kept: named cookies that the route lets pass.
    package func appendCookies(
        _ line: FieldTable.Line, in bytes: Span<UInt8>, keeping kept: [[UInt8]] = [], to output: inout ByteQueue
    ) {
        var pieces = CookiePieces(range: line.value.range)
        var isFirst = true
        while let piece = pieces.next(in: bytes) {
            if isHidden(bytes.extracting(piece.name), but: kept) { continue }
            if isFirst {
                output.append("Cookie: ")
                // A field's value does not begin with the space behind a cookie that is gone.
                output.append(bytes.extracting(bytes.trimmed(piece.whole).lowerBound..<piece.whole.upperBound))
            } else {
                output.append(0x3B)
                output.append(bytes.extracting(piece.whole))
            }
            isFirst = false
        }
        if !isFirst { output.appendLineEnd() }
    }

    /// Appends the cookies of a field to a list of them, but for those that bind clients to servers.
    func appendCookies(_ line: FieldTable.Line, in bytes: Span<UInt8>, isFirst: inout Bool, to output: inout ByteQueue) {
        var pieces = CookiePieces(range: line.value.range)
        while let piece = pieces.next(in: bytes) {
            let name = bytes.extracting(piece.name)
            if bindingCookies.contains(where: { name.equals($0) }) { continue }
            output.append(isFirst ? "Cookie: " : "; ")
            isFirst = false
            output.append(bytes.extracting(bytes.trimmed(piece.whole)))
        }
    }

    private func isHidden(_ name: Span<UInt8>, but kept: [[UInt8]]) -> Bool {
        for other in kept where name.equals(other) { return false }
        for hidden in hiddenCookies where name.equals(hidden) { return true }
        return false
    }

    /// Fields that frame a message or that the gateway sets on every request, and `Proxy`, which CGI would make into the variable that
    /// names a proxy to use.
    private static let alwaysManaged = [
        "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-forwarded-prefix", "x-real-ip", "x-request-id",
        "content-length", "transfer-encoding", "proxy-authorization", "proxy-connection", "keep-alive", "proxy",
    ]

    /// What tells a service of the client's address, or of another scheme, host or path than the request's, and is believed by
    /// some framework; besides all that begins with X-Forwarded-.
    private static let proxyFields = [
        "x-forwarded", "forwarded-for", "x-client-ip", "client-ip", "x-cluster-client-ip", "true-client-ip", "cf-connecting-ip",
        "fastly-client-ip", "x-appengine-user-ip", "x-remote-ip", "x-remote-addr", "x-originating-ip", "x-host", "x-real-host",
        "x-real-port", "x-real-proto", "x-real-scheme", "x-scheme", "x-url-scheme", "front-end-https", "x-original-url", "x-original-uri",
        "x-original-host", "x-original-method", "x-original-proto", "x-original-remote-addr", "x-original-forwarded-for",
        "x-original-prefix", "x-rewrite-url", "x-http-host-override", "x-proxyuser-ip", "x-envoy-external-address",
        "x-envoy-original-path", "x-envoy-original-host", "x-envoy-internal", "x-script-name", "x-request-uri", "x-remote-user",
    ]
}

private let authorizationName = [UInt8]("authorization".utf8)
private let forwardedPrefix = [UInt8]("x-forwarded-".utf8)
