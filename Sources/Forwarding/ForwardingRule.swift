package import Authentication
import Bytes
package import ConfigFile
import HTTPMessage
package import Routing

/// What a route does to a request on its way to the upstream.
package final class ForwardingRule: Sendable {
    package struct Header: Hashable, Sendable {
        package let name: String
        package let value: Template
        package let form: ValueForm

        package init(name: String, value: Template, form: ValueForm = .joined(",")) {
            self.name = name
            self.value = value
            self.form = form
        }
    }

    /// How the values of a claim stand in a field.
    package enum ValueForm: Hashable, Sendable {
        /// The elements of an array with this text between them; an element that holds it cannot be told apart, and is refused.
        case joined(String)
        /// An array as JSON, in ASCII.
        case json
        /// Every byte that is no letter, digit, `-`, `.`, `_` or `~` percent-encoded; elements of an array with commas between them.
        case percent
    }

    package enum Host: Equatable, Sendable {
        case keep
        case set(String)
    }

    package let route: RouteID
    package let upstream: UpstreamID
    /// Headers that the token alone decides, rendered once for each token under this index.
    package let identityHeaders: [Header]
    package let identityHeadersIndex: Int
    /// Headers that are rendered for each request.
    package let requestHeaders: [Header]
    package let host: Host
    package let forwardsToken: Bool
    /// Whether the client's own Authorization goes on as it came, where no token let the request in.
    package let passesAuthorization: Bool
    /// Names of the client's fields that do not go on, folded (``FieldIdentity``).
    package let removedHeaders: [[UInt8]]
    /// Cookies that go on, though they may hold a token.
    package let keptCookies: [[UInt8]]
    private let setsAuthorization: Bool
    /// What is cut from the front of the path, as segments, and what is put there.
    package let strippedSegments: Int
    package let addedPrefix: [UInt8]
    /// The segments that are cut off, as a path.
    package let strippedPrefix: [UInt8]
    /// Whether the upstream's redirects are made to lead where the client has to go.
    package let rewritesRedirects: Bool
    /// What holds in place of the upstream's own times.
    package let timeouts: RouteTimeouts
    package var changesPath: Bool { strippedSegments > 0 || !addedPrefix.isEmpty }

    package init(
        route: RouteID = RouteID(0), upstream: UpstreamID, headers: [Header] = [], identityHeadersIndex: Int = 0, host: Host = .keep,
        forwardsToken: Bool = false, passesAuthorization: Bool = false, removedHeaders: [[UInt8]] = [], keptCookies: [[UInt8]] = [],
        strippedSegments: Int = 0, addedPrefix: [UInt8] = [], strippedPrefix: [UInt8] = [], rewritesRedirects: Bool = true,
        timeouts: RouteTimeouts = RouteTimeouts()
    ) {
        self.route = route
        self.upstream = upstream
        identityHeaders = headers.filter { $0.value.dependsOnIdentityAlone }
        requestHeaders = headers.filter { !$0.value.dependsOnIdentityAlone }
        self.identityHeadersIndex = identityHeadersIndex
        self.host = host
        self.forwardsToken = forwardsToken
        self.passesAuthorization = passesAuthorization
        self.removedHeaders = removedHeaders
        self.keptCookies = keptCookies
        setsAuthorization = forwardsToken || headers.contains { $0.name.lowercased() == FieldName.authorization.text }
        self.strippedSegments = strippedSegments
        self.addedPrefix = addedPrefix
        self.strippedPrefix = strippedPrefix
        self.rewritesRedirects = rewritesRedirects
        self.timeouts = timeouts
    }

    var removesFields: Bool { !removedHeaders.isEmpty }
    var keepsAny: Bool { !keptCookies.isEmpty }

    /// Whether a field or a trailer of the client's does not go on, under any spelling of its name.
    package func removes(_ name: Span<UInt8>) -> Bool {
        if removedHeaders.isEmpty { return false }
        let folded = FieldIdentity.fold(name)
        return removedHeaders.contains(folded)
    }

    /// What becomes of the client's own Authorization.
    func authorization(_ identity: Identity?) -> FieldFilter.Authorization {
        if setsAuthorization { return .dropped }
        // The password let the request in: it is for nobody behind.
        if case .password = identity?.principal.credential { return .dropped }
        guard passesAuthorization else { return .filtered }
        switch identity?.principal.credential {
        case .issuer: return .filtered
        case .authorizer, .network, .password, nil: return .asReceived
        }
    }

    /// All fields that the route sets on what it forwards, so that nobody else may.
    package var headerNames: [String] {
        (identityHeaders + requestHeaders).map(\.name) + (forwardsToken ? [FieldName.authorization.text] : [])
    }

    /// The fields that the route sets on one request.
    ///
    /// - Throws: when a value cannot stand where the route wants it.
    func lines(_ identity: Identity?, in context: RequestContext) throws(ForwardingError) -> [UInt8] {
        var lines: [UInt8]
        switch identityLines(identity?.principal) {
        case .lines(let made): lines = made
        case .unusable(let header): throw .headerUnusable(header)
        }
        do throws(UnusableValue) {
            for header in requestHeaders { try header.append(identity?.principal, context, to: &lines) }
        } catch {
            throw .headerUnusable(error.header)
        }
        return lines
    }

    /// The same with the token that goes on, for a proxy that sends them to the service itself.
    package func decisionLines(_ identity: Identity?, in context: RequestContext) throws(ForwardingError) -> [UInt8] {
        var lines = try lines(identity, in: context)
        if forwardsToken, let token = identity?.principal.token {
            lines.append("Authorization: Bearer ")
            lines += token
            lines.append("\r\n")
        }
        return lines
    }

    /// The header lines that the token decides; from the token's own store after the first time.
    func identityLines(_ principal: Principal?) -> RenderedLines {
        if identityHeaders.isEmpty { return .lines([]) }
        if let principal, let rendered = principal.lines(identityHeadersIndex) { return rendered }
        let rendered: RenderedLines
        do {
            var lines: [UInt8] = []
            for header in identityHeaders { try header.append(principal, nil, to: &lines) }
            rendered = .lines(lines)
        } catch {
            rendered = .unusable(header: error.header)
        }
        principal?.keep(rendered, at: identityHeadersIndex)
        return rendered
    }
}

