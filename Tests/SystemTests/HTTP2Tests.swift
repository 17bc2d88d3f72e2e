import Foundation
import Glibc
import TestSockets
import Testing

/// HTTP/2 from clients: what RequestTests do not show by running over both versions.
@Suite(.serialized) struct HTTP2Tests {
    private static let routes = """
        route /in/** { upstream app; auth sso; scope read:orders; set_header X-User-Id $claim.sub; }
        route /odd/** { upstream odd; public; max_body_size unlimited; }
        route /** { upstream app; public; }
        """

    /// A gateway whose route /odd leads to `server`.
    private func stage(_ server: ScriptedServer? = nil, _ more: String = "", workers: Int = 1) throws -> Stage {
        try Stage(routes: Self.routes, general: "upstream odd { server 127.0.0.1:\(server?.port ?? 9); } \(more)", workers: workers)
    }

    private func exchange(_ stage: Stage, _ arguments: String...) throws -> [String: Any] {
        try Executable.peer("http2", ["exchange", "\(stage.gateway.port)"] + arguments)
    }

    private func headers(_ answer: [String: Any], _ kind: String = "headers") -> [String: String] {
        answer[kind] as? [String: String] ?? [:]
    }

    @Test func losesNothingOfTwentyStreamsOnEachOfAHundredConnections() throws {
        let stage = try Stage(general: "client_limits { requests 4000; requests_per_subject 4000; }", workers: 2)
        let token = try stage.signer.token()
        let output = try run(
            Executable.h2load,
            [
                "-n", "30000", "-c", "100", "-m", "20", "-H", "authorization: Bearer \(token)",
                "https://127.0.0.1:\(stage.gateway.port)/orders",
            ])
        #expect(output.text.contains("30000 succeeded, 0 failed, 0 errored, 0 timeout"), "\(output.text)")
        #expect(output.text.contains("status codes: 30000 2xx"))
    }

    @Test func joinsCookieCrumbsBeforeItLooksForTheToken() throws {
        let stage = try stage()
        let token = try stage.signer.token(subject: "crumbs")
        let answer = try exchange(stage, "GET", "/in/x", "cookie=theme=dark", "cookie=access_token=\(token)", "cookie=lang=en")
        let body = answer["body"] as? String ?? ""
        #expect(headers(answer)[":status"] == "200")
        #expect(body.contains("\"user\":\"crumbs\""))
        #expect(body.contains("\"cookie\":\"theme=dark; lang=en\""))
        // Two different tokens in two crumbs are as bad as in one field.
        let other = try stage.signer.token(subject: "other")
        let refused = try exchange(stage, "GET", "/in/x", "cookie=access_token=\(token)", "cookie=access_token=\(other)")
        #expect(headers(refused)[":status"] == "401")
    }

