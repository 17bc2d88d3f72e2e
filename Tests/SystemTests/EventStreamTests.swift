import Foundation
import Glibc
import TestSockets
import Testing

/// Server-sent events and other responses that take their time.
@Suite(.serialized) struct EventStreamTests {
    private static let routes = """
        route /events/** { upstream events; auth sso; }
        route /open/** { upstream events; public; }
        route /** { upstream app; public; }
        """

    private func stage(_ server: ScriptedServer, _ version: String, more: String = "") throws -> Stage {
        try Stage(
            version: version, routes: Self.routes,
            general: "upstream events { server 127.0.0.1:\(server.port); answer_timeout 1s; \(more) } access_log @DIR@/access.log;",
            workers: 1)
    }

    private static let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    private static func event(_ text: String) -> String { "\(String(text.utf8.count + 8, radix: 16))\r\ndata: \(text)\n\n\r\n" }

    /// A curl that runs beside the test and writes what comes as it comes.
    private func listen(_ stage: Stage, _ path: String, _ arguments: [String] = []) throws -> Program {
        try Program(
            Executable.curl, [stage.gateway.version, "-skN", "https://127.0.0.1:\(stage.gateway.port)\(path)"] + arguments,
            log: "\(stage.folder.path)/\(UUID().uuidString)")
    }

    @Test(arguments: HTTPVersions.all) func eachEventPassesAtOnceAndSilenceIsNoFault(version: String) throws {
        let next = Box(0)
        let server = try ScriptedServer { client, _ in
            _ = client.read(until: "\r\n\r\n")
            client.send(Self.head)
            for number in 1...3 {
                eventually(within: 20) { next.value >= number }
                client.send(Self.event("event \(number)"))
            }
            client.send("0\r\n\r\n")
        }
        let stage = try stage(server, version)
        let listener = try listen(stage, "/open/x")
        next.value = 1
        #expect(eventually { listener.log.contains("event 1") })
        #expect(!listener.log.contains("event 2"))
        // Longer than the response timeout, which holds for responses that are no streams.
        usleep(1_500_000)
        #expect(listener.isRunning)
        next.value = 2
        #expect(eventually { listener.log.contains("event 2") })
        next.value = 3
        #expect(eventually { !listener.isRunning })
        #expect(listener.log.contains("event 3"))
        #expect(eventually { stage.folder.read("access.log").contains("\"decision\":\"forwarded\"") })
    }

    @Test func aStreamHasASilenceOfItsOwn() throws {
        let server = try ScriptedServer { client, _ in
            _ = client.read(until: "\r\n\r\n")
            client.send(Self.head + Self.event("only"))
            _ = client.isClosedByPeer(within: 20_000)
        }
        let stage = try stage(server, HTTPVersions.two, more: "stream_timeout 2s;")
        let listener = try listen(stage, "/open/x")
        #expect(eventually { listener.log.contains("only") })
        #expect(eventually { !listener.isRunning })
        #expect(eventually { stage.folder.read("access.log").contains("\"decision\":\"broken_off\"") })
    }

    @Test(arguments: HTTPVersions.all) func aStreamEndsInGoodOrderWithTheProcess(version: String) throws {
        let server = try ScriptedServer { client, _ in
            _ = client.read(until: "\r\n\r\n")
            client.send(Self.head + Self.event("hello"))
            _ = client.isClosedByPeer(within: 20_000)
        }
        let stage = try stage(server, version)
        try stage.gateway.rewrite(
            try String(contentsOfFile: "\(stage.folder.path)/gateway.conf", encoding: .utf8)
                + "\ndrain_timeout 1s; stream_drain_timeout 2s;\n")
        #expect(stage.gateway.reload())
        let listener = try listen(stage, "/open/x")
        #expect(eventually { listener.log.contains("hello") })
        #expect(stage.gateway.reload())
        #expect(eventually(within: 30) { !listener.isRunning })
        #expect(listener.exitStatus == 0)
    }

    /// A reload ends what is slow at the end of `drain_timeout`, and streams only where many configurations have followed.
    @Test(arguments: HTTPVersions.all) func aStreamOutlivesReloads(version: String) throws {
        let server = try ScriptedServer { client, _ in
            let head = client.read(until: "\r\n\r\n")
            guard head.contains("/slow") else {
                client.send(Self.head + Self.event("hello"))
                _ = client.isClosedByPeer(within: 60_000)
                return
            }
            client.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegun")
            _ = client.isClosedByPeer(within: 60_000)
        }
        let stage = try stage(server, version)
        try stage.gateway.rewrite(
            try String(contentsOfFile: "\(stage.folder.path)/gateway.conf", encoding: .utf8) + "\ndrain_timeout 1s;\n")
        #expect(stage.gateway.reload())
        let listener = try listen(stage, "/open/x")
        let slow = try listen(stage, "/open/slow")
        #expect(eventually { listener.log.contains("hello") && slow.log.contains("begun") })
        #expect(stage.gateway.reload())
        #expect(eventually(within: 30) { !slow.isRunning })
        #expect(slow.exitStatus != 0)
        for _ in 0..<3 { #expect(stage.gateway.reload()) }
        #expect(listener.isRunning)
        // Five configurations have followed; four may have streams.
        var others: [Program] = []
        for _ in 0..<2 {
            let other = try listen(stage, "/open/x")
            #expect(eventually { other.log.contains("hello") })
            others.append(other)
            #expect(stage.gateway.reload())
        }
        let areRunning = others.allSatisfy(\.isRunning)
        #expect(areRunning)
        stage.gateway.program.signal(SIGTERM)
        #expect(eventually(within: 30) { !listener.isRunning && !others.contains(where: \.isRunning) })
        #expect(listener.exitStatus == 0)
        #expect(eventually(within: 30) { !stage.gateway.program.isRunning })
    }

    @Test(arguments: HTTPVersions.all) func aStreamEndsWithItsCredentialInGoodOrder(version: String) throws {
        let gone = Flag()
        let server = try ScriptedServer { client, _ in
            _ = client.read(until: "\r\n\r\n")
            client.send(Self.head + Self.event("hello"))
            if client.isClosedByPeer(within: 20_000) { gone.set() }
        }
        let stage = try stage(server, version)
        let token = try stage.signer.token(expiresIn: -26)
        let listener = try listen(stage, "/events/x", ["-H", "Cookie: access_token=\(token)"])
        #expect(eventually { listener.log.contains("hello") })
        #expect(eventually { !listener.isRunning })
        // The body ends as one that is complete: an EventSource comes again, and is told 401.
        #expect(listener.exitStatus == 0)
        #expect(eventually { gone.isSet })
        #expect(eventually { stage.folder.read("access.log").contains("\"reason\":\"credential_expired\"") })
        #expect(try stage.gateway.curl("/events/x", ["-H", "Cookie: access_token=\(token)"]).status == 401)
    }
}
