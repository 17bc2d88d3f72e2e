package import UpstreamHealth
import System

/// The servers of a service, as processes tell them each other.
package enum ServiceMessage {
    /// Appends service and servers.
    package static func write(_ service: String, _ servers: [ServiceServer], to message: inout MessageWriter) {
        message.text(service)
        message.bytes(list(servers))
    }

    /// Nil for what is no such list.
    package static func read(_ reader: inout MessageReader) -> (service: String, servers: [ServiceServer])? {
        guard let service = reader.text(), let bytes = reader.bytes(), let servers = servers(in: bytes) else { return nil }
        return (service, servers)
    }

    private static func list(_ servers: [ServiceServer]) -> [UInt8] {
        var list = MessageWriter()
        let servers = servers.prefix(serversMax)
        list.number(UInt64(servers.count))
        for server in servers {
            list.text(server.host)
            for number in [server.port, server.priority, server.weight] { list.number(UInt64(number)) }
            list.text(server.addresses.prefix(addressesMax).map(\.text).joined(separator: " "))
        }
        return list.output
    }

    private static func servers(in bytes: [UInt8]) -> [ServiceServer]? {
        var reader = MessageReader(bytes)
        guard let count = reader.number(), count <= UInt64(serversMax) else { return nil }
        var servers: [ServiceServer] = []
        for _ in 0..<count {
            guard let host = reader.text(), let port = reader.number().flatMap({ UInt16(exactly: $0) }),
                let priority = reader.number().flatMap({ UInt16(exactly: $0) }),
                let weight = reader.number().flatMap({ UInt16(exactly: $0) }), let addresses = reader.text()
            else { return nil }
            servers.append(
                ServiceServer(
                    host: host, port: port, priority: priority, weight: weight,
                    addresses: addresses.split(separator: " ").compactMap { IPAddress(String($0)) }))
        }
        return servers
    }

    /// More are not taken of a service.
    package static let serversMax = 128
    /// More are not taken of a server: so the longest names and addresses make no message that is too long for its channel.
    package static let addressesMax = 16
}
