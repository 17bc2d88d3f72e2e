import Bytes
package import ConfigFile
import HTTPMessage

extension ResponseFields {
    package static let directives = [
        "add_response_header", "set_response_header", "remove_response_header", "hsts", "security_headers",
    ]

    /// Reads the directives of a block; nil where it has none.
    ///
    /// - Parameter ownsCORS: whether the route says itself which pages may read its responses.
    package convenience init?(_ block: Block, ownsCORS: Bool) {
        let diagnostics = block.diagnostics
        var fields: [Field] = []
        func read(_ directive: Directive, _ action: Action) {
            guard directive.takes(2...3, "NAME VALUE [always]", diagnostics) else { return }
            let words = directive.arguments
            guard words.count == 2 || words[2].text == "always" else {
                return diagnostics.error("'\(words[2].text)' is not understood here", at: words[2], hint: "write NAME VALUE [always];")
            }
            guard Self.isName(words[0], ownsCORS, diagnostics), let value = Template(words[1], diagnostics) else { return }
            if value.parts.contains(where: { if case .text(let text) = $0 { !text.utf8.allSatisfy(ASCII.isFieldValue) } else { false } }) {
                return diagnostics.error("a field holds no control characters", at: words[1])
            }
            if action == .set, let other = fields.first(where: { $0.action == .set && $0.name.lowercased() == words[0].text.lowercased() })
            {
                diagnostics.error("\(other.name) is set twice", at: words[0])
            }
            fields.append(Field(words[0].text, value, action, isAlways: words.count == 3))
        }
        for directive in block.all("set_response_header") { read(directive, .set) }
        for directive in block.all("add_response_header") { read(directive, .add) }
        var removed: [String] = []
        for word in block.all("remove_response_header").flatMap({ $0.words("NAME …", diagnostics) })
        where Self.isName(word, ownsCORS, diagnostics) {
            removed.append(word.text.lowercased())
        }
        if let directive = block.one("hsts"), let value = Self.hsts(directive, diagnostics) {
            fields.append(
                Field("Strict-Transport-Security", Template(parts: [.text(value)]), .set, isAlways: true, needsTLS: true))
        }
        if let directive = block.one("security_headers"), directive.takes(0...0, "without arguments", diagnostics) {
            for (name, value) in Self.security {
                fields.append(Field(name, Template(parts: [.text(value)]), .complete, isAlways: true))
            }
        }
        if fields.isEmpty, removed.isEmpty { return nil }
        if fields.count > 64 { diagnostics.error("a route says at most 64 fields of its own", at: block.opening?.name.position) }
        self.init(fields: fields, removed: removed)
    }

    /// What a page may do with its own responses without harm; OWASP's list of secure headers, but for those that need to know the pages.
    private static let security = [
        ("X-Content-Type-Options", "nosniff"), ("X-Frame-Options", "SAMEORIGIN"), ("Referrer-Policy", "strict-origin-when-cross-origin"),
    ]

    private static func isName(_ word: Word, _ ownsCORS: Bool, _ diagnostics: Diagnostics) -> Bool {
        let name = word.text.lowercased()
        if name.isEmpty || !name.utf8.allSatisfy(ASCII.isToken) {
            diagnostics.error("'\(word.text)' is not a field name", at: word)
        } else if reserved.contains(name) {
            diagnostics.error("\(word.text) frames or names the response, and the gateway says it itself", at: word)
        } else if ownsCORS, name.hasPrefix("access-control-") {
            diagnostics.error("the route's cors says \(word.text)", at: word, hint: "remove this line")
        } else {
            return true
        }
        return false
    }

    private static let reserved: Set<String> = Set(
        FieldName.allCases.filter { $0.isHopByHop }.map(\.text) + [
            "content-length", "content-encoding", "content-range", "date", "x-request-id", "ratelimit", "ratelimit-policy",
        ])

    /// Reads `hsts TIME [subdomains] [preload];`.
    private static func hsts(_ directive: Directive, _ diagnostics: Diagnostics) -> String? {
        guard directive.takes(1...3, "TIME [subdomains] [preload]", diagnostics) else { return nil }
        let words = directive.arguments
        guard let time = Duration(word: words[0].text) else {
            diagnostics.error("'\(words[0].text)' is not a time", at: words[0], hint: "such as 365d")
            return nil
        }
        var value = "max-age=\(time.components.seconds)"
        for word in words.dropFirst() {
            switch word.text {
            case "subdomains" where !value.contains("includeSubDomains"): value += "; includeSubDomains"
            case "preload" where !value.contains("preload"): value += "; preload"
            default:
                diagnostics.error("'\(word.text)' is not understood here", at: word, hint: "write hsts TIME [subdomains] [preload];")
                return nil
            }
        }
        if value.contains("preload"), !value.contains("includeSubDomains") || time < .seconds(31_536_000) {
            diagnostics.error(
                "browsers preload only with a year and with subdomains", at: directive.position, hint: "write hsts 365d subdomains preload;"
            )
        }
        return value
    }
}
