import Authentication
import Bytes
package import ConfigFile
import HTTPMessage
package import Routing

/// A response that a route gives in place of an upstream: `answer STATUS;`, `answer STATUS TEXT [TYPE];`, `answer 302 LOCATION;`.
package final class RouteReply: Sendable {
    package enum Content: Sendable {
        /// No body, or the gateway's own words for an error.
        case none
        /// Where the client is sent.
        case location(URLTemplate)
        case text(Template, type: String, Escaping)
    }

    /// How the values of variables are kept from being more than text within a body.
    package enum Escaping: Sendable {
        case none, html, json

        /// Nil for a type in which the gateway cannot tell where a value ends.
        init?(_ type: String) {
            let name = (type.split(separator: ";").first.map(String.init) ?? "").trimmed.lowercased()
            if name == "text/plain" {
                self = .none
            } else if name == "text/html" || name.hasSuffix("/xml") || name.hasSuffix("+xml") {
                self = .html
            } else if name == "application/json" || name.hasSuffix("+json") {
                self = .json
            } else {
                return nil
            }
        }
    }

    package let status: Int
    package let content: Content
    /// Whether it may be another one for another client, so that no cache may keep it.
    package let isPersonal: Bool
    package let line: SourceLine

    package var variables: [Variable] { content.variables }

    /// - Parameters:
    ///   - isPublic: whether everybody may come.
    ///   - places: where credentials are, which no response may show.
    init?(_ directive: Directive, isPublic: Bool, places: CredentialPlaces, _ diagnostics: Diagnostics) {
        let errors = diagnostics.count
        guard directive.takes(1...3, "STATUS [TEXT [TYPE]]", diagnostics) else { return nil }
        let words = directive.arguments
        guard let status = Int(words[0].text), 200...599 ~= status else {
            diagnostics.error("'\(words[0].text)' is not a status of a response", at: words[0], hint: "write one from 200 to 599")
            return nil
        }
        self.status = status
        line = diagnostics.line(of: directive.position)
        guard let content = Self.content(status, words, diagnostics) else { return nil }
        self.content = content
        isPersonal = !isPublic || !content.variables.isEmpty
        for variable in content.variables where variable.isCredential(places) {
            diagnostics.error("\(variable.name) may hold a credential, which no response may show", at: words[1])
        }
        if diagnostics.count > errors { return nil }
    }

    private static func content(_ status: Int, _ words: [Word], _ diagnostics: Diagnostics) -> Content? {
        switch status {
        case 301, 302, 303, 307, 308:
            guard words.count == 2 else {
                diagnostics.error("\(status) needs a location, and no type", at: words[0], hint: "write: answer \(status) LOCATION;")
                return nil
            }
            return URLTemplate(location: words[1], diagnostics).map { .location($0) }
        case 204, 205:
            guard words.count == 1 else {
                diagnostics.error("a response with \(status) has no body", at: words[1], hint: "remove the text")
                return nil
            }
            return Content.none
        case 206, 300..<400:
            diagnostics.error("a route cannot answer \(status)", at: words[0], hint: "redirects are 301, 302, 303, 307 and 308")
            return nil
        case 401, 405, 407, 426:
            let hint =
                status == 401
                ? "name the credentials that would do: auth …;"
                : status == 405
                    ? "name the methods that the route takes: method GET { }" : "another status says it without a field of its own"
            diagnostics.error("\(status) has to name what would do", at: words[0], hint: hint)
            return nil
        default:
            guard words.count > 1 else { return Content.none }
            guard let template = Template(words[1], diagnostics) else { return nil }
            var type = words.count > 2 ? words[2].text : "text/plain"
            guard let charset = charset(of: type) else {
                diagnostics.error(
                    "'\(type)' is not a media type of UTF-8", at: words[2], hint: "such as text/html, or 'text/plain; charset=utf-8'")
                return nil
            }
            let escaping = Escaping(type)
            if escaping == nil, !template.variables.isEmpty {
                diagnostics.error(
                    "values cannot be kept apart from the text in '\(type)'", at: words[2],
                    hint: "variables go into text/plain, text/html, JSON and XML")
                return nil
            }
            if type.lowercased().hasPrefix("text/"), charset.isEmpty { type += "; charset=utf-8" }
            guard template.isShort(Limits.answerBytesMax, "an answer", words[1], diagnostics) else { return nil }
            return .text(template, type: type, escaping ?? .none)
        }
    }

    /// The `charset` of a media type (RFC 9110 §8.3.1), empty where it names none; nil for what is no type, or is not UTF-8.
    private static func charset(of type: String) -> String? {
        let parts = type.split(separator: ";", omittingEmptySubsequences: false).map { String($0).trimmed }
        let name = parts[0].split(separator: "/", omittingEmptySubsequences: false)
        guard name.count == 2, name.allSatisfy({ isToken($0) }) else { return nil }
        var charset = ""
        for part in parts.dropFirst() {
            let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard pair.count == 2, isToken(pair[0]), isToken(pair[1]) else { return nil }
            guard pair[0].lowercased() == "charset" else { continue }
            guard pair[1].lowercased() == "utf-8" else { return nil }
            charset = "utf-8"
        }
        return charset
    }

    private static func isToken(_ text: Substring) -> Bool { !text.isEmpty && text.utf8.allSatisfy(ASCII.isToken) }
}

extension RouteReply.Content {
    var variables: [Variable] {
        switch self {
        case .none: []
        case .location(let template): template.variables
        case .text(let template, _, _): template.variables
        }
    }
}

extension String {
    fileprivate var trimmed: String { String(drop { $0 == " " }.reversed().drop { $0 == " " }.reversed()) }
}
