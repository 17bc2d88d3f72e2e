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
        /// Those of a service's server.
        case addresses([IPAddress], port: UInt16)
    }

    package let upstream: String
    /// Its address, as in the file.
    package let name: String
    /// What metrics call it: its name, or that of the service which has it.
    package let series: String
    package let place: Place
    /// What its certificate and, unless the rule says otherwise, Host say.
    package let host: String
    /// Nil in clear.
    package let tls: ClientContext?
    package let rule: CheckRule
}

extension Settings {
    package var checkedServers: [CheckedServer] {
        upstreams.flatMap { upstream in
            upstream.servers.compactMap { address in
                let place: CheckedServer.Place =
                    switch address {
                    case .socket(let socket): .socket(socket)
                    case .host(let host, let port): .host(host, port: port)
                    }
                return CheckedServer(upstream, address, at: place)
            }
        }
    }

    /// Those of the upstreams that have their servers from a service.
    package func checkedServers(of service: ServiceName, _ servers: [ServiceServer]) -> [CheckedServer] {
        upstreams.filter { $0.service == service }.flatMap { upstream in
            servers.compactMap { server in
                CheckedServer(
                    upstream, .host(server.host, port: server.port), at: .addresses(server.addresses, port: server.port))
            }
        }
    }

    /// The services that upstreams have their servers from.
    package var services: Set<ServiceName> { Set(upstreams.compactMap(\.service)) }
}

extension CheckedServer {
    /// Nil where nobody looks at the upstream's servers.
    fileprivate init?(_ upstream: UpstreamSettings, _ address: UpstreamSettings.Address, at place: Place) {
        guard let rule = upstream.check else { return nil }
        self.init(
            upstream: upstream.name, name: address.text, series: upstream.service?.name ?? address.text, place: place,
            host: upstream.tlsHost(of: address), tls: upstream.tls?.context,
            rule: rule)
    }
}
