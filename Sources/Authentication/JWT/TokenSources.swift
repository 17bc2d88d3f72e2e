import Bytes
package import ConfigFile
package import HTTPMessage

/// Where a token may be, in the file's order; the first place that has one decides.
package struct TokenSources: Sendable {
    package enum Source: Equatable, Sendable {
        case cookie([UInt8])
        /// `Authorization: Bearer …`; another scheme is not a token.
        case bearer
        /// A field whose whole value is the token; its name in lower case.
        case field([UInt8])
        /// `Authorization: SCHEME …`, another scheme than Bearer; in lower case.
        case scheme([UInt8])
        /// A parameter of the query, for what can send no field: a WebSocket of a browser, a link.
        case query(String)
        /// The password of `Authorization: Basic …`, for clients that speak nothing else.
        case password
    }

    /// What a request brings.
    package enum Found: Equatable {
        case none
        case one(Range<Int>, CredentialKind)
        /// Different values of one cookie's name.
        case cookies([Range<Int>])
        case password([UInt8], user: [UInt8])
    }

    package let sources: [Source]
    /// The claim that the user's name of Basic must equal; nil for any name.
    package let userClaim: String?
    package let crossOrigin: CrossOriginRule
    /// All of them, and the cookies that `strip_cookie` names.
    package let places: CredentialPlaces

    package init(
        sources: [Source], strippedCookies: [[UInt8]] = [], userClaim: String? = nil, crossOrigin: CrossOriginRule = CrossOriginRule()
    ) {
        self.sources = sources
        self.userClaim = userClaim
        self.crossOrigin = crossOrigin
        var places = CredentialPlaces()
        for source in sources {
            switch source {
            case .cookie(let name): places.cookies.append(name)
            case .bearer: places.schemes.append(.bearer)
            case .field(let name): places.fields.append(name)
            case .scheme(let name): places.schemes.append(.other(name))
            case .query(let name): places.parameters.append(name)
            case .password: places.schemes.append(.basic)
            }
        }
        places.cookies += strippedCookies
        self.places = places
    }

    /// Reads `token { … }`. Without the block tokens come in the Authorization field alone.
    package init(_ directive: Directive?, _ diagnostics: Diagnostics) {
        guard let directive else {
            self.init(sources: [.bearer])
            return
        }
        let block = Block(of: directive, title: "token", diagnostics)
        _ = directive.hasArguments(0...0, "{ … }", diagnostics)
        var placed: [Source] = []
        var userClaim: String?
        for place in block.all("cookie", "header", "query", "basic_password") {
            if place.name.text == "basic_password" {
                guard place.takes(0...1, "[CLAIM]", diagnostics) else { continue }
                if placed.contains(.password) { diagnostics.error("this place stands twice", at: place.name) }
                userClaim = place.arguments.first.map { $0.text.hasPrefix("$claim.") ? String($0.text.dropFirst(7)) : $0.text }
                placed.append(.password)
                continue
            }
            guard let (word, source) = Self.source(place, diagnostics) else { continue }
            if placed.contains(source) { diagnostics.error("this place stands twice", at: word) }
            placed.append(source)
        }
        let stripped = block.all("strip_cookie").flatMap { $0.words("NAME …", diagnostics) }.map { [UInt8]($0.text) }
        let crossOrigin = CrossOriginRule(block, diagnostics)
        block.finish()
        if placed.isEmpty {
            diagnostics.error("token names no place", at: directive.name, hint: "add: cookie NAME; or header Authorization;")
        }
        self.init(sources: placed, strippedCookies: stripped, userClaim: userClaim, crossOrigin: crossOrigin)
    }

    /// Reads `cookie NAME;`, `query NAME;` or `header NAME [scheme WORD];`.
    private static func source(_ place: Directive, _ diagnostics: Diagnostics) -> (Word, Source)? {
        let isHeader = place.name.text == "header"
        guard place.takes(1...(isHeader ? 3 : 1), isHeader ? "NAME [scheme WORD]" : "NAME", diagnostics) else { return nil }
        let word = place.arguments[0]
        guard isToken(word, diagnostics) else { return nil }
        switch place.name.text {
        case "cookie": return (word, .cookie([UInt8](word.text)))
        case "query": return (word, .query(word.text))
        default: break
        }
        let name = word.text.lowercased()
        guard place.arguments.count > 1 else { return (word, name == "authorization" ? .bearer : .field([UInt8](name))) }
        guard name == "authorization", place.arguments.count == 3, place.arguments[1].text == "scheme",
            isToken(place.arguments[2], diagnostics)
        else {
            diagnostics.error(
                "this place is not understood", at: place.position, hint: "write header NAME; or header Authorization scheme WORD;")
            return nil
        }
        let scheme = place.arguments[2].text.lowercased()
        if scheme == "basic" {
            diagnostics.error("the password of Basic is another place", at: place.arguments[2], hint: "write basic_password;")
            return nil
        }
        return (place.arguments[2], scheme == "bearer" ? .bearer : .scheme([UInt8](scheme)))
    }

    /// A field line that carries the token to where the file looks for one: a field rather than a cookie, which pages of other origins could
    /// not use.
    ///
    /// - Returns: nil where the query is the only place; see ``parameter(for:)``.
    package func line(for token: [UInt8]) -> [UInt8]? {
        for source in sources {
            switch source {
            case .bearer: return [UInt8]("Authorization: Bearer ") + token + [0x0D, 0x0A]
            case .field(let name): return name + [0x3A, 0x20] + token + [0x0D, 0x0A]
            case .scheme(let name): return [UInt8]("Authorization: ") + name + [0x20] + token + [0x0D, 0x0A]
            case .cookie, .password, .query: continue
            }
        }
        for case .cookie(let name) in sources { return [UInt8]("Cookie: ") + name + [0x3D] + token + [0x0D, 0x0A] }
        if !sources.contains(.password) { return nil }
        return [UInt8]("Authorization: Basic ") + [UInt8](Base64.encode([UInt8]("token:") + token)) + [0x0D, 0x0A]
    }

    /// The parameter of a query that carries the token.
    package func parameter(for token: [UInt8]) -> String {
        for case .query(let name) in sources { return name + "=" + String(decoding: token, as: UTF8.self) }
        return ""
    }

    /// Whether a browser sends a token from one of the places by itself.
    package var takesAmbient: Bool {
        sources.contains { source in
            switch source {
            case .cookie, .password: true
            case .bearer, .field, .scheme, .query: false
            }
        }
    }

    /// The token of a request, or what may be one, in the first place that has any.
    ///
    /// - Throws: `ambiguous` when the deciding place holds two different tokens, `malformed` when it holds nonsense.
    package func find(_ head: borrowing RequestHead) throws(CredentialError) -> Found {
        for source in sources {
            switch source {
            case .cookie(let name):
                let found = cookies(name, head)
                if found.count == 1 { return .one(found[0], .cookie) }
                guard found.count <= Limits.tokenCookiesMax else { throw .ambiguous }
                if found.count > 1 { return .cookies(found) }
            case .bearer: if let found = try credential(of: bearerScheme, head) { return .one(found, .field) }
            case .scheme(let name): if let found = try credential(of: name, head) { return .one(found, .field) }
            case .query(let name): if let found = try parameter(name, head) { return .one(found, .field) }
            case .field(let name): if let found = try field(name, head) { return .one(found, .field) }
            case .password: if let found = try password(head) { return found }
            }
        }
        return .none
    }

    /// The different values of the cookies of this name.
    private func cookies(_ name: [UInt8], _ head: borrowing RequestHead) -> [Range<Int>] {
        guard head.fields.has(.cookie) else { return [] }
        var found: [Range<Int>] = []
        for line in head.fields.lines where line.id == .cookie {
            var reader = CookieReader(range: line.value.range)
            while let pair = reader.next(in: head.bytes) {
                guard !pair.value.isEmpty, head.bytes.extracting(pair.name).equals(name) else { continue }
                let value = head.bytes.extracting(pair.value)
                var isKnown = false
                for other in found where head.bytes.extracting(other).equals(value) { isKnown = true }
                if !isKnown, found.count <= Limits.tokenCookiesMax { found.append(pair.value) }
            }
        }
        return found
    }

    /// User and password of Basic (RFC 7617 §2), where exactly one such field is there.
    private func password(_ head: borrowing RequestHead) throws(CredentialError) -> Found? {
        var found: Found?
        for line in head.fields.lines where line.id == .authorization {
            guard let (user, password) = BasicCredential.read(head.bytes.extracting(line.value.range)), !password.isEmpty else { continue }
            let next = Found.password(password, user: user)
            if let found, found != next { throw .ambiguous }
            found = next
        }
        return found
    }

    /// What follows a scheme of Authorization, where exactly one such field is there.
    private func credential(of scheme: [UInt8], _ head: borrowing RequestHead) throws(CredentialError) -> Range<Int>? {
        var found: Range<Int>?
        for line in head.fields.lines where line.id == .authorization {
            guard let token = Self.credential(line.value.range, of: scheme, head.bytes) else { continue }
            if let found, !head.bytes.extracting(found).equals(head.bytes.extracting(token)) { throw .ambiguous }
            found = token
        }
        return found
    }

    /// What follows the scheme in `Bearer token` (RFC 6750 §2.1); nil for another scheme.
    package static func bearerToken(_ value: Range<Int>, _ bytes: Span<UInt8>) -> Range<Int>? {
        credential(value, of: bearerScheme, bytes)
    }

    private static func credential(_ value: Range<Int>, of scheme: [UInt8], _ bytes: Span<UInt8>) -> Range<Int>? {
        let end = value.lowerBound + scheme.count
        guard end + 1 < value.upperBound, bytes.extracting(value.lowerBound..<end).equalsIgnoringCase(scheme.span),
            bytes[end] == 0x20 || bytes[end] == 0x09
        else { return nil }
        return bytes.trimmed((end + 1)..<value.upperBound)
    }

    /// A parameter of the query (RFC 6750 §2.3). A token has no byte that is percent-encoded.
    private func parameter(_ name: String, _ head: borrowing RequestHead) throws(CredentialError) -> Range<Int>? {
        var found: Range<Int>?
        var parameters = QueryParameters(target: head.targetRange.range, in: head.bytes)
        while let parameter = parameters.next(in: head.bytes) {
            guard !parameter.value.isEmpty, parameter.isNamed(name, in: head.bytes) else { continue }
            if let found, !head.bytes.extracting(found).equals(head.bytes.extracting(parameter.value)) { throw .ambiguous }
            found = parameter.value
        }
        return found
    }

    private func field(_ name: [UInt8], _ head: borrowing RequestHead) throws(CredentialError) -> Range<Int>? {
        var found: Range<Int>?
        for line in head.fields.lines where head.bytes.extracting(line.name.range).equalsIgnoringCase(name.span) {
            guard !line.value.isEmpty else { continue }
            if let found, !head.bytes.extracting(found).equals(head.bytes.extracting(line.value.range)) { throw .ambiguous }
            found = line.value.range
        }
        return found
    }

    private static func isToken(_ word: Word, _ diagnostics: Diagnostics) -> Bool {
        let valid = !word.text.isEmpty && word.text.utf8.allSatisfy(ASCII.isToken)
        if !valid { diagnostics.error("'\(word.text)' is not a name of a field or cookie", at: word) }
        return valid
    }
}

private let bearerScheme = [UInt8]("bearer".utf8)