/// A value that a route wants to put into this header cannot stand in one.
struct UnusableValue: Error {
    let header: String
}

extension ForwardingRule.Header {
    /// Appends the field line, or nothing when a variable of it has no value; the client's own header is removed all the same.
    ///
    /// - Parameter context: nil for a value that the token alone decides.
    func append(_ principal: Principal?, _ context: RequestContext?, to lines: inout [UInt8]) throws(UnusableValue) {
        var bytes: [UInt8] = []
        for part in value.parts {
            switch part {
            case .text(let text): bytes.append(text)
            case .variable(.claim(let claim)):
                guard let claims = principal?.claims, let texts = claims.texts(claim) else { return }
                try append(texts, isArray: claims.isArray(claim), to: &bytes)
            case .variable(.tokenPayload):
                // The part between the two dots (RFC 7515 §3.1).
                let parts = principal?.token?.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
                guard let parts, parts.count == 3 else { return }
                bytes += parts[1]
            case .variable(let variable):
                guard let found = context?.value(of: variable) else { return }
                bytes += found
            }
        }
        guard Self.isUsable(bytes.span) else { throw UnusableValue(header: name) }
        lines.append(name)
        lines.append(": ")
        lines += bytes
        lines.append("\r\n")
    }

    /// Appends a claim's values in the form that the route says.
    private func append(_ texts: [String], isArray: Bool, to bytes: inout [UInt8]) throws(UnusableValue) {
        switch form {
        case .joined(let separator):
            // In an element of a list the separator would make two of it, also where there is no other.
            if isArray, texts.contains(where: { $0.contains(separator) }) { throw UnusableValue(header: name) }
            bytes.append(texts.joined(separator: separator))
        case .json where isArray:
            bytes.append(0x5B)
            for (index, text) in texts.enumerated() {
                if index > 0 { bytes.append(0x2C) }
                Self.appendJSON(text, to: &bytes)
            }
            bytes.append(0x5D)
        case .json: for text in texts { bytes.append(text) }
        case .percent:
            for (index, text) in texts.enumerated() {
                if index > 0 { bytes.append(0x2C) }
                for byte in text.utf8 { bytes.append(percentEncoded: byte) }
            }
        }
    }

