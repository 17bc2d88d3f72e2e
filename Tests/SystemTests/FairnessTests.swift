import Foundation
import Glibc
import TestSockets
import Testing

/// One client, however much it asks for and however slowly it takes it, leaves the others their part.
@Suite(.serialized) struct FairnessTests {
    private static let get = "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

    private func status(_ port: Int, from host: UInt8, _ request: String = FairnessTests.get) throws -> String {
        let client = try RawClient(port: port, from: host)
        client.send(request)
        return String(client.read(until: "request_id", silence: 10_000).dropFirst(9).prefix(3))
    }

    /// Answers with more than anybody's buffers hold, or waits for a body that does not come.
    private func slowServer(_ over: Flag) throws -> ScriptedServer {
        try ScriptedServer { client, _ in
            while true {
                let head = client.read(until: "\r\n\r\n", silence: 30_000)
                guard !head.isEmpty else { return }
                if head.hasPrefix("GET /big") {
                    client.send("HTTP/1.1 200 OK\r\nContent-Length: 40000000\r\n\r\n")
                    client.send([UInt8](repeating: 0x78, count: 40_000_000))
                    return
                }
                if head.hasPrefix("POST") {
                    while !over.isSet, !client.isBroken { usleep(20_000) }
                    return
                }
                client.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            }
        }
    }

    @Test(arguments: ["GET /big HTTP/1.1\r\nHost: a\r\n\r\n", "POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nx"])
    func clientsThatStallGiveTheirPlacesUpWhileOthersWait(request: String) throws {
        let over = Flag()
        let server = try slowServer(over)
        let port = Ports.free()
        let stage = try Stage(
            routes: "route /** { upstream slow; public; } route /in { upstream app; auth sso; }",
            general: """
                listen 127.0.0.1:\(port) { plaintext; } upstream slow { server 127.0.0.1:\(server.port); max_connections 12; connect_timeout 10s; }
                timeouts { body 60s; write 60s; }
                """, workers: 1)
        // Two clients take all there is, and let it lie.
        let attackers = try (0..<40).map { number in
            let client = try RawClient(port: port, from: number % 2 == 0 ? 2 : 3, receiveBytes: 4_096)
            client.send(request)
            return client
        }
        usleep(300_000)
        for _ in 0..<10 { #expect(try status(port, from: 4) == "200") }
        over.set()
        _ = attackers.count
        _ = stage
    }

    @Test func anAddressHasSoManyRequestsAtOnce() throws {
        let over = Flag()
        let server = try slowServer(over)
        let port = Ports.free()
        let stage = try Stage(
            routes: "route /** { upstream slow; public; } route /in { upstream slow; auth sso; }",
            general: """
                listen 127.0.0.1:\(port) { plaintext; } upstream slow { server 127.0.0.1:\(server.port); }
                client_limits { requests 4; requests_per_subject 2; }
                """, workers: 1)
        let held = "POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx"
        var clients = try (0..<4).map { _ in
            let client = try RawClient(port: port, from: 2)
            client.send(held)
            return client
        }
        #expect(eventually { (try? status(port, from: 2)) == "429" })
        let refused = try RawClient(port: port, from: 2)
        refused.send(Self.get)
        #expect(refused.read().contains("\"reason\":\"too_many_requests_at_once\""))
        #expect(try status(port, from: 3) == "200")
        clients.removeAll()
        #expect(eventually { (try? status(port, from: 2)) == "200" })
        // A subject has its own bound, from every address and with every token.
        clients = try (5..<7).map { host in
            let client = try RawClient(port: port, from: UInt8(host))
            let token = try stage.signer.token(subject: "alice")
            client.send("POST /in HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \(token)\r\nContent-Length: 9\r\n\r\nx")
            return client
        }
        func get(_ subject: String) throws -> String {
            let token = try stage.signer.token(subject: subject)
            let client = try RawClient(port: port, from: 8)
            client.send("GET /in HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \(token)\r\nConnection: close\r\n\r\n")
            return client.read()
        }
        #expect(eventually { (try? get("alice"))?.contains("too_many_requests_of_subject") == true })
        #expect(try get("bob").hasPrefix("HTTP/1.1 200"))
        clients.removeAll()
        #expect(eventually { (try? get("alice"))?.hasPrefix("HTTP/1.1 200") == true })
        over.set()
    }

    @Test func whatCannotWaitAnyMoreIsRefusedAtOnce() throws {
        let over = Flag()
        let server = try slowServer(over)
        let (stage, port) = try plainStage(
            routes: "route /** { upstream slow; public; } route /in { upstream app; auth sso; }",
            more: "upstream slow { server 127.0.0.1:\(server.port); max_connections 1; max_waiting 3; connect_timeout 30s; } workers 1;"
                .replacingOccurrences(of: " workers 1;", with: ""))
        // As many as fill both workers.
        let clients = try (0..<40).map { _ in
            let client = try RawClient(port: port, from: 2)
            client.send("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx")
            return client
        }
        var refused = 0
        #expect(
            eventually {
                refused = clients.count { $0.take(2_000) ?? 0 > 0 }
                return refused > 0
            })
        let began = Date()
        let last = try RawClient(port: port, from: 2)
        last.send(Self.get)
        let answer = last.read(until: "request_id")
        #expect(answer.hasPrefix("HTTP/1.1 503") && answer.contains("upstream_max_waiting"), "\(answer)")
        // Not after `connect_timeout`.
        #expect(Date().timeIntervalSince(began) < 20)
        over.set()
        _ = stage
    }
}
