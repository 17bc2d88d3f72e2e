import Bytes
package import ConfigFile
import HTTPMessage

/// A URL with variables in it: where a client is sent, or what a service is asked.
///
/// A value is a part of the path or of the query and nothing more, so that the URL leads nowhere else than the file says: it is
/// percent-encoded. Only `$request.host` may stand in the authority. `$request.uri` and `$request.path` stand as they are where they go on
/// with a path.
package struct URLTemplate: Sendable {
    /// A variable that has no value, or one that does not fit in.
    package struct UnusableValue: Error {
        package let variable: Variable
    }

    private let template: Template
    /// Whether a parameter may be empty.
    private let takesEmptyParameters: Bool
    package var variables: [Variable] { template.variables }
    /// For comparing two files.
    package var parts: [Template.Part] { template.parts }

    /// Reads a location, `/…` or `https://HOST/…`.
    package init?(location word: Word, _ diagnostics: Diagnostics) {
        guard let template = Self.template(word, diagnostics) else { return nil }
        guard Self.isPath(template) || Self.namesHost(template) else {
            diagnostics.error(
                "a location begins with / or with https://HOST/", at: word,
                hint: "only $request.host may stand in the host: any other value could lead elsewhere")
            return nil
        }
        self.template = template
        takesEmptyParameters = false
    }

    /// Reads a path with a query, as a service is asked; a parameter without a value is empty.
    package init?(path word: Word, _ diagnostics: Diagnostics) {
        guard let template = Self.template(word, diagnostics) else { return nil }
        guard Self.isPath(template), !word.text.contains("#") else {
            diagnostics.error("'\(word.text)' is not a path", at: word, hint: "a path begins with /")
            return nil
        }
        self.template = template
        takesEmptyParameters = true
    }

    /// What it always is; nil where it depends on the request.
    private var fixed: [UInt8]? {
        guard template.parts.count == 1, case .text(let text) = template.parts[0] else { return nil }
        return [UInt8](text.utf8)
    }

    /// The URL of one request.
    ///
    /// - Parameter claim: the value of a claim.
    package func rendered(in context: RequestContext, claim: (String) -> [UInt8]?) throws(UnusableValue) -> [UInt8] {
        if let fixed { return fixed }
        var output: [UInt8] = []
        var isPath = true
        var last: Variable?
        for part in template.parts {
            switch part {
            case .text(let text):
                output.append(text)
                if text.utf8.contains(where: { $0 == UInt8(ascii: "?") || $0 == UInt8(ascii: "#") }) { isPath = false }
            case .variable(let variable):
                let value: [UInt8]? = if case .claim(let name) = variable { claim(name) } else { context.value(of: variable) }
                // A missing part would move what follows to another place.
                guard let value, !value.isEmpty else {
                    if takesEmptyParameters, !isPath { continue }
                    throw UnusableValue(variable: variable)
                }
                switch variable {
                case .requestHost, .requestScheme: output += value
                case .requestURI, .requestPath:
                    if isPath { output += value } else { for byte in value { output.append(percentEncoded: byte) } }
                    if value.contains(UInt8(ascii: "?")) { isPath = false }
                default: for byte in value { output.append(percentEncoded: byte) }
                }
                last = variable
            }
            if let last, output.count > Limits.locationBytesMax { throw UnusableValue(variable: last) }
        }
        // A value that makes a segment of dots would move what follows, too.
        let path = output.prefix { $0 != UInt8(ascii: "?") && $0 != UInt8(ascii: "#") }
        if let variable = template.variables.first,
            path.split(separator: UInt8(ascii: "/")).contains(where: { [[0x2E], [0x2E, 0x2E]].contains(Array($0)) })
        {
            throw UnusableValue(variable: variable)
        }
        return output
    }

    private static func template(_ word: Word, _ diagnostics: Diagnostics) -> Template? {
        guard word.text.utf8.allSatisfy({ (0x21..<0x7F).contains($0) }), !word.text.isEmpty else {
            diagnostics.error("a location is ASCII without spaces", at: word, hint: "percent-encode what is neither")
            return nil
        }
        guard let template = Template(word, diagnostics) else { return nil }
        return template.isShort(Limits.locationBytesMax, "a location", word, diagnostics) ? template : nil
    }

    private static func isPath(_ template: Template) -> Bool {
        guard case .text(let start) = template.parts.first else { return false }
        return start.hasPrefix("/") && !start.hasPrefix("//") && !start.hasPrefix("/\\")
            && (start != "/" || template.parts.count == 1 || !startsWithPath(template.parts[1]))
    }

    /// Whether the value begins with a slash, so that with one before it an authority would follow.
    private static func startsWithPath(_ part: Template.Part) -> Bool {
        switch part {
        case .variable(.requestURI), .variable(.requestPath): true
        default: false
        }
    }

    /// Whether the template begins with a scheme of HTTP and an authority that no value can change.
    private static func namesHost(_ template: Template) -> Bool {
        var start = ""
        parts: for part in template.parts {
            switch part {
            case .text(let text): start += text
            case .variable(.requestScheme) where start.isEmpty: start += "https"
            case .variable(.requestHost): start += "host.example"
            // The authority ends where the path begins.
            case .variable(.requestURI), .variable(.requestPath):
                start += "/"
                break parts
            case .variable:
                start += "\n"
                break parts
            }
        }
        guard let scheme = ["https://", "http://"].first(where: { start.lowercased().hasPrefix($0) }) else { return false }
        let authority = [UInt8](start.utf8.dropFirst(scheme.utf8.count).prefix { ![UInt8]("/?#".utf8).contains($0) })
        return !authority.isEmpty && !authority.contains(UInt8(ascii: "@")) && Authority(authority.span) != nil
    }
}

extension Template {
    /// Whether the text leaves room for the values.
    ///
    /// - Parameter what: with its article, for the message.
    package func isShort(_ bytesMax: Int, _ what: String, _ word: Word, _ diagnostics: Diagnostics) -> Bool {
        let count = parts.reduce(0) { count, part in if case .text(let text) = part { count + text.utf8.count } else { count } }
        guard count > bytesMax else { return true }
        diagnostics.error("\(what) is at most \(bytesMax) bytes long", at: word, hint: "let a service serve what is larger")
        return false
    }
}
