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
    }

    package let sources: [Source]
    /// Names of cookies that never reach an upstream: those of the sources, and those named by `strip_cookie`.
    package let hiddenCookies: [[UInt8]]

    package init(sources: [Source], strippedCookies: [[UInt8]] = []) {
        self.sources = sources
        hiddenCookies =
            sources.compactMap { source in
                if case .cookie(let name) = source { name } else { nil }
            } + strippedCookies
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
        for place in block.all("cookie", "header") {
            guard let word = place.word("NAME", diagnostics), TokenSources.isToken(word, diagnostics) else { continue }
            let name = word.text.lowercased()
            let source: Source =
                place.name.text == "cookie" ? .cookie([UInt8](word.text)) : name == "authorization" ? .bearer : .field([UInt8](name))
            if placed.contains(source) { diagnostics.error("this place stands twice", at: word) }
            placed.append(source)
        }
        let stripped = block.all("strip_cookie").flatMap { $0.words("NAME …", diagnostics) }.map { [UInt8]($0.text) }
        block.finish(later: ["query"])
        if placed.isEmpty {
            diagnostics.error("token names no place", at: directive.name, hint: "add: cookie NAME; or header Authorization;")
        }
        self.init(sources: placed, strippedCookies: stripped)
    }

    /// The token of a request, as a range of the head's bytes; nil when there is none.
    ///
    /// - Throws: `ambiguous` when the deciding place holds two different tokens.
    package func find(_ head: borrowing RequestHead) throws(TokenError) -> Range<Int>? {
        for source in sources {
            let found: Range<Int>?
            switch source {
            case .cookie(let name): found = try cookie(name, head)
            case .bearer: found = try bearer(head)
            case .field(let name): found = try field(name, head)
            }
            if let found { return found }
        }
        return nil
    }

    private func cookie(_ name: [UInt8], _ head: borrowing RequestHead) throws(TokenError) -> Range<Int>? {
        var found: Range<Int>?
        for line in head.fields.lines where line.id == .cookie {
            var reader = CookieReader(range: line.value.range)
            while let pair = reader.next(in: head.bytes) {
                guard !pair.value.isEmpty, head.bytes.extracting(pair.name).equals(name) else { continue }
                if let found, !head.bytes.extracting(found).equals(head.bytes.extracting(pair.value)) { throw .ambiguous }
                found = pair.value
            }
        }
        return found
    }

    private func bearer(_ head: borrowing RequestHead) throws(TokenError) -> Range<Int>? {
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

    private func field(_ name: [UInt8], _ head: borrowing RequestHead) throws(TokenError) -> Range<Int>? {
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
