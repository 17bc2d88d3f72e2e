import Foundation
import Glibc
import TestSockets
import Testing

/// Limits of requests that are under way at once, in memory and in Redis alike.
@Suite("Requests under way at once") struct ConcurrencyTests {
    private let folder = TemporaryFolder()

    /// A service that answers `/slow` byte for byte, so that its responses last; what else it is asked it answers at once.
    private func stage(_ limit: String, inRedis: Bool, _ redis: RedisServer, version: String = HTTPVersions.two, workers: Int = 2) throws
        -> Stage
    {
        let port = Ports.free()
        _ = try folder.write("slow", String(repeating: "x", count: 4_000_000))
        let stage = try Stage(
            version: version,
            routes: "route /** { upstream slow; public; limit one; } route /in { upstream app; auth sso; }",
            general: """
                redis main { address 127.0.0.1:\(redis.port); timeout 500ms; }
                limit one { \(limit) \(inRedis ? "store main;" : "") }
                limit other { rate 100000/1h; key $client.ip; store main; }
                upstream slow { server 127.0.0.1:\(port); }
                route /other { upstream app; public; limit other; }
                """, workers: workers,
            servers: """
                server { listen 127.0.0.1:\(port); location / { return 200 'quick'; }
                         location /slow { root \(folder.path); limit_rate 1k; } }
                """, serverPorts: [port])
        #expect(eventually { (try? stage.gateway.curl("/other").status) == 200 })
        return stage
    }

    /// Requests that last until the test ends them.
    private func begin(_ count: Int, _ stage: Stage, _ key: String = "k") throws -> [Program] {
        let known = (0..<count).map { _ in UUID().uuidString }
        let programs = try known.map { name in
            try Program(
                "/usr/bin/curl",
                [
                    "-k", "-s", stage.gateway.version, "-o", "\(folder.path)/\(name)", "-H", "X-Key: \(key)",
                    "https://127.0.0.1:\(stage.gateway.port)/slow",
                ],
                log: "\(folder.path)/\(name).log", stopSignal: SIGKILL)
        }
        // Their responses have begun: so they are counted.
        #expect(eventually(within: 30) { known.allSatisfy { FileManager.default.fileExists(atPath: "\(folder.path)/\($0)") } })
        return programs
    }

    private func ask(_ stage: Stage, _ key: String = "k") throws -> Answer { try stage.gateway.curl("/", ["-H", "X-Key: \(key)"]) }

