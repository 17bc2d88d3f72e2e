import Authentication
import Bytes
package import ConfigFile
import HTTPMessage
import Routing

/// What a route does to a request on its way to the upstream.
package struct ForwardingRule: Sendable {
    package struct Header: Hashable, Sendable {
        package let name: String
        package let value: Template
    }

    package enum Host: Equatable, Sendable {
        case keep
        case set(String)
    }

    /// Index of the upstream.
    package let upstream: Int
    /// Headers that the token alone decides, rendered once for each token under this index.
    package let identityHeaders: [Header]
    package let identityHeadersIndex: Int
    /// Headers that are rendered for each request.
    package let requestHeaders: [Header]
    package let host: Host
    package let forwardsToken: Bool
    /// What is cut from the front of the path, as segments, and what is put there.
    package let strippedSegments: Int
    package let addedPrefix: [UInt8]

    package init(
        upstream: Int, headers: [Header] = [], identityHeadersIndex: Int = 0, host: Host = .keep, forwardsToken: Bool = false,
        strippedSegments: Int = 0, addedPrefix: [UInt8] = []
    ) {
        self.upstream = upstream
        identityHeaders = headers.filter { $0.value.dependsOnIdentityAlone }
        requestHeaders = headers.filter { !$0.value.dependsOnIdentityAlone }
        self.identityHeadersIndex = identityHeadersIndex
        self.host = host
        self.forwardsToken = forwardsToken
        self.strippedSegments = strippedSegments
        self.addedPrefix = addedPrefix
    }

    /// The header lines that the token decides; from the token's own store after the first time.
    func identityLines(_ verified: VerifiedToken?) -> RenderedLines {
        if identityHeaders.isEmpty { return .lines([]) }
        if let verified, let rendered = verified.renderedLines[identityHeadersIndex] { return rendered }
        var lines: [UInt8] = []
        var result: RenderedLines?
        for header in identityHeaders {
            var value: [UInt8] = []
            var isPresent = true
            for part in header.value.parts {
                switch part {
                case .text(let text): value.append(text)
                case .variable(.claim(let name)):
                    guard let texts = verified?.claims.texts(name) else {
                        isPresent = false
                        continue
                    }
                    // A comma in an element of a list would make two of it.
                    if texts.count > 1, texts.contains(where: { $0.utf8.contains(0x2C) }) { result = .unusable(header: header.name) }
                    value.append(texts.joined(separator: ","))
                case .variable: isPresent = false
                }
            }
            // A claim that is not there sets nothing; the client's own header is removed all the same.
            guard isPresent else { continue }
            if !HeaderValue.isUsable(value.span) { result = .unusable(header: header.name) }
            HeaderLine.append(header.name, value.span, to: &lines)
        }
        let rendered = result ?? .lines(lines)
        verified?.renderedLines[identityHeadersIndex] = rendered
        return rendered
    }
}

enum HeaderLine {
    static func append(_ name: String, _ value: Span<UInt8>, to output: inout [UInt8]) {
        output.append(name)
        output.append(0x3A)
        output.append(0x20)
        output.append(value)
        output.append(0x0D)
        output.append(0x0A)
    }
}

enum HeaderValue {
    /// Whether a value arrives as it is sent: no control characters, and no white space at its ends, which receivers cut
    /// off (RFC 9110 §5.5): `" admin"` must not become `admin`.
    static func isUsable(_ value: Span<UInt8>) -> Bool {
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
        package let strippedSegments: Int
        package let addedPrefix: [UInt8]

        /// - Parameter segments: the literal segments that the route's path begins with.
        package init(_ block: Block, leadingLiterals segments: [String]) {
            let diagnostics = block.diagnostics
            var names: Set<String> = []
            headers = block.all("set_header").compactMap { directive in
                guard directive.takes(2...2, "NAME VALUE", diagnostics) else { return nil }
                let name = directive.arguments[0]
                guard !name.text.isEmpty, name.text.utf8.allSatisfy(ASCII.isToken) else {
                    diagnostics.error("'\(name.text)' is not a field name", at: name)
                    return nil
                }
                guard !ForwardingRule.reservedHeaders.contains(name.text.lowercased()) else {
                    diagnostics.error("the gateway itself sets or strips \(name.text)", at: name, hint: "choose another name")
                    return nil
                }
                if !names.insert(name.text.lowercased()).inserted { diagnostics.error("\(name.text) is set twice in this route", at: name) }
                return Template(directive.arguments[1], diagnostics).map { Header(name: name.text, value: $0) }
            }
            switch block.one("forward_host").flatMap({ $0.word("keep or NAME", diagnostics) }) {
            case .some(let word) where word.text != "keep":
                if !word.text.utf8.allSatisfy(ASCII.isAuthorityCharacter) || word.text.isEmpty {
                    diagnostics.error("'\(word.text)' is not a host", at: word)
                }
                host = .set(word.text)
            default: host = .keep
            }
            forwardsToken = block.one("forward_token")?.choice(["bearer": true], diagnostics) ?? false
            let strip = block.one("strip_prefix").flatMap { directive in
                directive.word("/PREFIX", diagnostics).flatMap { PathPrefix($0, diagnostics) }
            }
            if let strip, Array(segments.prefix(strip.segments.count)) != strip.segments {
                diagnostics.error("the route's path does not begin with this prefix", at: strip.word)
            }
            strippedSegments = strip?.segments.count ?? 0
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
                    .contentLength, .host, .cookie, .expect, .trailer, .xForwardedFor, .xForwardedHost, .xForwardedProto, .forwarded,
                    .xRequestID,
                ]
                .contains(name)
        }.map(\.text))
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
        self.word = word
        segments = target.segments.map { target.pathSpan.extracting($0.range).text }
    }
}
