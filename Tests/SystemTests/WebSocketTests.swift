import Foundation
import Glibc
import TestSockets
import Testing

/// WebSockets and other tunnels, with Python's websockets on both sides and over HTTP/2 with h2.
@Suite(.serialized) struct WebSocketTests {
    private static let routes = """
        route /ws/** { upstream ws; auth sso; scope read:orders; upgrade websocket; set_header X-User-Id $claim.sub; }
        route /keep/** { upstream ws; auth sso; upgrade websocket; on_expiry keep; }
        route /plain/** { upstream ws; auth sso; }
        route /odd/** { upstream odd; public; upgrade websocket other/1; }
        route /** { upstream app; public; }
        """

    private struct Parts {
        let stage: Stage
        let server: Program
    }

    /// - Parameter behindNginx: whether the gateway's upstream is nginx, which hands on to the server.
    private func parts(odd: Int = 9, more: String = "", behindNginx: Bool = false) throws -> Parts {
        let (port, nginx) = (Ports.free(), Ports.free())
        let stage = try Stage(
            routes: Self.routes,
            general: """
                upstream ws { server 127.0.0.1:\(behindNginx ? nginx : port); } upstream odd { server 127.0.0.1:\(odd); } access_log @DIR@/access.log; \(more)
                """, workers: 1,
            servers: """
                server { listen 127.0.0.1:\(nginx); location / { proxy_pass http://127.0.0.1:\(port); proxy_http_version 1.1;
                  proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; proxy_set_header Host $host; } }
                """, serverPorts: [nginx])
        return Parts(stage: stage, server: try Executable.peerServer("websocket_peer", port, in: stage.folder))
    }

    private func peer(_ parts: Parts, _ scenario: String, _ options: String...) throws -> [String: Any] {
        try Executable.peer("websocket_peer", [scenario, "\(parts.stage.gateway.port)"] + options)
    }