    @Test("So many are let through at once, and each that ends makes room", arguments: [false, true], HTTPVersions.all)
    func atOnce(inRedis: Bool, version: String) throws {
        let redis = try RedisServer(in: folder)
        let stage = try stage("concurrent 3; key $header.x-key;", inRedis: inRedis, redis, version: version)
        // One after the other, as many as come.
        for _ in 0..<8 { #expect(try ask(stage).status == 200) }
        let first = try ask(stage)
        #expect(first["ratelimit-policy"] == "\"one\";q=3;qu=\"concurrent-requests\"" && first["ratelimit"] == "\"one\";r=2", "\(first)")
        let running = try begin(3, stage)
        let refused = try ask(stage)
        #expect(refused.status == 429 && refused["retry-after"] == "1" && refused["ratelimit"] == "\"one\";r=0", "\(refused)")
        #expect(try ask(stage, "other").status == 200)
        running[0].stop()
        #expect(eventually { (try? ask(stage).status) == 200 })
        // What was refused has taken no place.
        #expect(eventually { (try? ask(stage)["ratelimit"]) == "\"one\";r=0" })
        for one in running { one.stop() }
        #expect(eventually { (try? ask(stage)["ratelimit"]) == "\"one\";r=2" })
    }

    @Test("A response that lasts keeps its place, and what a killed worker had is free within 15 s", arguments: [false, true])
    func lasting(inRedis: Bool) throws {
        let redis = try RedisServer(in: folder)
        let stage = try stage("concurrent 2; key $header.x-key;", inRedis: inRedis, redis, workers: 1)
        let running = try begin(2, stage)
        // Longer than anybody is believed who says nothing.
        let deadline = Date().addingTimeInterval(20)
        while Date() < deadline {
            #expect(try ask(stage).status == 429)
            usleep(500_000)
        }
        let killed = Date()
        for worker in stage.gateway.children("worker") { kill(worker, SIGKILL) }
        #expect(eventually(within: 60) { (try? ask(stage)["ratelimit"]) == "\"one\";r=1" })
        print("Free again after \(Int(Date().timeIntervalSince(killed) * 1_000)) ms")
        for one in running { one.stop() }
    }

    @Test("What a gateway had under way that ended as a whole becomes free for the others", arguments: ["supervisor", "all"])
    func aGatewayThatEnds(what: String) throws {
        let redis = try RedisServer(in: folder)
        let (dying, other) = (
            try stage("concurrent 2; key $header.x-key;", inRedis: true, redis),
            try stage("concurrent 2; key $header.x-key;", inRedis: true, redis)
        )
        let running = try begin(2, dying)
        #expect(try ask(other).status == 429)
        let processes = ["worker", "control"].flatMap { dying.gateway.children($0) }
        let killed = Date()
        kill(dying.gateway.supervisor, SIGKILL)
        if what == "all" { for process in processes { kill(process, SIGKILL) } }
        // Workers do not outlive what started them, beyond the time in which they may end what is under way.
        #expect(eventually(within: 90) { processes.allSatisfy { !Program.isAlive($0) } })
        #expect(eventually(within: 60) { (try? ask(other)["ratelimit"]) == "\"one\";r=1" })
        print("Free again after \(Int(Date().timeIntervalSince(killed) * 1_000)) ms")
        for one in running { one.stop() }
    }

    @Test("A tunnel keeps its place for as long as it lasts", arguments: [false, true])
    func tunnels(inRedis: Bool) throws {
        let redis = try RedisServer(in: folder)
        let (port, plain) = (Ports.free(), Ports.free())
        let stage = try Stage(
            routes: "route /ws/** { upstream ws; public; upgrade websocket; limit one; } route /in { upstream app; auth sso; }",
            general: """
                listen 127.0.0.1:\(plain) { plaintext; }
                redis main { address 127.0.0.1:\(redis.port); timeout 500ms; }
                limit one { concurrent 1; key $client.ip; \(inRedis ? "store main;" : "") }
                limit other { rate 1000/1h; key $client.ip; store main; }
                upstream ws { server 127.0.0.1:\(port); }
                route /other { upstream app; public; limit other; }
                """, workers: 2)
        #expect(eventually { (try? stage.gateway.curl("/other").status) == 200 })
        let peer = try Executable.peerServer("websocket_peer", port, in: stage.folder)
        defer { peer.stop() }
        func open() throws -> (client: RawClient, head: String) {
            let client = try RawClient(port: plain)
            client.send(
                "GET /ws/x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            )
            return (client, client.read(until: "\r\n\r\n"))
        }
        var first: (client: RawClient, head: String)? = try open()
        #expect(first?.head.hasPrefix("HTTP/1.1 101") == true, "\(first?.head ?? "")")
        // Longer than anybody is believed who says nothing.
        let deadline = Date().addingTimeInterval(18)
        while Date() < deadline {
            #expect(try open().head.hasPrefix("HTTP/1.1 429"))
            usleep(1_000_000)
        }
        first = nil
        #expect(eventually(within: 30) { (try? open().head.hasPrefix("HTTP/1.1 101")) == true })
    }

    @Test("A Redis that was away learns of what is under way, and nobody is counted twice")
    func storeAway() throws {
        let redis = try RedisServer(in: folder)
        let stage = try stage("concurrent 3; key $header.x-key;", inRedis: true, redis)
        let before = try begin(2, stage)
        redis.stop()
        #expect(eventually { stage.gateway.log.contains("redis main is away") })
        // The host goes on from what it knows: one place is left.
        let meanwhile = try begin(1, stage)
        #expect(try ask(stage).status == 429)
        try redis.start()
        #expect(eventually(within: 30) { (try? redisCLI(redis.port, ["DBSIZE"]))?.hasPrefix("0") == false })
        // Each worker says what it has.
        let isKnown = eventually(within: 30) {
            let keys = (try? redisCLI(redis.port, ["KEYS", "pc2:*"]))?.split(separator: "\n").map(String.init) ?? []
            return keys.contains { key in
                let words = (try? redisCLI(redis.port, ["GET", key]))?.split(whereSeparator: \.isWhitespace) ?? []
                return words.count == 4 && words[0] == "w" && (UInt64(words[2]) ?? 0) + (UInt64(words[3]) ?? 0) == 3
            }
        }
        #expect(isKnown)
        #expect(try ask(stage).status == 429)
        for one in before + meanwhile { one.stop() }
        #expect(eventually(within: 30) { (try? ask(stage)["ratelimit"]) == "\"one\";r=2" })
    }

    @Test("What does not fit is told")
    func wrong() throws {
        let stage = try Stage()
        for (limit, expected) in [
            ("concurrent 3; rate 5/1h;", "has a rate or counts what is under way, not both"),
            ("concurrent 3; quota 5/day;", "has a quota or counts what is under way, not both"),
            ("concurrent 3; burst 2;", "has no burst"), ("concurrent 3; cost 2;", "has no cost"),
            ("concurrent 3; count_status 401;", "has no count_status"), ("concurrent 0;", "1"),
        ] {
            let output = try stage.check(
                stage.configuration("limit a { key $client.ip; \(limit) } route /** { upstream app; auth sso; limit a; }"))
            #expect(output.status != 0 && output.errors.contains(expected), "\(limit): \(output.errors)")
        }
        let said = try stage.check(
            stage.configuration("limit a { key $client.ip; concurrent 3; } route /** { upstream app; auth sso; limit a; }"))
        #expect(said.text.contains("3 requests at once for each client address"), "\(said)")
    }
}
