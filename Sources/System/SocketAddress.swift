import CLinux

/// Where a socket listens or connects to.
package enum SocketAddress: Hashable, Sendable {
    case ip(IPAddress, port: UInt16)
    case unix(String)

    /// Reads `192.0.2.1:80`, `[::1]:80` or `unix:/path`.
    package init?(_ text: String) {
        if text.hasPrefix("unix:") {
            let path = String(text.dropFirst(5))
            guard path.hasPrefix("/"), path.utf8.count < 108 else { return nil }
            self = .unix(path)
            return
        }
        guard let (host, port) = SocketAddress.split(text), let address = IPAddress(host) else { return nil }
        self = .ip(address, port: port)
    }

    /// Cuts `host:port` or `[v6]:port`.
    package static func split(_ text: String) -> (host: String, port: UInt16)? {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else { return nil }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        return host.isEmpty ? nil : (String(host), port)
    }

    /// The IP address; nil for a socket of the file system.
    package var ip: IPAddress? { if case .ip(let address, _) = self { address } else { nil } }

    package var port: UInt16? { if case .ip(_, let port) = self { port } else { nil } }

    /// What a certificate has to name where nothing else is known.
    package var hostText: String { ip?.text ?? "localhost" }

    package var text: String {
        switch self {
        case .ip(let address, let port): address.isV4 ? "\(address.text):\(port)" : "[\(address.text)]:\(port)"
        case .unix(let path): "unix:\(path)"
        }
    }

    var family: Int32 {
        switch self {
        case .ip(let address, _): address.isV4 ? AF_INET : AF_INET6
        case .unix: AF_UNIX
        }
    }

    /// Lends the address in the system's form.
    func withSystemForm<Result>(_ body: (UnsafeRawPointer, UInt32) -> Result) -> Result {
        switch self {
        case .ip(let address, let port) where address.isV4:
            var form = sockaddr_in()
            form.sin_family = sa_family_t(AF_INET)
            form.sin_port = port.bigEndian
            form.sin_addr.s_addr = address.v4.bigEndian
            // SAFETY: `form` lives for the call.
            return unsafe withUnsafeBytes(of: form) { unsafe body($0.baseAddress!, UInt32($0.count)) }
        case .ip(let address, let port):
            var form = sockaddr_in6()
            form.sin6_family = sa_family_t(AF_INET6)
            form.sin6_port = port.bigEndian
            form.sin6_addr = address.in6
            // SAFETY: as above.
            return unsafe withUnsafeBytes(of: form) { unsafe body($0.baseAddress!, UInt32($0.count)) }
        case .unix(let path):
            var form = sockaddr_un()
            form.sun_family = sa_family_t(AF_UNIX)
            // SAFETY: the path was checked to be shorter than the field, which starts out as zeros.
            unsafe withUnsafeMutableBytes(of: &form.sun_path) { field in
                for (index, byte) in path.utf8.prefix(field.count - 1).enumerated() { unsafe field[index] = byte }
            }
            // SAFETY: as above.
            return unsafe withUnsafeBytes(of: form) { unsafe body($0.baseAddress!, UInt32($0.count)) }
        }
    }
}
