/// What `proxy_pass` or `grpc_pass` names.
struct ProxyTarget {
    let isTLS: Bool
    let isGRPC: Bool
    /// HOST or HOST:PORT, or `unix:/path`, as it stands.
    let authority: String
    /// What follows the authority; nil where nothing does, so that the path stays.
    let uri: NginxText?
    /// Whether the whole path becomes `uri`, and not the part that the location names.
    let replacesPath: Bool

    init(_ directive: NginxDirective, _ variables: NginxVariables) throws(Refused) {
        let hasVariables = directive.value.contains("$")
        let text = variables.expanded(directive.value)
        guard case .text(let start)? = text.parts.first else { throw Self.unknown(directive) }
        let scheme: String
        if start.hasPrefix("grpc://") || directive.name == "grpc_pass" && !start.contains("://") {
            (scheme, isTLS, isGRPC) = ("grpc://", false, true)
        } else if start.hasPrefix("grpcs://") {
            (scheme, isTLS, isGRPC) = ("grpcs://", true, true)
        } else if start.hasPrefix("https://") {
            (scheme, isTLS, isGRPC) = ("https://", true, false)
        } else if start.hasPrefix("http://") {
            (scheme, isTLS, isGRPC) = ("http://", false, false)
        } else {
            throw Refused(reason: "'\(directive.value)' names no service of HTTP", directive: directive)
        }
        var rest = start.hasPrefix(scheme) ? start.dropFirst(scheme.count) : start[...]
        var parts = Array(text.parts.dropFirst())
        if rest.hasPrefix("unix:") {
            guard parts.isEmpty else { throw Self.unknown(directive) }
            // A socket's path ends at a colon, or at the end.
            let path = rest.dropFirst(5)
            authority = "unix:" + path.prefix { $0 != ":" }
            rest = path.firstIndex(of: ":").map { path[path.index(after: $0)...] } ?? ""
        } else {
            let host = rest.prefix { $0 != "/" && $0 != "?" }
            authority = String(host)
            rest = rest.dropFirst(host.count)
            // A variable right behind the authority is a part of it, unless it is known for a path.
            if rest.isEmpty, case .variable(let name)? = parts.first, !["request_uri", "uri"].contains(name) {
                throw Self.unknown(directive)
            }
        }
        guard !authority.isEmpty, authority != "unix:" else { throw Self.unknown(directive) }
        if !rest.isEmpty { parts.insert(.text(String(rest)), at: 0) }
        let same: [[NginxText.Part]] = [
            [.variable("request_uri")], [.variable("uri")], [.variable("uri"), .variable("is_args"), .variable("args")],
        ]
        uri = parts.isEmpty || same.contains(parts) ? nil : NginxText(parts: parts)
        replacesPath = hasVariables
    }

    private static func unknown(_ directive: NginxDirective) -> Refused {
        Refused(reason: "which service '\(directive.value)' is depends on the request, or on logic", directive: directive)
    }

    /// HOST:PORT, with the port of the scheme where none stands.
    var address: String {
        if authority.hasPrefix("unix:") { return authority }
        let bare = authority.hasPrefix("[") ? authority.drop { $0 != "]" }.dropFirst() : authority[...]
        return bare.contains(":") ? authority : authority + (isTLS ? ":443" : ":80")
    }
}
