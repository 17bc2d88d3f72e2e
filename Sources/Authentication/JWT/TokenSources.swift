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
        for place in block.all("cookie", "header", "basic_password") {
            if place.name.text == "basic_password" {
                guard place.takes(0...1, "[CLAIM]", diagnostics) else { continue }
                if placed.contains(.password) { diagnostics.error("this place stands twice", at: place.name) }
                userClaim = place.arguments.first.map { $0.text.hasPrefix("$claim.") ? String($0.text.dropFirst(7)) : $0.text }
                placed.append(.password)
                continue
            }
            guard let word = place.word("NAME", diagnostics), TokenSources.isToken(word, diagnostics) else { continue }
            let name = word.text.lowercased()
            let source: Source =
                place.name.text == "cookie" ? .cookie([UInt8](word.text)) : name == "authorization" ? .bearer : .field([UInt8](name))
            if placed.contains(source) { diagnostics.error("this place stands twice", at: word) }
            placed.append(source)
        }
        let stripped = block.all("strip_cookie").flatMap { $0.words("NAME …", diagnostics) }.map { [UInt8]($0.text) }
        let crossOrigin = CrossOriginRule(block, diagnostics)
        block.finish(later: ["query"])
        if placed.isEmpty {
            diagnostics.error("token names no place", at: directive.name, hint: "add: cookie NAME; or header Authorization;")
        }
        self.init(sources: placed, strippedCookies: stripped, userClaim: userClaim, crossOrigin: crossOrigin)
    }

    /// A field line that carries the token to where the file looks for one: a field rather than a cookie, which pages of other origins could
    /// not use.
    package func line(for token: [UInt8]) -> [UInt8] {
        for source in sources {
            switch source {
            case .bearer: return [UInt8]("Authorization: Bearer ") + token + [0x0D, 0x0A]
            case .field(let name): return name + [0x3A, 0x20] + token + [0x0D, 0x0A]
            case .cookie, .password: continue
            }
        }
        for case .cookie(let name) in sources { return [UInt8]("Cookie: ") + name + [0x3D] + token + [0x0D, 0x0A] }
        return [UInt8]("Authorization: Basic ") + [UInt8](Base64.encode([UInt8]("token:") + token)) + [0x0D, 0x0A]
    }

    /// Whether a browser sends a token from one of the places by itself.
    package var takesAmbient: Bool {
        sources.contains { source in
            switch source {
            case .cookie, .password: true
            case .bearer, .field: false
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
            case .bearer: if let found = try bearer(head) { return .one(found, .field) }
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

    private func bearer(_ head: borrowing RequestHead) throws(CredentialError) -> Range<Int>? {
        var found: Range<Int>?
        for line in head.fields.lines where line.id == .authorization {
            guard let token = Self.bearerToken(line.value.range, head.bytes) else { continue }
            if let found, !head.bytes.extracting(found).equals(head.bytes.extracting(token)) { throw .ambiguous }
            found = token
        }
        return found
    }

    /// What follows the scheme in `Bearer token` (RFC 6750 §2.1); nil for another scheme.
    package static func bearerToken(_ value: Range<Int>, _ bytes: Span<UInt8>) -> Range<Int>? {
        guard value.count > 7, bytes.extracting(value.lowerBound..<value.lowerBound + 6).equalsIgnoringCase("bearer"),
            bytes[value.lowerBound + 6] == 0x20 || bytes[value.lowerBound + 6] == 0x09
        else { return nil }
        return bytes.trimmed((value.lowerBound + 7)..<value.upperBound)
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
