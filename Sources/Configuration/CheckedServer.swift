import Forwarding
package import System
package import TLS
package import UpstreamHealth

/// A server that the control process looks at.
package struct CheckedServer {
    package enum Place {
        case socket(SocketAddress)
        /// A name that is resolved.
        case host(String, port: UInt16)
    }

    package let upstream: String
    /// Its address, as in the file.
    package let name: String
    package let place: Place
    /// What its certificate and, unless the rule says otherwise, Host say.
    package let host: String
    /// Nil in clear.
    package let tls: ClientContext?
    package let rule: CheckRule
}

extension Settings {
    package var checkedServers: [CheckedServer] {
        upstreams.flatMap { upstream -> [CheckedServer] in
            guard let rule = upstream.check else { return [] }
            return upstream.servers.map { address in
                let place: CheckedServer.Place =
                    switch address {
                    case .socket(let socket): .socket(socket)
                    case .host(let host, let port): .host(host, port: port)
                    }
                return CheckedServer(
                    upstream: upstream.name, name: address.text, place: place, host: upstream.tlsHost(of: address),
                    tls: upstream.tls?.context, rule: rule)
            }
        }
    }
}
