import Foundation
import Glibc
import TestSockets
import Testing

/// The PROXY protocol: from named peers, and to upstreams that ask for it.
@Suite(.serialized) struct ProxyProtocolSystemTests {
    private func stage(_ plain: Int, _ tls: Int, more: String = "") throws -> Stage {
        let ports = ["v1": Ports.free(), "v2": Ports.free()]
        let servers = ports.map { version, port in
            "server { listen 127.0.0.1:\(port) proxy_protocol; location / { return 200 '$proxy_protocol_addr $proxy_protocol_server_port $connection'; } }"
        }
        return try Stage(
            routes: ports.keys.map { "route /\($0) { upstream \($0); public; }" }.joined(separator: "\n")
                + " route /** { upstream app; public; } route /in { upstream app; auth sso; }",
            general: """
                listen 127.0.0.1:\(plain) { plaintext; proxy_protocol 127.0.0.2 127.0.0.3; }
                listen 127.0.0.1:\(tls) { proxy_protocol 127.0.0.1; tls { certificate @DIR@/localhost.crt @DIR@/localhost.key; } }
                \(ports.map { "upstream \($0) { server 127.0.0.1:\($1); proxy_protocol \($0); }" }.joined(separator: "\n"))
                access_log @DIR@/access.log;
                client_limits { connections_per_address 2; }
                \(more)
                """, workers: 1, servers: servers.joined(), serverPorts: [])
    }

    private static func v2(_ last: UInt8, _ port: UInt16 = 443) -> [UInt8] {
        [0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A, 0x21, 0x11, 0, 12, 203, 0, 113, last, 192, 0, 2, 1]
            + [0xDC, 0x04, UInt8(port >> 8), UInt8(port & 255)]
    }

    private static let request = "GET /who HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n"

    @Test func namedPeersTellWhomTheyServe() throws {
        let (plain, tls) = (Ports.free(), Ports.free())
        let stage = try stage(plain, tls)
        func ask(_ header: [UInt8], from host: UInt8 = 2, inPieces: Bool = false) throws -> String {
            let client = try RawClient(port: plain, from: host)
            let bytes = header + Array(Self.request.utf8)
            if inPieces {
                for byte in bytes {
                    client.send([byte])
                    usleep(500)
                }
            } else {
                client.send(bytes)
            }
            return client.read(until: "}", silence: 5_000)
        }
        let line = Array("PROXY TCP4 203.0.113.7 192.0.2.1 56324 443\r\n".utf8)
        for inPieces in [false, true] {
            #expect(try ask(line, inPieces: inPieces).contains("\"xff\":\"203.0.113.7\""))
            #expect(try ask(Self.v2(8), inPieces: inPieces).contains("\"xff\":\"203.0.113.8\""))
        }
        #expect(try ask(Array("PROXY UNKNOWN\r\n".utf8), from: 3).contains("\"xff\":\"127.0.0.3\""))
        #expect(eventually { stage.folder.read("access.log").contains("\"client\":\"203.0.113.8\"") })
        // Somebody else's header is no header, and no header from those who have to send one is none either.
        #expect(try ask(line, from: 1).hasPrefix("HTTP/1.1 505"))
        #expect(try ask([], from: 1).contains("\"xff\":\"127.0.0.1\""))
        #expect(try ask([]).isEmpty)
        #expect(try ask(Array("PROXY TCP4 203.0.113.7 nowhere 1 2\r\n".utf8)).isEmpty)
        // Before TLS.
        let answer = try stage.gateway.curl("/who", ["--haproxy-protocol"], port: tls)
        #expect(answer.status == 200)
        #expect(try stage.gateway.curl("/who", port: tls).status == 0)
    }

    @Test func theAddressThatIsToldIsTheOneThatCounts() throws {
        let plain = Ports.free()
        let stage = try stage(plain, Ports.free())
        _ = stage
        func client(_ last: UInt8) throws -> RawClient {
            let client = try RawClient(port: plain, from: 2)
            client.send(Self.v2(last) + Array(Self.request.utf8))
            return client
        }
        let first = try (0..<2).map { _ in try client(7) }
        for one in first { #expect(one.read(until: "}").contains("203.0.113.7")) }
        #expect(try client(7).read(until: "}").isEmpty)
        #expect(try client(8).read(until: "}").contains("203.0.113.8"))
    }

    @Test(arguments: ["v1", "v2"]) func upstreamsThatAskForItAreTold(version: String) throws {
        let plain = Ports.free()
        let stage = try stage(plain, Ports.free())
        func ask(_ last: UInt8) throws -> [Substring] {
            let client = try RawClient(port: plain, from: 2)
            client.send(Self.v2(last) + Array("GET /\(version) HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".utf8))
            return (client.read().components(separatedBy: "\r\n\r\n").last ?? "").split(separator: " ")
        }
        let (first, second) = (try ask(7), try ask(8))
        #expect(first.first == "203.0.113.7" && first.dropFirst().first == "443", "\(first)")
        #expect(second.first == "203.0.113.8")
        // No connection serves two clients.
        #expect(first.last != second.last)
        let direct = try stage.gateway.curl("/\(version)")
        #expect(direct.body.hasPrefix("127.0.0.1 \(stage.gateway.port) "), "\(direct.body)")
    }
}
