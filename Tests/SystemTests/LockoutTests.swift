import Foundation
import Glibc
import TestSockets
import Testing

/// Failures that lock a key out, in memory and in Redis alike.
@Suite("Lockouts") struct LockoutTests {
    private let folder = TemporaryFolder()

    /// A service that answers `/login?status=N` with that status.
    private func stage(_ lockout: String, key: String = "$client.ip $header.x-user", inRedis: Bool, _ redis: RedisServer) throws -> Stage {
        let port = Ports.free()
        let stage = try Stage(
            routes: "route /login/** { upstream service; public; limit tries; } route /** { upstream app; auth sso; }",
            general: """
                redis main { address 127.0.0.1:\(redis.port); timeout 500ms; }
                limit tries { \(lockout) key \(key); \(inRedis ? "store main;" : "") }
                limit other { rate 100000/1h; key $client.ip; store main; }
                upstream service { server 127.0.0.1:\(port); }
                route /other { upstream app; public; limit other; }
                """,
            servers: """
                server { listen 127.0.0.1:\(port); location /login/fail { return 401; }
                  location / { if ($arg_status = 401) { return 401; } if ($arg_status = 403) { return 403; } if ($arg_status = 500) { return 500; } return 200 'in'; } }
                """, serverPorts: [port])
        #expect(eventually { (try? stage.gateway.curl("/other").status) == 200 })
        return stage
    }

    private func attempt(_ stage: Stage, _ status: Int, _ user: String = "a") throws -> Answer {
        try stage.gateway.curl("/login/?status=\(status)", ["-H", "X-User: \(user)"])
    }

    @Test("Failures lock a key, each time for longer, and a success begins again", arguments: [false, true])
    func grows(inRedis: Bool) throws {
        let redis = try RedisServer(in: folder)
        let stage = try stage("lockout 3/5m { status 401 403; for 2s; grow 2; until 1h; reset_status 200; }", inRedis: inRedis, redis)
        // A success between them: they do not add up.
        for status in [401, 403, 200, 401, 403, 200] { #expect(try attempt(stage, status).status == status) }
        // What is neither counts for nothing.
        for status in [401, 500, 500, 500, 403, 500] { #expect(try attempt(stage, status).status == status) }
        let third = try attempt(stage, 401)
        #expect(third.status == 401 && third["ratelimit"]?.hasPrefix("\"tries\";r=0;") == true, "\(third)")
        var refused = try attempt(stage, 200)
        #expect(refused.status == 429 && ["1", "2"].contains(refused["retry-after"]), "\(refused)")
        #expect(try attempt(stage, 401, "b").status == 401)
        // Tries meanwhile prolong nothing; then three more are let through, and the second lock is twice as long.
        #expect(eventually(within: 20) { (try? attempt(stage, 401).status) == 401 })
        for _ in 0..<2 { #expect(try attempt(stage, 401).status == 401) }
        refused = try attempt(stage, 401)
        #expect(refused.status == 429 && ["3", "4"].contains(refused["retry-after"]), "\(refused)")
        #expect(eventually(within: 30) { (try? attempt(stage, 200).status) == 200 })
        // A success forgets the level.
        for _ in 0..<3 { #expect(try attempt(stage, 403).status == 403) }
        refused = try attempt(stage, 401)
        #expect(refused.status == 429 && ["1", "2"].contains(refused["retry-after"]), "\(refused)")
    }

    @Test("Of many attempts at once no more pass than failures are allowed", arguments: [false, true])
    func atOnce(inRedis: Bool) throws {
        let redis = try RedisServer(in: folder)
        let stage = try stage("lockout 5/5m { status 401; for 1h; }", key: "$client.ip", inRedis: inRedis, redis)
        let statuses = try stage.gateway.load("/login/fail", count: 400, parallel: 40)
        #expect(statuses == [401: 5, 429: 395], "\(statuses)")
        let refused = try attempt(stage, 200)
        let wait = try #require(Int(refused["retry-after"] ?? ""))
        #expect(refused.status == 429 && (3_000...3_600).contains(wait), "\(refused)")
        // A worker that is new knows it too; and where Redis is away, or comes back with nothing.
        for worker in stage.gateway.children("worker") { kill(worker, SIGKILL) }
        #expect(eventually { (try? attempt(stage, 200).status) == 429 })
        guard inRedis else { return }
        redis.stop()
        #expect(eventually { stage.gateway.log.contains("redis main is away") })
        #expect(try attempt(stage, 200).status == 429)
        try redis.start()
        #expect(eventually(within: 30) { stage.gateway.log.contains("redis main is back") })
        for _ in 0..<10 { #expect(try attempt(stage, 200).status == 429) }
        #expect(
            eventually(within: 30) {
                _ = try? attempt(stage, 200)
                let keys = (try? redisCLI(redis.port, ["KEYS", "pc2:*"]))?.split(separator: "\n").map(String.init) ?? []
                return keys.contains { (try? redisCLI(redis.port, ["GET", $0]))?.hasPrefix("l ") == true }
            })
    }

    @Test("check says what a lockout does, and warns of keys that anybody can lock")
    func told() throws {
        let stage = try Stage()
        func check(_ text: String) throws -> Output {
            try stage.check(stage.configuration("limit a { \(text) } route /** { upstream app; auth sso; limit a; }"))
        }
        let good = try check("lockout 5/5m { status 401 403; for 1m; } key $client.ip;")
        #expect(
            good.text.contains(
                "5 responses with 401 or 403 within 5 minutes lock each client address out for a minute, 2 times as long each time, at most a day"
            ),
            "\(good)")
        let open = try check("lockout 5/5m { status 401; } key $header.x-user;")
        #expect((open.text + open.errors).contains("locks that one out"), "\(open)")
        for (text, expected) in [
            ("lockout 5/5m { status 401; } rate 5/1m; key $client.ip;", "has a rate or a lockout, not both"),
            ("lockout 5/5m { status 401; } count_status 401; key $client.ip;", "a lockout has no count_status"),
            ("lockout 5/5m { status 401; } cost 2; key $client.ip;", "a lockout has no cost"),
        ] {
            let output = try check(text)
            #expect(output.status != 0 && output.errors.contains(expected), "\(text): \(output.errors)")
        }
        for limit in ["lockout 5/5m { status 401; } key $client.ip;", "concurrent 5; key $client.ip;"] {
            let output = try stage.check(
                stage.configuration("limit a { \(limit) } route /** { upstream app; auth sso; limit a { cost 5; } }"))
            #expect(output.status != 0 && output.errors.contains("of which none has a cost"), "\(output)")
        }
    }
}