    @Test(arguments: [false, true]) func aConversationPassesAsItIs(behindNginx: Bool) throws {
        let parts = try parts(behindNginx: behindNginx)
        let outcome = try peer(parts, "talk", "token=\(try parts.stage.signer.token(subject: "talker"))", "path=/ws/x")
        #expect(outcome["hello"] as? [String: String] == ["user": "talker", "cookie": ""], "\(outcome)")
        for what in ["big", "binary", "pong", "counted"] { #expect(outcome[what] as? Bool == true, "\(what)") }
        #expect(outcome["code"] as? Int == 4_000)
        #expect(outcome["reason"] as? String == "as you wish")
        #expect(eventually { parts.stage.folder.read("access.log").contains("\"status\":101") })
    }

    /// Who may read may not for that reason write through a tunnel.
    @Test func aTunnelMayNeedMoreThanGET() throws {
        let port = Ports.free()
        let stage = try Stage(
            routes: """
                route /ws/** { upstream chat; auth sso; upgrade websocket { scope update:orders; } method GET { scope read:orders; } }
                route /app { upstream app; public; }
                """, general: "upstream chat { server 127.0.0.1:\(port); }")
        let server = try Executable.peerServer("websocket_peer", port, in: stage.folder)
        func status(_ scopes: [String]) throws -> Int? {
            let token = try stage.signer.token(scopes: scopes)
            stage.gateway.version = HTTPVersions.one
            return try stage.gateway.curl(
                "/ws/x",
                [
                    "-H", "Authorization: Bearer \(token)", "-H", "Connection: Upgrade", "-H", "Upgrade: websocket", "-H",
                    "Sec-WebSocket-Version: 13", "-H", "Sec-WebSocket-Key: eHh4eHh4eHh4eHh4eHh4eA==", "-m", "2",
                ]
            ).status
        }
        #expect(try status(["read:orders"]) == 403)
        #expect(try status(["read:orders", "update:orders"]) == 101)
        server.stop()
    }

    @Test func aConversationPassesOverHTTP2() throws {
        let parts = try parts()
        let token = try parts.stage.signer.token(subject: "two")
        let outcome = try peer(parts, "talk_http2", "token=\(token)", "path=/ws/x")
        #expect(outcome["offered"] as? Int == 1)
        let headers = outcome["headers"] as? [String: String] ?? [:]
        #expect(headers[":status"] == "200", "\(outcome)")
        #expect(headers["sec-websocket-accept"] == nil)
        #expect((outcome["hello"] as? [String: String])?["user"] == "two")
        #expect(outcome["early"] as? Bool == true)
        #expect(outcome["code"] as? Int == 4_000)
        #expect(outcome["ended"] as? Bool == true)
        // Who may not come is told so, and a protocol that nobody named is not passed on.
        #expect((try peer(parts, "talk_http2", "path=/ws/x")["headers"] as? [String: String])?[":status"] == "401")
        let other = try peer(parts, "talk_http2", "path=/ws/x", "token=\(token)", "protocol=other")
        #expect((other["headers"] as? [String: String])?[":status"] == "501")
        let plain = try peer(parts, "talk_http2", "path=/plain/x", "token=\(token)")
        #expect((plain["headers"] as? [String: String])?[":status"] == "501")
    }

    @Test func onlyWhoMayComeOpensATunnelAndOnlyWhereTheFileSaysSo() throws {
        let parts = try parts()
        #expect(try peer(parts, "talk", "path=/ws/x")["status"] as? Int == 401)
        let weak = try parts.stage.signer.token(scopes: ["read:nothing"])
        #expect(try peer(parts, "talk", "token=\(weak)", "path=/ws/x")["status"] as? Int == 403)
        // Where it is not named, Upgrade is passed over: the server sees a plain request, and says what it thinks of it.
        let status = try peer(parts, "talk", "token=\(try parts.stage.signer.token())", "path=/plain/x")["status"] as? Int ?? 0
        #expect(status == 426)
    }

    @Test(arguments: ["talk", "talk_http2"]) func aTunnelLivesNoLongerThanItsCredential(scenario: String) throws {
        let parts = try parts()
        // Good for four seconds more, the leeway included.
        let token = try parts.stage.signer.token(expiresIn: -26)
        if scenario == "talk_http2" {
            let outcome = try peer(parts, "talk_http2", "token=\(token)", "path=/ws/x", "wait=20")
            #expect(outcome["code"] as? Int == 1_008, "\(outcome)")
            #expect(outcome["ended"] as? Bool == true)
        } else {
            let outcome = try peer(parts, "wait", "token=\(token)", "path=/ws/x")
            #expect(outcome["code"] as? Int == 1_008, "\(outcome)")
            #expect(outcome["reason"] as? String == "the access token has expired")
        }
        // The server is told as well.
        #expect(eventually { parts.server.log.contains("1008") }, "\(parts.server.log)")
        #expect(eventually { parts.stage.folder.read("access.log").contains("\"reason\":\"credential_expired\"") })
    }

    @Test func aFrameThatIsUnderWayIsNotCutByTheGatewaysOwn() throws {
        let parts = try parts()
        let token = try parts.stage.signer.token(expiresIn: -26)
        let outcome = try peer(parts, "wait", "token=\(token)", "path=/ws/x", "say=half")
        // The frame never ends: the connection does, without a word that would be read as a part of it.
        #expect(outcome["code"] as? Int == 1_006, "\(outcome)")
    }

    @Test func whereTheFileSaysKeepATunnelStays() throws {
        let parts = try parts()
        let token = try parts.stage.signer.token(expiresIn: -27)
        #expect(try peer(parts, "wait", "token=\(token)", "path=/keep/x", "seconds=5")["open"] as? Bool == true)
    }

    /// A client that waits for the end of its tunnel, which is open; what it saw, once it is done.
    private func openTunnel(_ parts: Parts) throws -> (outcome: Box<[String: Any]>, done: Flag) {
        let (outcome, done) = (Box<[String: Any]>([:]), Flag())
        let (port, token) = (parts.stage.gateway.port, try parts.stage.signer.token())
        Thread {
            outcome.value = (try? Executable.peer("websocket_peer", ["wait", "\(port)", "token=\(token)", "path=/ws/x"])) ?? [:]
            done.set()
        }.start()
        #expect(eventually { parts.server.log.contains("open") })
        return (outcome, done)
    }

    @Test func aKeyThatIsWithdrawnEndsTheTunnelsItOpened() throws {
        let parts = try parts()
        let (outcome, done) = try openTunnel(parts)
        let other = try Credentials(in: parts.stage.folder, name: "other")
        try parts.stage.folder.write("signer.jwks.json", "{\"keys\":[\(try other.jwk())]}")
        #expect(eventually { done.isSet })
        #expect(outcome.value["code"] as? Int == 1_008, "\(outcome.value)")
    }

    /// What is still open when the time of a reload is over is told so.
    @Test func aTunnelIsToldThatTheGatewayRestarts() throws {
        let parts = try parts(more: "drain_timeout 1s; stream_drain_timeout 2s;")
        let (outcome, done) = try openTunnel(parts)
        #expect(parts.stage.gateway.reload())
        #expect(eventually(within: 30) { done.isSet })
        #expect(outcome.value["code"] as? Int == 1_001, "\(outcome.value)")
    }

    @Test func theTunnelOpensOnlyOnTheUpstreamsWord() throws {
        let over = Flag()
        let seen = Box("")
        let server = try ScriptedServer { client, _ in
            seen.value = client.read(until: "\r\n\r\n")
            // What the client sends early is held back until the tunnel is open.
            let early = client.read(until: "early", silence: 400)
            seen.change { $0 += "[\(early)]" }
            switch seen.value {
            case let text where text.contains("/odd/no"): client.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno")
            case let text where text.contains("/odd/two"): client.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno")
            case let text where text.contains("/odd/wrong"):
                client.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other/1\r\n\r\n")
            default:
                client.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other/1\r\n\r\nhello ")
                seen.change { $0 += "(\(client.read(until: "more"))" }
                client.send("world")
                // The client's end is passed on.
                if client.isClosedByPeer() { over.set() }
                client.send("!")
            }
        }
        let parts = try parts(
            odd: server.port, more: "listen 127.0.0.1:@PORT2@ { plaintext; }".replacingOccurrences(of: "@PORT2@", with: "\(plainPort)"))
        _ = parts
        func client(_ path: String, _ upgrade: String) throws -> RawClient {
            let client = try RawClient(port: plainPort)
            client.send("GET \(path) HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: \(upgrade)\r\n\r\nearly")
            return client
        }
        let tunnel = try client("/odd/yes", "h2c, other/1")
        #expect(tunnel.read(until: "hello ").contains("HTTP/1.1 101"))
        tunnel.send("more")
        #expect(tunnel.read(until: "world") == "world")
        tunnel.endWriting()
        #expect(tunnel.read(until: "!") == "!")
        #expect(eventually { over.isSet })
        #expect(tunnel.isClosedByPeer())
        #expect(seen.value.contains("Upgrade: other/1\r\n"))
        #expect(!seen.value.contains("h2c"))
        #expect(seen.value.contains("[](early"), "\(seen.value)")

        let refused = try client("/odd/no", "other/1")
        let answer = refused.read(silence: 3_000)
        #expect(answer.hasPrefix("HTTP/1.1 200 OK"))
        // What was meant for the tunnel is no request.
        #expect(seen.value.hasSuffix("[]"))
        #expect(try client("/odd/wrong", "websocket").read(until: "\r\n\r\n").hasPrefix("HTTP/1.1 502"))
        // To a client of HTTP/2 a 200 would mean that the tunnel is open.
        let two = try peer(parts, "talk_http2", "path=/odd/two")
        #expect((two["headers"] as? [String: String])?[":status"] == "502", "\(two)")
        // The upgrade to HTTP/2 is for nobody.
        let h2c = try RawClient(port: plainPort)
        h2c.send(
            "GET /odd/no HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
        )
        #expect(h2c.read(until: "no").hasPrefix("HTTP/1.1 200"))
        #expect(!seen.value.lowercased().contains("h2c"))
        #expect(!seen.value.lowercased().contains("http2-settings"))
        #expect(!seen.value.lowercased().contains("upgrade"))
    }

    private let plainPort = Ports.free()
}
