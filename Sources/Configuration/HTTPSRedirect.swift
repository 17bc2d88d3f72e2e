import ConfigFile
package import HTTPMessage
import Routing

/// What a listener does that sends its clients to https: `redirect https [PORT] [except /PATH …];`.
package final class HTTPSRedirect: Sendable {
    /// Of https; nil for the port of the only listener with TLS.
    private let ownPort: UInt16?
    private let exceptions: RouteTable
    /// The paths that are served in clear, as the file has them.
    package let exceptionNames: [String]

    package init(port: UInt16? = nil) {
        ownPort = port
        exceptions = RouteTable()
        exceptionNames = []
    }

    init?(_ directive: Directive, _ diagnostics: Diagnostics) {
        guard directive.takes(1...Int.max, "https [PORT] [except /PATH …]", diagnostics) else { return nil }
        var words = directive.arguments[...]
        if let scheme = words.popFirst(), scheme.text != "https" {
            diagnostics.error("'redirect' cannot be '\(scheme.text)'", at: scheme, hint: "write redirect https;")
        }
        var port: UInt16?
        if let word = words.first, word.text != "except" {
            port = UInt16(word.text)
            if port == nil || port == 0 { diagnostics.error("'\(word.text)' is not a port", at: word, hint: "write redirect https 8443;") }
            words.removeFirst()
        }
        if let word = words.first, word.text != "except" || words.count == 1 {
            diagnostics.error(
                "'\(word.text)' is not understood here", at: word, hint: "write redirect https except /.well-known/acme-challenge/**;")
        }
        var table = RouteTable()
        let paths = words.dropFirst()
        for word in paths {
            guard let pattern = PathPattern(word, diagnostics) else { continue }
            if table.insert(pattern, hosts: [], PathDemand()) != nil { diagnostics.error("'\(word.text)' stands twice", at: word) }
        }
        ownPort = port
        exceptions = table
        exceptionNames = paths.map(\.text)
    }

    /// - Parameter usual: of https, where the file names none here.
    package func port(_ usual: UInt16) -> UInt16 { ownPort ?? usual }

    /// Whether a request is served in clear; its target is in normal form.
    package func serves(_ target: borrowing RequestTarget) throws(TargetError) -> Bool {
        exceptionNames.isEmpty ? false : try exceptions.find(host: [], target) != nil
    }
}