    /// What HTTP/1 could take for another line, field, request or host ends in a refusal of that stream, and nothing else.
    @Test func nothingMalformedBecomesALineOfHTTP1() throws {
        let seen = Box("")
        let server = try ScriptedServer { client, _ in
            while true {
                let text = client.read(until: "\r\n\r\n", silence: 20_000)
                if text.isEmpty { return }
                seen.change { $0 += text }
                client.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            }
        }
        let port = Ports.free()
        let stage = try Stage(
            routes: "route /** { upstream odd; public; } route /in { upstream app; auth sso; }",
            general: "upstream odd { server 127.0.0.1:\(server.port); } listen 127.0.0.1:\(port) { plaintext; }", workers: 1)
        func head(_ changes: [String: String?], _ extra: [[String]] = []) -> [[String]] {
            var fields = [":method": "GET", ":scheme": "https", ":authority": "localhost", ":path": "/x"]
            for (name, value) in changes { fields[name] = value }
            return [":method", ":scheme", ":authority", ":path", ":protocol", ":other"]
                .compactMap { name in fields[name].map { [name, $0] } } + extra
        }
        let evil = "\r\nEvil: yes\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
        let odd: [[[String]]] = [
            head([:], [["x", "1" + evil]]), head([:], [["x", "a\nEvil: yes"]]), head([:], [["x", "a\u{0}b"]]),
            head([:], [["x\r\nevil", "1"]]),
            head([:], [["x: evil", "1"]]), head([:], [["x evil", "1"]]), head([:], [["", "1"]]), head([:], [["X-Upper", "1"]]),
            head([:], [["x", " padded"]]), head([":path": "/x HTTP/1.1" + evil]), head([":path": "/x y"]), head([":path": ""]),
            head([":path": "x"]), head([":path": "http://other/x"]), head([":path": "*"]), head([":path": nil]),
            head([":method": "GE T"]), head([":method": "GET /evil HTTP/1.1\r\nEvil: yes\r\n\r\n"]), head([":method": nil]),
            head([":method": ""]),
            head([":scheme": nil]), head([":scheme": "ftp"]), head([":authority": "a b"]), head([":authority": "user@localhost"]),
            head([":authority": "a" + evil]), head([":authority": nil]), head([":other": "x"]), head([":protocol": "websocket"]),
            head([:], [["host", "other"]]), head([:], [["connection", "x-a"]]), head([:], [["transfer-encoding", "chunked"]]),
            head([:], [["upgrade", "h2c"]]), head([:], [["keep-alive", "1"]]), head([:], [["proxy-connection", "close"]]),
            head([:], [["te", "gzip"]]), head([:], [["content-length", "5"]]),
            head([:], [["content-length", "0"], ["content-length", "1"]]),
            head([:], [["content-length", "-1"]]), head([:], [[":path", "/late"]]), head([:], [["x", "1"], [":method", "POST"]]),
            head([":method": "CONNECT", ":scheme": nil, ":path": nil]), head([":method": "TRACE"]),
            head([:], [["x", String(repeating: "y", count: 40_000)]]), head([:], (0..<120).map { ["x\($0)", "1"] }),
        ]
        let input = String(decoding: try JSONSerialization.data(withJSONObject: odd), as: UTF8.self)
        let outcome = try Executable.peer("http2", ["heads", "\(stage.gateway.port)"], input: input)
        let results = outcome["results"] as? [[String: Any]] ?? []
        #expect(results.count == odd.count, "the connection ended: \(outcome["goaway"] ?? "")")
        for (fields, result) in zip(odd, results) {
            let status = result["status"] as? Int ?? 0
            #expect(status >= 400 || status == 0 && result["reset"] as? Int == 1, "\(fields): \(result)")
            #expect(result["good"] as? Int == 200, "after \(fields)")
        }
        #expect(!seen.value.lowercased().contains("evil"))
        #expect(!seen.value.contains("/x "))
        #expect(seen.value.components(separatedBy: "GET /good HTTP/1.1\r\n").count - 1 == odd.count)
    }

    @Test func aHeadThatIsRefusedIsNotWaitedForLonger() throws {
        let stage = try Stage(
            routes: "route /** { upstream app; public; } route /in { upstream app; auth sso; }", general: "timeouts { head 500ms; }",
            workers: 1)
        let outcome = try Executable.peer("http2", ["refused_head", "\(stage.gateway.port)", "1.5"])
        #expect(outcome["reset"] as? Int == 1)
        #expect(outcome["good"] as? Int == 200, "the connection ended: \(outcome)")
    }

    @Test func aRefusedHeadWithoutAnEndIsWaitedForNoLongerThanAnyOther() throws {
        let stage = try Stage(
            routes: "route /** { upstream app; public; } route /in { upstream app; auth sso; }", general: "timeouts { head 500ms; }",
            workers: 1)
        let outcome = try Executable.peer("http2", ["unended_head", "\(stage.gateway.port)", "10"])
        #expect(outcome["closed"] as? Bool == true, "\(outcome)")
    }

    @Test func aConnectionThatEndsWithinTrailersLeavesNothingBehind() throws {
        let stage = try Stage(routes: "route /** { upstream app; public; } route /in { upstream app; auth sso; }", workers: 1)
        let worker = try #require(stage.gateway.children("worker").first)
        _ = try Executable.peer("http2", ["cut_trailers", "\(stage.gateway.port)", "200"])
        let before = Gateway.residentKiB(worker)
        _ = try Executable.peer("http2", ["cut_trailers", "\(stage.gateway.port)", "400"])
        let growth = Gateway.residentKiB(worker) - before
        #expect(growth < 2_048, "the worker grew by \(growth) KiB")
    }

