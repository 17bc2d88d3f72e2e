import Authentication
import Bytes
import ConfigFile
package import HTTPMessage

/// Which pages of other origins may use a route: its block `cors`.
///
/// The gateway says so in every response of the route, its own refusals among them, in place of what the upstream says, and answers
/// preflights itself: they carry no credential that could be looked at. Source: Fetch, §3.3 "CORS protocol".
package final class CORSRule: Sendable {
    /// What a preflight is told.
    package enum Preflight {
        /// Whole lines, besides those of every response.
        case allowed([UInt8])
        /// The origin, as the client wrote it.
        case originNotAllowed(String)
    }

    /// Nil for every origin.
    let origins: Origins?
    let allowsCredentials: Bool
    /// Lines of the responses to those who may.
    private let allowance: [UInt8]
    /// Nil where it is what the preflight asks for.
    private let methods: String?
    private let headers: String?
    private let maxAge: Int64?

    init?(_ directive: Directive, _ diagnostics: Diagnostics) {
        guard directive.hasArguments(0...0, "{ origin …; }", diagnostics) else { return nil }
        let errors = diagnostics.count
        let block = Block(of: directive, title: "cors", diagnostics)
        let names = block.all("origin").flatMap { $0.words("https://HOST[:PORT] …", diagnostics) }
        let isOpen = names.map(\.text) == ["*"]
        origins = isOpen ? nil : Origins(names, diagnostics)
        if block.all("origin").isEmpty {
            diagnostics.error("cors names no origin", at: directive.name, hint: "add: origin https://app.example.com;")
        }
        let credentials = block.one("credentials")
        allowsCredentials = credentials?.takes(0...0, "", diagnostics) ?? false
        if let credentials, isOpen {
            diagnostics.error(
                "any page could read with the user's credentials", at: credentials.name,
                hint: "name the origins that may: origin https://app.example.com;")
        }
        methods = Self.tokens(block.one("methods"), "GET POST …", diagnostics)
        let asked = block.one("headers")
        headers = asked?.arguments.map(\.text) == ["*"] ? nil : Self.tokens(asked, "NAME … or *", diagnostics) ?? ""
        maxAge = block.one("max_age")?.duration(diagnostics, in: .zero...(.seconds(86_400)))?.components.seconds
        var allowance: [UInt8] = []
        if allowsCredentials { allowance.append("Access-Control-Allow-Credentials: true\r\n") }
        if let exposed = Self.tokens(block.one("expose"), "NAME …", diagnostics) {
            allowance.append("Access-Control-Expose-Headers: \(exposed)\r\n")
        }
        self.allowance = allowance
        block.finish()
        if diagnostics.count > errors { return nil }
    }

    /// Words of a directive that are methods or field names, as a list.
    private static func tokens(_ directive: Directive?, _ what: String, _ diagnostics: Diagnostics) -> String? {
        guard let directive else { return nil }
        let words = directive.words(what, diagnostics)
        for word in words where word.text == "*" || !word.text.utf8.allSatisfy(ASCII.isToken) || word.text.isEmpty {
            diagnostics.error("'\(word.text)' is no name", at: word, hint: "write \(directive.name.text) \(what);")
        }
        return words.map(\.text).joined(separator: ", ")
    }

    /// All that it says, in one form.
    package var text: String {
        "\(origins?.text ?? "*") \(methods ?? "*") \(headers ?? "*") \(maxAge ?? -1) \(String(decoding: allowance, as: UTF8.self))"
    }

    /// Whether the request's page may have the response.
    private func allows(_ head: borrowing RequestHead) -> Bool { origins?.name(originOf: head) ?? true }

    /// Appends what a response says of who may read it.
    package func append<Output: FieldOutput & ~Copyable>(for head: borrowing RequestHead, to output: inout Output) {
        guard let origins else {
            output.append(lines: [UInt8]("Access-Control-Allow-Origin: *\r\n".utf8))
            return output.append(lines: allowance)
        }
        // Told also to those who may not, or who are no page: a cache must not give them another's answer.
        output.append(lines: [UInt8]("Vary: Origin\r\n".utf8))
        guard origins.name(originOf: head), let origin = head.value(.origin) else { return }
        output.begin(allowOrigin)
        output.append(head.bytes.extracting(origin))
        output.end()
        output.append(lines: allowance)
    }

    /// The response to a preflight; nil for a request that is none.
    ///
    /// - Parameter allowed: the methods that the route takes; empty for all.
    package func preflight(_ head: borrowing RequestHead, allowed: String) -> Preflight? {
        guard head.method == .options, head.fields.has(.origin), let method = head.field(named: "access-control-request-method"),
            method.allSatisfy(ASCII.isToken)
        else { return nil }
        guard allows(head) else { return .originNotAllowed(head.value(.origin).map { head.bytes.extracting($0).text } ?? "") }
        var lines: [UInt8] = []
        let taken = methods ?? (allowed.isEmpty ? String(decoding: method, as: UTF8.self) : allowed)
        lines.append("Access-Control-Allow-Methods: \(taken)\r\n")
        let asked = head.field(named: "access-control-request-headers") ?? []
        // Given back as it came, if it is a list of names.
        let names =
            headers ?? (asked.allSatisfy { ASCII.isToken($0) || $0 == 0x2C || $0 == 0x20 } ? String(decoding: asked, as: UTF8.self) : "")
        if !names.isEmpty { lines.append("Access-Control-Allow-Headers: \(names)\r\n") }
        if let maxAge { lines.append("Access-Control-Max-Age: \(maxAge)\r\n") }
        lines.append("Vary: Access-Control-Request-Method, Access-Control-Request-Headers\r\n")
        return .allowed(lines)
    }
}

private let allowOrigin = FieldStart("Access-Control-Allow-Origin")