    /// Appends a JSON string, with all that is not printable ASCII escaped (RFC 8259 §7).
    private static func appendJSON(_ text: String, to bytes: inout [UInt8]) {
        bytes.append(0x22)
        for unit in text.utf16 {
            switch unit {
            case 0x22, 0x5C:
                bytes.append(0x5C)
                bytes.append(UInt8(truncatingIfNeeded: unit))
            case 0x20..<0x7F: bytes.append(UInt8(truncatingIfNeeded: unit))
            default:
                bytes.append("\\u")
                bytes.append(hexadecimal: UInt64(unit), digits: 4)
            }
        }
        bytes.append(0x22)
    }

    /// Whether a value arrives as it is sent: no control characters, and no white space at its ends, which receivers cut
    /// off (RFC 9110 §5.5): `" admin"` must not become `admin`.
    private static func isUsable(_ value: Span<UInt8>) -> Bool {
        for index in value.indices where !ASCII.isFieldValue(value[index]) || value[index] == 0x09 { return false }
        return value.isEmpty || value[0] != 0x20 && value[value.count - 1] != 0x20
    }
}

extension ForwardingRule {
    /// The directives of a route that are about forwarding.
    package struct Directives {
        package let headers: [Header]
        package let host: Host
        package let forwardsToken: Bool
        package let passesAuthorization: Bool
        package let removedHeaders: [[UInt8]]
        package let keptCookies: [[UInt8]]
        package let strippedSegments: Int
        package let addedPrefix: [UInt8]
        package let strippedPrefix: [UInt8]
        package let rewritesRedirects: Bool
        package let timeouts: RouteTimeouts

        /// - Parameter segments: the literal segments that the route's path begins with.
        package init(_ block: Block, leadingLiterals segments: [String]) {
            let diagnostics = block.diagnostics
            var names: Set<String> = []
            headers = block.all("set_header").compactMap { directive in
                guard directive.takes(2...4, "NAME VALUE [separator TEXT|json|percent]", diagnostics) else { return nil }
                guard let form = ValueForm(directive, diagnostics) else { return nil }
                let name = directive.arguments[0]
                guard !name.text.isEmpty, name.text.utf8.allSatisfy(ASCII.isToken) else {
                    diagnostics.error("'\(name.text)' is not a field name", at: name)
                    return nil
                }
                let identity = String(decoding: FieldIdentity.fold(name.text), as: UTF8.self)
                guard !ForwardingRule.reservedHeaders.contains(identity) else {
                    diagnostics.error("the gateway itself sets or strips \(name.text)", at: name, hint: "choose another name")
                    return nil
                }
                if !names.insert(identity).inserted { diagnostics.error("\(name.text) is set twice in this route", at: name) }
                return Template(directive.arguments[1], isForUpstream: true, diagnostics).map {
                    Header(name: name.text, value: $0, form: form)
                }
            }
            switch block.one("forward_host").flatMap({ $0.word("keep or NAME", diagnostics) }) {
            case .some(let word) where word.text != "keep":
                let bytes = [UInt8](word.text)
                if Authority(bytes.span) == nil { diagnostics.error("'\(word.text)' is not a host", at: word) }
                host = .set(word.text)
            default: host = .keep
            }
            let forwarded = block.one("forward_token")?.choice(["bearer": true, "as_received": false], diagnostics)
            forwardsToken = forwarded ?? false
            passesAuthorization = forwarded == false
            removedHeaders = block.all("remove_header").flatMap { $0.words("NAME …", diagnostics) }.map { word in
                let identity = String(decoding: FieldIdentity.fold(word.text), as: UTF8.self)
                if !word.text.utf8.allSatisfy(ASCII.isToken) || word.text.isEmpty {
                    diagnostics.error("'\(word.text)' is not a field name", at: word)
                } else if ForwardingRule.reservedHeaders.contains(identity), identity != FieldName.cookie.text {
                    diagnostics.error("the gateway itself sets or strips \(word.text)", at: word, hint: "remove this line")
                }
                return FieldIdentity.fold(word.text)
            }
            keptCookies = block.all("keep_cookie").flatMap { $0.words("NAME …", diagnostics) }.map { [UInt8]($0.text.utf8) }
            let strip = block.one("strip_prefix").flatMap { directive in
                directive.word("/PREFIX", diagnostics).flatMap { PathPrefix($0, diagnostics) }
            }
            if let strip, Array(segments.prefix(strip.segments.count)) != strip.segments {
                diagnostics.error("the route's path does not begin with this prefix", at: strip.word)
            }
            strippedSegments = strip?.segments.count ?? 0
            strippedPrefix = strip?.segments.flatMap { [0x2F] + Array($0.utf8) } ?? []
            rewritesRedirects = block.one("rewrite_redirects")?.choice(["on": true, "off": false], diagnostics) ?? true
            timeouts = RouteTimeouts(block, diagnostics)
            let add = block.one("add_prefix").flatMap { directive in
                directive.word("/PREFIX", diagnostics).flatMap { PathPrefix($0, diagnostics) }
            }
            addedPrefix = add?.segments.flatMap { [0x2F] + Array($0.utf8) } ?? []
        }
    }

