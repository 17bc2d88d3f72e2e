import Foundation
import TestSockets
import Testing

/// What upstreams do that is within HTTP, or nearly, and what clients get of it.
@Suite(.serialized) struct AnswerTests {
    /// A gateway before a server that gives one answer to every request, and tells what it was asked.
    private func stage(_ answer: String, version: String, more: String = "") throws -> (Stage, ScriptedServer, Box<String>) {
        let seen = Box("")
        let server = try ScriptedServer { client, _ in
            while true {
                let text = client.read(until: "\r\n\r\n", silence: 5_000)
                guard !text.isEmpty else { return }
                seen.value = text
                client.send(answer)
            }
        }
        let stage = try Stage(
            version: version,
            routes: "route /** { upstream odd; public; } route /in/** { upstream odd; auth sso; } route /app { upstream app; public; }",
            general: "upstream odd { server 127.0.0.1:\(server.port); answer_timeout 5s; } access_log @DIR@/access.log; \(more)")
        return (stage, server, seen)
    }

    @Test(arguments: HTTPVersions.all) func dropsInterimResponsesBeyondTheBound(version: String) throws {
        let interim = String(repeating: "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", count: 20)
        let (stage, server, _) = try stage(interim + "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", version: version)
        let answer = try stage.gateway.curl("/")
        #expect(answer.status == 200 && answer.body == "ok")
        _ = server
    }

    @Test(arguments: HTTPVersions.all) func passesAResponseWithManyFields(version: String) throws {
        let fields = (0..<300).map { "Set-Cookie: c\($0)=1\r\n" }.joined()
        let (stage, server, _) = try stage("HTTP/1.1 200 OK\r\n\(fields)Content-Length: 2\r\n\r\nok", version: version)
        #expect(try stage.gateway.curl("/").status == 200)
        let large = "HTTP/1.1 200 OK\r\nX: \(String(repeating: "a", count: 70_000))\r\nContent-Length: 2\r\n\r\nok"
        let (other, otherServer, _) = try self.stage(large, version: version)
        let refused = try other.gateway.curl("/")
        #expect(refused.status == 502)
        #expect(
            eventually {
                other.folder.read("access.log").contains("its head is larger than 65536 bytes")
                    || other.folder.read("gateway.log").contains("its head is larger than 65536 bytes")
            }, "\(other.folder.read("access.log"))")
        _ = (server, otherServer)
    }

    @Test(arguments: HTTPVersions.all) func addsADateToAResponse(version: String) throws {
        let (stage, server, _) = try stage("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", version: version)
        #expect(try stage.gateway.curl("/")["date"]?.hasSuffix(" GMT") == true)
        let (dated, other, _) = try self.stage("HTTP/1.1 200 OK\r\nDate: mine\r\nContent-Length: 2\r\n\r\nok", version: version)
        #expect(try dated.gateway.curl("/")["date"] == "mine")
        _ = (server, other)
    }

    @Test(arguments: HTTPVersions.all) func aChunksSizeMayBePadded(version: String) throws {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        let (stage, server, _) = try stage(head + "2  \r\nok\r\n0 \r\n\r\n", version: version)
        let answer = try stage.gateway.curl("/")
        #expect(answer.status == 200 && answer.body == "ok")
        _ = server
        // Nothing of it had gone out, also where a piece of the body was good: the client is told.
        for body in ["2 x\r\nok\r\n0\r\n\r\n", "2\r\nok\r\nx\r\n"] {
            let (broken, other, _) = try self.stage(head + body, version: version)
            let refused = try broken.gateway.curl("/")
            #expect(refused.status == 502 && refused.body.contains("upstream_answer_malformed"), "\(refused)")
            #expect(refused.fields["transfer-encoding"] == nil)
            #expect(eventually { broken.folder.read("access.log").contains("upstream_answer_malformed") })
            // The connection, and what else is asked over it, is none the worse.
            let statuses = try broken.gateway.load("/", count: 20, parallel: 20)
            #expect(statuses == [502: 20], "\(statuses)")
            _ = other
        }
    }

    @Test func aServerThatAsksForAnotherProtocolIsHeard() throws {
        let (stage, server, _) = try stage(
            "HTTP/1.1 426 Upgrade Required\r\nUpgrade: TLS/1.2\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n",
            version: HTTPVersions.one)
        let answer = try stage.gateway.curl("/")
        #expect(answer.status == 426 && answer["upgrade"] == "TLS/1.2")
        #expect(answer["connection"]?.contains("Upgrade") == true)
        stage.gateway.version = HTTPVersions.two
        #expect(try stage.gateway.curl("/")["upgrade"] == nil)
        _ = server
    }

    @Test(arguments: HTTPVersions.all) func aRequestWithoutItsBodySaysSo(version: String) throws {
        let (stage, server, seen) = try stage("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", version: version)
        for (method, has) in [("POST", true), ("PUT", true), ("PATCH", true), ("GET", false), ("DELETE", false)] {
            _ = try stage.gateway.curl("/", ["-X", method])
            #expect(seen.value.contains("Content-Length: 0\r\n") == has, "\(method): \(seen.value)")
        }
        _ = server
    }

    /// A connection that was kept, and closed as the next request came: with an empty body as without one it may go out again.
    @Test(arguments: HTTPVersions.all) func anEmptyBodyIsNoneWhenItIsAskedAgain(version: String) throws {
        let server = try ScriptedServer { client, number in
            _ = client.read(until: "\r\n\r\n", silence: 5_000)
            client.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            if number == 0 { _ = client.read(until: "\r\n\r\n", silence: 5_000) } else { _ = client.isClosedByPeer(within: 5_000) }
        }
        let stage = try Stage(
            version: version, routes: "route /** { upstream odd; public; } route /in { upstream app; auth sso; }",
            general: "upstream odd { server 127.0.0.1:\(server.port); }", workers: 1)
        #expect(try stage.gateway.curl("/").status == 200)
        #expect(try stage.gateway.curl("/", ["-X", "DELETE", "-H", "Content-Length: 0"]).status == 200)
    }

    /// Whatever its media type, no response outlives the credential that let it in.
    @Test(arguments: HTTPVersions.all, ["Text/Event-Stream", "application/x-ndjson", "multipart/x-mixed-replace; boundary=b"])
    func endsAResponseWithItsCredential(version: String, type: String) throws {
        let server = try ScriptedServer { client, _ in
            _ = client.read(until: "\r\n\r\n")
            client.send("HTTP/1.1 200 OK\r\nContent-Type: \(type)\r\nTransfer-Encoding: chunked\r\n\r\n")
            while !client.isClosedByPeer(within: 200) { client.send("3\r\nhi\n\r\n") }
        }
        let stage = try Stage(
            version: version, routes: "route /** { upstream odd; auth sso; } route /app { upstream app; public; }",
            general: "upstream odd { server 127.0.0.1:\(server.port); } access_log @DIR@/access.log;")
        let token = try stage.signer.token(expiresIn: -26)
        let answer = try stage.gateway.curl("/x", ["-H", "Authorization: Bearer \(token)"])
        #expect(answer.status == 200 && answer.body.contains("hi"))
        #expect(eventually { stage.folder.read("access.log").contains("\"reason\":\"credential_expired\"") })
    }
}