    @Test func aBodyThatDisagreesWithItsLengthEndsItsStreamAlone() throws {
        let complete = Flag()
        let server = try ScriptedServer { client, _ in
            let text = client.read(until: "too long", silence: 2_000)
            if text.contains("too long") || text.hasSuffix("\r\n0\r\n\r\n") { complete.set() }
        }
        let stage = try Stage(
            routes: "route /sink { upstream odd; public; } route /** { upstream app; public; } route /in { upstream app; auth sso; }",
            general: "upstream odd { server 127.0.0.1:\(server.port); } access_log @DIR@/access.log;", workers: 1)
        let outcome = try Executable.peer("http2", ["short_body", "\(stage.gateway.port)"])
        for result in outcome["results"] as? [[String: Any]] ?? [] { #expect(result["reset"] as? Int == 1, "\(result)") }
        #expect(outcome["good"] as? Int == 200)
        #expect(!complete.isSet)
        #expect(eventually { stage.folder.read("access.log").components(separatedBy: "request_length_mismatch").count - 1 == 2 })
    }

    @Test func passesTrailersAndInterimResponsesBothWays() throws {
        let seen = Box("")
        let server = try ScriptedServer { client, _ in
            seen.value = client.read(until: "\r\n\r\n", silence: 20_000)
            if !seen.value.contains("\r\n0\r\n") { seen.change { $0 += client.read(until: "\r\n\r\n", silence: 2_000) } }
            client.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
            client.send(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\nConnection: X-Hop\r\nX-Hop: 1\r\nX-CASE: kept\r\n\r\n"
                    + "5\r\nhello\r\n0\r\nX-Sum: 42\r\nContent-Length: 9\r\n\r\n")
            _ = client.isClosedByPeer()
        }
        let stage = try stage(server)
        let answer = try exchange(stage, "POST", "/odd/x", "te=trailers", "body=hello", "trailer.x-check=7", "trailer.x-user-id=admin")
        #expect(seen.value.contains("Transfer-Encoding: chunked"))
        #expect(seen.value.contains("\r\n0\r\nx-check: 7\r\n\r\n"))
        #expect(!seen.value.contains("admin"))
        #expect((answer["interim"] as? [[String: String]])?.first?["link"] == "</a.css>")
        #expect(headers(answer)["x-case"] == "kept")
        #expect(headers(answer)["x-hop"] == nil)
        #expect(headers(answer)["connection"] == nil)
        #expect(answer["body"] as? String == "hello")
        #expect(headers(answer, "trailers") == ["x-sum": "42"])
    }

    @Test func opensNoWindowThatTheUpstreamDoesNotTake() throws {
        let over = Flag()
        let server = try ScriptedServer { _, _ in eventually(within: 30) { over.isSet } }
        let stage = try stage(server)
        let worker = try #require(stage.gateway.children("worker").first)
        let before = Gateway.residentKiB(worker)
        let outcome = try Executable.peer("http2", ["credit", "\(stage.gateway.port)", "/odd/up", "2"])
        over.set()
        // The system's own buffers take some; the gateway holds its queue and one window.
        let sent = outcome["sent"] as? Int ?? 0
        #expect(sent > 60_000 && sent < 20 << 20, "\(sent)")
        #expect(Gateway.residentKiB(worker) - before < 9_216)
    }

    @Test func readsNoMoreOfAResponseThanTheClientTakes() throws {
        let sent = Box(0)
        let server = try ScriptedServer { client, _ in
            _ = client.read(until: "\r\n\r\n")
            client.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
            for _ in 0..<1_000 {
                client.send([UInt8](repeating: 0x78, count: 1 << 20))
                if client.isBroken { return }
                sent.change { $0 += 1 }
            }
        }
        let stage = try stage(server, "timeouts { write 2s; }")
        let worker = try #require(stage.gateway.children("worker").first)
        _ = try exchange(stage, "GET", "/warm")
        let before = Gateway.residentKiB(worker)
        let outcome = try Executable.peer("http2", ["slow_reader", "\(stage.gateway.port)", "/odd/big", "8", "5"])
        #expect(Gateway.residentKiB(worker) - before < 8 * 512)
        // Who opens no window for the write timeout loses the stream, not the connection.
        #expect(outcome["resets"] as? [Int] == [Int](repeating: 8, count: 8), "\(outcome)")
        #expect(outcome["closed"] as? Bool == false)
        #expect(sent.value < 8 * 16)
    }

    @Test(arguments: [SIGHUP, SIGTERM]) func saysGoodbyeAndFinishesWhatIsUnderWay(signal: Int32) throws {
        let asked = Flag()
        let over = Flag()
        let server = try ScriptedServer { client, _ in
            _ = client.read(until: "\r\n\r\n")
            asked.set()
            eventually(within: 20) { over.isSet }
            client.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate")
        }
        let stage = try stage(server)
        let outcome = Box<[String: Any]>([:])
        let port = stage.gateway.port
        let done = Flag()
        Thread {
            do {
                outcome.value = try Executable.peer("http2", ["goaway", "\(port)", "/odd/slow"])
            } catch {
                outcome.value = ["error": "\(error)"]
            }
            done.set()
        }.start()
        #expect(eventually { asked.isSet })
        if signal == SIGHUP { #expect(stage.gateway.reload()) } else { kill(stage.gateway.supervisor, signal) }
        usleep(100_000)
        over.set()
        #expect(eventually(within: 20) { done.isSet })
        #expect(outcome.value["status"] as? Int == 200, "\(outcome.value)")
        #expect(outcome.value["body"] as? String == "late")
        #expect(outcome.value["goaway"] as? Int == 0)
        #expect(outcome.value["closed"] as? Bool == true)
    }
}
