import Bytes
package import ConfigFile
import HTTPMessage

/// A response that a route gives in place of an upstream: `answer STATUS;`, `answer STATUS TEXT [TYPE];`, `answer 302 LOCATION;`.
package final class RouteReply: Sendable {
    package enum Content: Sendable {
        /// No body, or the gateway's own words for an error.
        case none
        /// Where the client is sent.
        case location(Template)
        case text(Template, type: String)
    }

    package let status: Int
    package let content: Content
    package let line: SourceLine

    package var variables: [Variable] {
        switch content {
        case .none: []
        case .location(let template), .text(let template, _): template.variables
        }
    }

    init?(_ directive: Directive, _ diagnostics: Diagnostics) {
        guard directive.hasArguments(1...3, "STATUS [TEXT [TYPE]];", diagnostics) else { return nil }
        let words = directive.arguments
        guard let status = Int(words[0].text), 200...599 ~= status else {
            diagnostics.error("'\(words[0].text)' is not a status of a response", at: words[0], hint: "write one from 200 to 599")
            return nil
        }
        self.status = status
        line = diagnostics.line(of: directive.position)
        let template = words.count > 1 ? Template(words[1], diagnostics) : nil
        if words.count > 1, template == nil { return nil }
        switch status {
        case 301, 302, 303, 307, 308:
            guard let template, words.count == 2 else {
                diagnostics.error("\(status) sends the client to another place", at: words[0], hint: "write: answer \(status) LOCATION;")
                return nil
            }
            guard words[1].text.utf8.allSatisfy({ (0x21..<0x7F).contains($0) }) else {
                diagnostics.error("a location is ASCII without spaces", at: words[1], hint: "percent-encode what is neither")
                return nil
            }
            content = .location(template)
        case 204, 205, 304:
            guard template == nil else {
                diagnostics.error("a response with \(status) has no body", at: words[1], hint: "remove the text")
                return nil
            }
            content = .none
        case 206, 300..<400:
            diagnostics.error("\(status) tells of something that the gateway does not have", at: words[0])
            return nil
        default:
            let type = words.count > 2 ? words[2].text : "text/plain; charset=utf-8"
            guard type.contains("/"), type.utf8.allSatisfy({ (0x20..<0x7F).contains($0) }) else {
                diagnostics.error("'\(type)' is not a media type", at: words[2], hint: "such as text/html or application/json")
                return nil
            }
            content = template.map { .text($0, type: type) } ?? .none
        }
    }
}
