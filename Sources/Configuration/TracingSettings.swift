package import ConfigFile

/// `tracing { endpoint http://HOST:4318; sample 1%; }`: spans of requests, for a collector of OpenTelemetry.
package struct TracingSettings: Sendable {
    package let host: String
    package let port: UInt16
    package let isSecure: Bool
    /// Where the collector takes traces.
    package let path: String
    /// Of the requests that nobody else has decided on, in millionths.
    package let sampleMillionths: UInt64
    package let service: String

    /// Nil where a part of it is wrong.
    package init?(_ directive: Directive, _ diagnostics: Diagnostics) {
        let errors = diagnostics.count
        _ = directive.hasArguments(0...0, "{ … }", diagnostics)
        let block = Block(of: directive, title: "tracing", diagnostics)
        service = block.one("service")?.word("NAME", diagnostics)?.text ?? "portcullis"
        var millionths: UInt64 = 10_000
        if let word = block.one("sample")?.word("PERCENT%", diagnostics) {
            let number = word.text.hasSuffix("%") ? Double(word.text.dropLast()) : nil
            if let number, (0...100).contains(number) {
                millionths = UInt64((number * 10_000).rounded())
            } else {
                diagnostics.error("'\(word.text)' is not a share", at: word, hint: "write: sample 1%; or sample 0.1%;")
            }
        }
        sampleMillionths = millionths
        let endpoint = block.one("endpoint")
        block.finish()
        guard let endpoint, let word = endpoint.word("http://HOST:PORT", diagnostics) else {
            if endpoint == nil {
                diagnostics.error("tracing has no endpoint", at: directive.name, hint: "add: endpoint http://127.0.0.1:4318;")
            }
            return nil
        }
        guard let (isSecure, host, port, path) = Self.parts(word.text) else {
            diagnostics.error(
                "'\(word.text)' is not the URL of a collector", at: word,
                hint: "write http://HOST:PORT, or https; OTLP over HTTP has port 4318")
            return nil
        }
        self.isSecure = isSecure
        self.host = host
        self.port = port
        // The path that OTLP has where the URL names none.
        self.path = path.isEmpty || path == "/" ? "/v1/traces" : path
        if diagnostics.count > errors { return nil }
    }

    private static func parts(_ url: String) -> (Bool, String, UInt16, String)? {
        for (scheme, usual) in [("http://", UInt16(4_318)), ("https://", 443)] where url.hasPrefix(scheme) {
            let rest = url.dropFirst(scheme.count)
            let authority = rest.prefix { $0 != "/" }
            let path = String(rest.dropFirst(authority.count))
            guard let first = authority.first, first != ":", url.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }),
                !authority.contains(where: { "@?#".contains($0) })
            else {
                return nil
            }
            guard let colon = authority.lastIndex(of: ":"), !authority.hasSuffix("]") else {
                return (usual == 443, authority.trimmingBrackets, usual, path)
            }
            guard let port = UInt16(authority[authority.index(after: colon)...]), port > 0 else { return nil }
            return (usual == 443, authority[..<colon].trimmingBrackets, port, path)
        }
        return nil
    }
}

extension Substring {
    /// An IPv6 literal without its brackets.
    fileprivate var trimmingBrackets: String { hasPrefix("[") && hasSuffix("]") ? String(dropFirst().dropLast()) : String(self) }
}