    private static let reservedHeaders: Set<String> = Set(
        FieldName.allCases.filter { name in
            name.isHopByHop
                || [
                    .contentLength, .host, .cookie, .expect, .trailer, .xForwardedFor, .xForwardedHost, .xForwardedPort, .xForwardedPrefix,
                    .xForwardedProto, .forwarded, .xRequestID,
                ]
                .contains(name)
        }.map(\.text))
}

extension ForwardingRule.ValueForm {
    /// Reads what follows the value of `set_header`.
    fileprivate init?(_ directive: Directive, _ diagnostics: Diagnostics) {
        let words = directive.arguments.dropFirst(2)
        switch words.map(\.text) {
        case []: self = .joined(",")
        case ["json"]: self = .json
        case ["percent"]: self = .percent
        case let given
        where given.count == 2 && given[0] == "separator" && !given[1].isEmpty
            && given[1].utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7F }):
            self = .joined(given[1])
        default:
            diagnostics.error(
                "the form of this value is not understood", at: words.first?.position ?? directive.position,
                hint: "write separator TEXT, json or percent")
            return nil
        }
    }
}

/// A path prefix in normal form.
private struct PathPrefix {
    let word: Word
    let segments: [String]

    init?(_ word: Word, _ diagnostics: Diagnostics) {
        let path = [UInt8](word.text)
        var target = RequestTarget()
        do {
            try target.normalize(0..<path.count, of: path.span)
        } catch {
            diagnostics.error("this is not a path prefix: \(error.explanation)", at: word, hint: "write it as /part or /part/part")
            return nil
        }
        guard target.doubts.isEmpty else {
            diagnostics.error("programs read this path in several ways", at: word, hint: "write it as /part or /part/part")
            return nil
        }
        self.word = word
        segments = target.segments.map { target.pathSpan.extracting($0.range).text }
    }
}
