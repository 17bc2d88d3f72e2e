import Foundation
import TestSockets
import Testing

/// Upstreams that do what a good server does not, and the choice among several.
@Suite(.serialized) struct UpstreamTests {
    private static let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    /// A gateway of one worker in front of the servers at `ports`, so that one pool serves all requests.
    private func oneWorker(_ ports: [Int], _ more: String = "") throws -> (stage: Stage, port: Int) {
        let port = Ports.free()
        let servers = ports.map { "server 127.0.0.1:\($0);" }.joined(separator: " ")
        let stage = try Stage(
            routes: "route /** { upstream odd; public; } route /in { upstream app; auth sso; }",
            general: """
                listen 127.0.0.1:\(port) { plaintext; }
                upstream odd { \(servers) \(more) }
                access_log @DIR@/access.log;
                """, workers: 1)
        return (stage, port)
    }

    @Test func theLeastBusyServerIsAsked() throws {
        // The first holds its requests back until the test is over; the second answers at once.
        let over = Flag()
        let slowSeen = Box(0)
        let slow = try ScriptedServer { client, _ in
            guard !client.read(until: "\r\n\r\n").isEmpty else { return }
            slowSeen.change { $0 += 1 }
            eventually(within: 20) { over.isSet }
            client.send(Self.ok)
        }
        let quickSeen = Box(0)
        let quick = try ScriptedServer { client, _ in
            while client.read(until: "\r\n\r\n").hasSuffix("\r\n\r\n") {
                quickSeen.change { $0 += 1 }
                client.send(Self.ok)
            }
        }
        let (stage, port) = try oneWorker([slow.port, quick.port], "balance least_connections;")
        let held = try (0..<2).map { _ in try RawClient(port: port) }
        for client in held { client.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n") }
        #expect(eventually { slowSeen.value >= 1 })
        for _ in 0..<20 { #expect(try stage.gateway.curl("/").status == 200) }
        #expect(slowSeen.value == 1, "the busy server was given more")
        #expect(quickSeen.value == 21)
        over.set()
        for client in held { #expect(client.read(until: "ok").hasSuffix("ok")) }
    }

    @Test func roundRobinTakesTurns() throws {
        let seen = [Box(0), Box(0), Box(0)]
        let servers = try seen.map { box in
            try ScriptedServer { client, _ in
                while client.read(until: "\r\n\r\n").hasSuffix("\r\n\r\n") {
                    box.change { $0 += 1 }
                    client.send(Self.ok)
                }
            }
        }
        let (stage, _) = try oneWorker(servers.map(\.port))
        for _ in 0..<12 { #expect(try stage.gateway.curl("/").status == 200) }
        #expect(seen.map(\.value) == [4, 4, 4])
    }

    @Test func serversThatRefuseAreLeftAlone() throws {
        let seen = Box(0)
        let server = try ScriptedServer { client, _ in
            while client.read(until: "\r\n\r\n").hasSuffix("\r\n\r\n") {
                seen.change { $0 += 1 }
                client.send(Self.ok)
            }
        }
        // Seven of eight refuse at once.
        let (stage, _) = try oneWorker((0..<7).map { _ in Ports.free() } + [server.port])
        for _ in 0..<16 { #expect(try stage.gateway.curl("/").status == 200) }
        #expect(seen.value == 16)
    }

    /// Of two servers one takes no connection at all: one request waits for it, and the others do not.
    @Test func ejectsAServerThatDoesNotRespond() throws {
        let server = try ScriptedServer { client, _ in
            while client.read(until: "\r\n\r\n").hasSuffix("\r\n\r\n") { client.send(Self.ok) }
        }
        let hole = try FullListener()
        let (stage, _) = try oneWorker([hole.port, server.port], "connect_timeout 500ms;")
        for _ in 0..<20 { #expect(try stage.gateway.curl("/").status == 200) }
        #expect(eventually { stage.folder.read("access.log").split(separator: "\n").count == 20 })
        // Those that tried it took as long as a connection may.
        let slow = stage.folder.read("access.log").split(separator: "\n").filter { line in
            let text = line.components(separatedBy: "\"ms\":").dropFirst().first?.prefix { $0.isNumber } ?? ""
            return Int(text) ?? 0 >= 500
        }
        #expect(slow.count == 1, "\(slow)")
        _ = hole
    }

    /// Answers one request on the first connection and ends it when the second request comes, before any byte of a response.
    private func stale() throws -> ScriptedServer {
        try ScriptedServer { client, number in
            _ = client.read(until: "\r\n\r\n")
            client.send(Self.ok)
            _ = client.read(until: "\r\n\r\n")
            if number > 0 { client.send(Self.ok) }
        }
    }

    @Test func aRequestThatIsSafeToRepeatIsSentAgainWhenAKeptConnectionWasClosed() throws {
        let server = try stale()
        let (stage, port) = try oneWorker([server.port])
        let client = try RawClient(port: port)
        client.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(client.read(until: "\r\n\r\nok").hasPrefix("HTTP/1.1 200"))
        client.send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(client.read(until: "\r\n\r\nok").hasPrefix("HTTP/1.1 200"))
        _ = stage
    }

    @Test func aRequestThatIsNotSafeToRepeatIsNot() throws {
        let server = try stale()
        let (stage, port) = try oneWorker([server.port])
        let client = try RawClient(port: port)
        client.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(client.read(until: "\r\n\r\nok").hasPrefix("HTTP/1.1 200"))
        client.send("POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
        #expect(client.read(until: "}").hasPrefix("HTTP/1.1 502"))
        _ = stage
    }

    @Test func doesNotRepeatARequestOfANewConnection() throws {
        let connections = Box(0)
        let server = try ScriptedServer { client, number in
            connections.value = number + 1
            _ = client.read(until: "\r\n\r\n")
        }
        let (stage, _) = try oneWorker([server.port])
        #expect(try stage.gateway.curl("/").status == 502)
        #expect(connections.value == 1)
    }

    @Test func resetsAResponseThatTheUpstreamReset() throws {
        // Without a length, only the end of the connection ends the response (RFC 9112 §6.3): a reset is no such end.
        let server = try ScriptedServer { client, number in
            _ = client.read(until: "\r\n\r\n")
            client.send("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nhalf of it")
            if number == 0 { return }
            // What was sent is on its way before the reset destroys it.
            eventually(within: 2) { false }
            client.resetOnClose()
        }
        let (stage, port) = try oneWorker([server.port])
        let whole = try RawClient(port: port)
        whole.send("GET /whole HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        let good = whole.read()
        #expect(good.contains("Transfer-Encoding: chunked"))
        #expect(good.hasSuffix("\r\n0\r\n\r\n"))
        let cut = try RawClient(port: port)
        cut.send("GET /cut HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        let bad = cut.read()
        #expect(bad.contains("half of it"))
        #expect(!bad.contains("\r\n0\r\n\r\n"))
        _ = stage
    }

    @Test func passesAResponseThatComesBeforeTheBodyIsComplete() throws {
        let server = try ScriptedServer { client, _ in
            _ = client.read(until: "\r\n\r\n")
            client.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
            client.endWriting()
            // Takes the rest, as a good server does, so that no reset overtakes its response.
            _ = client.isClosedByPeer()
        }
        let (stage, port) = try oneWorker([server.port])
        let client = try RawClient(port: port)
        client.send("POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nstart of a body")
        let answer = client.read(until: "big")
        #expect(answer.hasPrefix("HTTP/1.1 413"))
        #expect(answer.hasSuffix("big"))
        // The rest of the body must never be taken for a request.
        client.send("GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(!client.read(silence: 1_000).contains("HTTP/1.1"))
        #expect(!stage.folder.read("access.log").contains("smuggled"))
        #expect(try stage.gateway.curl("/in").status == 401)
    }

    @Test func aClientThatGoesAwayFreesTheUpstream() throws {
        let asked = Flag()
        let freed = Flag()
        let server = try ScriptedServer { client, _ in
            _ = client.read(until: "\r\n\r\n")
            asked.set()
            if client.isClosedByPeer(within: 10_000) { freed.set() }
        }
        let (stage, port) = try oneWorker([server.port])
        let client = try RawClient(port: port)
        client.send("GET /gone HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(eventually { asked.isSet })
        // As nginx and Envoy see it, a client that ends its side before the response has begun has lost interest.
        client.endWriting()
        #expect(eventually { freed.isSet })
        #expect(eventually { stage.folder.read("access.log").contains("\"status\":499") })
    }

    @Test func aHalfClosedClientGetsItsResponse() throws {
        let (stage, port) = try oneWorker([Ports.free()])
        // Refusals stand in the send queue to their end; a client that asks a lot at once and ends its side gets them all.
        let client = try RawClient(port: port)
        let count = 2_000
        client.send(String(repeating: "GET /in HTTP/1.1\r\nHost: a\r\n\r\n", count: count))
        client.endWriting()
        #expect(client.read().components(separatedBy: "HTTP/1.1 401").count - 1 == count)
        _ = stage
    }

    @Test func requestsWaitForAConnectionWhereTheFileBoundsThem() throws {
        let (together, most) = (Box(0), Box(0))
        let over = Flag()
        let server = try ScriptedServer { client, _ in
            while client.read(until: "end", silence: 20_000).contains("end") {
                let now = together.change { $0 += 1 }
                most.change { $0 = max($0, now) }
                if over.isSet { eventually(within: 20) { false } }
                usleep(20_000)
                together.change { $0 -= 1 }
                client.send(Self.ok)
            }
        }
        let (stage, port) = try oneWorker([server.port], "max_connections 2; connect_timeout 2s;")
        // Bodies wait with their requests.
        let clients = try (0..<20).map { _ in try RawClient(port: port) }
        for client in clients { client.send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\nthe end") }
        for client in clients { #expect(client.read(until: "ok").hasPrefix("HTTP/1.1 200")) }
        #expect(most.value == 2)
        over.set()
        for client in clients.prefix(3) { client.send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\nthe end") }
        let busy = clients.prefix(3).map { $0.read(until: "}", silence: 4_000) }.filter { !$0.isEmpty }
        #expect(busy.count == 1)
        #expect(busy.first?.hasPrefix("HTTP/1.1 503") == true)
        #expect(busy.first?.contains("upstream_max_connections") == true)
        _ = stage
    }

    @Test func sendsNoLengthWithoutContent() throws {
        let server = try ScriptedServer { client, _ in
            _ = client.read(until: "\r\n\r\n")
            client.send("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n")
            _ = client.isClosedByPeer()
        }
        let (stage, port) = try oneWorker([server.port])
        let client = try RawClient(port: port)
        client.send("DELETE / HTTP/1.1\r\nHost: a\r\n\r\n")
        let answer = client.read(until: "\r\n\r\n")
        #expect(answer.hasPrefix("HTTP/1.1 204"))
        #expect(!answer.lowercased().contains("content-length"))
        _ = stage
    }

    @Test func bytesThatNobodyAskedForEndTheUpstreamConnection() throws {
        let connections = Box(0)
        let server = try ScriptedServer { client, number in
            connections.value = number + 1
            _ = client.read(until: "\r\n\r\n")
            client.send(Self.ok + "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned")
            _ = client.isClosedByPeer()
        }
        let (stage, _) = try oneWorker([server.port])
        for _ in 0..<3 { #expect(try stage.gateway.curl("/").body == "ok") }
        #expect(connections.value == 3)
    }
}
