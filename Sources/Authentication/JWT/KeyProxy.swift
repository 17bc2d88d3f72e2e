import Bytes
import HTTPMessage

/// A proxy through which https is reached by CONNECT: `http://[USER:PASSWORD@]HOST[:PORT]`. Source: RFC 9110 §9.3.6.
package struct KeyProxy: Equatable, Sendable {
    package let host: String
    package let port: UInt16
    /// The value of Proxy-Authorization, where a user is named.
    package let authorization: String?

    package init?(_ url: String) {
        guard url.hasPrefix("http://") else { return nil }
        var rest = url.dropFirst(7)
        if rest.hasSuffix("/") { rest = rest.dropLast() }
        if let at = rest.lastIndex(of: "@") {
            authorization = "Basic " + String(decoding: Base64.encode([UInt8](String(rest[..<at]))), as: UTF8.self)
            rest = rest[rest.index(after: at)...]
        } else {
            authorization = nil
        }
        let bytes = [UInt8](String(rest))
        guard let authority = Authority(bytes.span) else { return nil }
        let name = bytes[authority.host]
        host = String(decoding: authority.isIPv6 ? name.dropFirst().dropLast() : name, as: UTF8.self)
        port = authority.port ?? 80
    }

    /// The proxy that the environment names for a host (HTTPS_PROXY, NO_PROXY, in either case of letters).
    ///
    /// - Parameter environment: the variables by name.
    package init?(for host: String, environment: [String: String]) {
        func variable(_ name: String) -> String? { [name, name.lowercased()].compactMap { environment[$0] }.first { !$0.isEmpty } }
        guard let url = variable("HTTPS_PROXY") else { return nil }
        for entry in (variable("NO_PROXY") ?? "").split(separator: ",") {
            let name = entry.filter { $0 != " " }.lowercased()
            let suffix = name.hasPrefix(".") ? name : "." + name
            if name == "*" || name == host.lowercased() || !name.isEmpty && host.lowercased().hasSuffix(suffix) { return nil }
        }
        self.init(url.contains("://") ? url : "http://" + url)
    }
}
