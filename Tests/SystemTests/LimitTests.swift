import Foundation
import Glibc
import TestSockets
import Testing

@Suite(.serialized) struct LimitTests {
    private func bearer(_ stage: Stage, _ subject: String = "alice") throws -> [String] {
        ["-H", "Authorization: Bearer \(try stage.signer.token(subject: subject))"]
    }

    @Test func oneTableForAllWorkersIsExact() throws {
        let stage = try Stage(
            routes: "route /** { upstream app; auth sso; limit hourly; }", general: "limit hourly { rate 40/day; key $claim.sub; }",
            workers: 4)
        let statuses = try stage.gateway.load("/", count: 200, parallel: 20, try bearer(stage))
        #expect(statuses == [200: 40, 429: 160])
        #expect(try stage.gateway.curl("/", try bearer(stage, "bob")).status == 200)
    }

    @Test func tellsHowMuchIsLeft() throws {
        let stage = try Stage(
            routes: "route /** { upstream app; auth sso; limit per_user per_address; }",
            general:
                "limit per_user { rate 60/minute; burst 2; key $claim.sub; }\nlimit per_address { rate 1000/hour; key $client.ip $route; }")
        let token = try bearer(stage)
        let first = try stage.gateway.curl("/", token)
        #expect(first["ratelimit-policy"] == "\"per_address\";q=1000;w=3600, \"per_user\";q=60;w=60")
        #expect(first["ratelimit"]?.hasPrefix("\"per_address\";r=999;t=") == true)
        #expect(first["ratelimit"]?.hasSuffix(", \"per_user\";r=1;t=1") == true)
        _ = try stage.gateway.curl("/", token)
        var refused = try stage.gateway.curl("/", token)
        for _ in 0..<5 where refused.status != 429 { refused = try stage.gateway.curl("/", token) }
        #expect(refused.status == 429)
        #expect(refused["retry-after"] == "1")
        #expect(refused["ratelimit"]?.contains("\"per_user\";r=0") == true)
        #expect(refused.body.contains("\"reason\":\"limit_exceeded\""))
    }

    @Test func countsThoseWhomTheGatewayItselfRefuses() throws {
        for store in ["", "store main; when_store_fails closed;"] {
            let folder = TemporaryFolder()
            let redis = try RedisServer(in: folder)
            let stage = try Stage(
                routes: """
                    route /** { upstream app; auth sso; scope read:orders; limit failures per_user; }
                    route /all { upstream app; auth sso; limit address; }
                    """,
                general: """
                    \(store.isEmpty ? "" : "redis main { address 127.0.0.1:\(redis.port); timeout 500ms; }")
                    limit failures { rate 3/1h; key $client.ip; count_status 401 403; \(store) }
                    limit per_user { rate 1000/1h; key $claim.sub; \(store) }
                    limit address { rate 4/1h; key $client.ip; \(store) }
                    """)
            let good = try bearer(stage)
            for _ in 0..<6 { #expect(try stage.gateway.curl("/x", good).status == 200) }
            for _ in 0..<2 { #expect(try stage.gateway.curl("/x", ["-H", "Authorization: Bearer bad"]).status == 401) }
            let poor = try stage.signer.token(scopes: ["read:nothing"])
            #expect(try stage.gateway.curl("/x", ["-H", "Authorization: Bearer \(poor)"]).status == 403)
            #expect(try stage.gateway.curl("/x", ["-H", "Authorization: Bearer bad"]).status == 429)
            #expect(try stage.gateway.curl("/x", good).status == 429)
            for _ in 0..<4 { #expect(try stage.gateway.curl("/all").status == 401) }
            #expect(try stage.gateway.curl("/all").status == 429)
        }
    }

    @Test func countsOnlyTheStatusesItIsToldTo() throws {
        let port = Ports.free()
        let stage = try Stage(
            routes: "route /** { upstream signin; public; limit sign_in; } route /in { upstream app; auth sso; }",
            general: "limit sign_in { rate 3/5m; key $client.ip; count_status 401 403; }\nupstream signin { server 127.0.0.1:\(port); }",
            servers: "server { listen 127.0.0.1:\(port); location /good { return 200 ok; } location / { return 401 no; } }",
            serverPorts: [port])
        for _ in 0..<10 { #expect(try stage.gateway.curl("/good").status == 200) }
        for _ in 0..<3 { #expect(try stage.gateway.curl("/bad").status == 401) }
        #expect(try stage.gateway.curl("/bad").status == 429)
        #expect(try stage.gateway.curl("/good").status == 429)
    }

    private func redisStage(_ redis: RedisServer, whenFails: String, password: String? = nil, environment: [String: String] = [:]) throws
        -> Stage
    {
        try Stage(
            routes: "route /** { upstream app; auth sso; limit shared; }",
            general: """
                redis main { address 127.0.0.1:\(redis.port); timeout 200ms; \(password.map { _ in "password ${REDIS_PASSWORD};" } ?? "") }
                limit shared { rate 5/day; key $claim.sub; store main; when_store_fails \(whenFails); }
                """, environment: environment)
    }

    /// At the present time a double holds microseconds since 1970 only to a quarter of one.
    @Test(arguments: ["60/s", "7/s", "333/s", "1000/minute"]) func aBurstOfOneIsNotLostToRounding(rate: String) throws {
        let folder = TemporaryFolder()
        let redis = try RedisServer(in: folder)
        let stage = try Stage(
            routes: "route /** { upstream app; public; limit single; } route /in { upstream app; auth sso; }",
            general: """
                redis main { address 127.0.0.1:\(redis.port); timeout 500ms; }
                limit single { rate \(rate); burst 1; key $header.X-Key; store main; when_store_fails closed; }
                """)
        let statuses = try (0..<20).map { try stage.gateway.curl("/", ["-H", "X-Key: \($0)"]).status }
        #expect(statuses.allSatisfy { $0 == 200 }, "\(statuses)")
        // The counter-test: the second at the same moment is one too many.
        #expect(try stage.gateway.load("/", count: 40, parallel: 40, ["-H", "X-Key: same"])[429, default: 0] > 0)
    }

    @Test func twoGatewaysShareALimitThroughRedis() throws {
        let folder = TemporaryFolder()
        let redis = try RedisServer(in: folder, password: "s3cret")
        let first = try redisStage(redis, whenFails: "closed", password: "s3cret", environment: ["REDIS_PASSWORD": "s3cret"])
        let second = try redisStage(redis, whenFails: "closed", password: "s3cret", environment: ["REDIS_PASSWORD": "s3cret"])
        for _ in 0..<4 { #expect(eventually { (try? first.gateway.curl("/", bearer(first, "warm-\(UUID())")).status) == 200 }) }
        let one = try first.gateway.load("/", count: 20, parallel: 5, try bearer(first))
        let two = try second.gateway.load("/", count: 20, parallel: 5, try bearer(second))
        #expect(one[200, default: 0] + two[200, default: 0] == 5)
        #expect(one[200] == 5)
        #expect(one[429, default: 0] + two[429, default: 0] == 35)
    }

    @Test func reachesRedisOverTLSAsAnACLUser() throws {
        let folder = TemporaryFolder()
        try Credentials.certificate(in: folder, name: "redis", names: ["redis.internal"])
        let rules = [
            "--user", "gate", "on", ">s3cret", "~pc2:*", "+script|load", "+evalsha", "+time", "+get", "+set", "+select", "+role", "--user",
            "default", "off",
        ]
        let tls = [
            "--tls-cert-file", "\(folder.path)/redis.crt", "--tls-key-file", "\(folder.path)/redis.key", "--tls-auth-clients", "no",
        ]
        let redis = try RedisServer(in: folder, tls: true, tls + rules)
        func stage(_ server: String, _ password: String) throws -> Stage {
            try Stage(
                routes: "route /** { upstream app; auth sso; limit shared; }",
                general: """
                    redis main { address 127.0.0.1:\(redis.port); timeout 500ms; username gate; password \(password);
                                 tls { trusted_certificate \(folder.path)/redis.crt; server_name \(server); } }
                    limit shared { rate 5/day; key $claim.sub; store main; when_store_fails closed; }
                    """)
        }
        let good = try stage("redis.internal", "s3cret")
        #expect(eventually { (try? good.gateway.curl("/", bearer(good, UUID().uuidString)).status) == 200 }, "\(good.gateway.log)")
        #expect(try good.gateway.load("/", count: 12, parallel: 4, try bearer(good)) == [200: 5, 429: 7])
        let stranger = try stage("other.internal", "s3cret")
        #expect(try stranger.gateway.curl("/", bearer(stranger)).status == 503)
        #expect(eventually { stranger.gateway.log.contains("certificate verify failed") }, "\(stranger.gateway.log)")
        let wrong = try stage("redis.internal", "wrong")
        #expect(try wrong.gateway.curl("/", bearer(wrong)).status == 503)
        #expect(eventually { wrong.gateway.log.contains("WRONGPASS") }, "\(wrong.gateway.log)")
    }

    @Test(arguments: [("open", 200), ("closed", 503), ("local", 200)])
    func doesWhatTheFileSaysWhenRedisIsAwayAndComesBackByItself(whenFails: String, expected: Int) throws {
        let folder = TemporaryFolder()
        let redis = try RedisServer(in: folder)
        let stage = try redisStage(redis, whenFails: whenFails)
        func get(_ subject: String = UUID().uuidString) throws -> Int { try stage.gateway.curl("/", bearer(stage, subject)).status }
        #expect(eventually { (try? get()) == 200 })
        redis.stop()
        #expect(eventually { (try? get()) == expected })
        for _ in 0..<3 { #expect(try get() == expected) }
        if whenFails == "local" {
            let statuses = try stage.gateway.load("/", count: 20, parallel: 4, try bearer(stage, "local"))
            #expect(statuses == [200: 5, 429: 15])
        }
        #expect(stage.gateway.log.contains("redis main is away"))
        let complaints = stage.gateway.log.components(separatedBy: "redis main is away").count - 1
        #expect(complaints <= 2, "each worker says once that the store is away")
        try redis.start()
        #expect(eventually(within: 2) { stage.gateway.log.components(separatedBy: "redis main is back").count > 2 })
        #expect(try get() == 200)
    }

    /// A primary that becomes a replica answers READONLY on the connection that is open: it has to be left.
    @Test func comesBackAfterAFailover() throws {
        let folder = TemporaryFolder()
        let (one, other) = (try RedisServer(in: folder), try RedisServer(in: folder))
        let stage = try redisStage(one, whenFails: "closed")
        func command(_ words: String...) throws { _ = try run("/usr/bin/redis-cli", ["-p", "\(one.port)"] + words) }
        func get() throws -> Int { try stage.gateway.curl("/", bearer(stage, UUID().uuidString)).status }
        #expect(try get() == 200)
        try command("REPLICAOF", "127.0.0.1", "\(other.port)")
        #expect(eventually(within: 20) { (try? get()) == 503 && stage.gateway.log.contains("READONLY") })
        try command("REPLICAOF", "NO", "ONE")
        #expect(eventually(within: 20) { (try? get()) == 200 && stage.gateway.log.contains("it replies") })
        try command("CLIENT", "PAUSE", "3000", "ALL")
        #expect(eventually(within: 20) { (try? get()) == 503 })
        #expect(eventually(within: 30) { (try? get()) == 200 })
    }

    /// Whatever happens to Redis, with `open` and with `local` every request is answered; and when Redis is back it is asked again.
    @Test(arguments: ["open", "local"]) func nobodyIsRefusedForWhatHappensToRedis(whenFails: String) throws {
        let folder = TemporaryFolder()
        let (one, other) = (try RedisServer(in: folder), try RedisServer(in: folder))
        let port = Ports.free()
        let stage = try Stage(
            routes: "route /** { upstream app; public; limit shared; }",
            general: """
                listen 127.0.0.1:\(port) { plaintext; }
                redis main { address 127.0.0.1:\(one.port); timeout 200ms; }
                limit shared { rate 1000000/s; key $client.ip; store main; when_store_fails \(whenFails); }
                """)
        func command(_ words: String...) throws { _ = try run("/usr/bin/redis-cli", ["-p", "\(one.port)"] + words) }
        let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        func isAsked() throws -> Bool {
            let before = try one.scriptCalls()
            // One after the other: what comes at once may be one call.
            #expect(PlainLoad.run(port: port, request: request, count: 8, parallel: 1) == [200: 8])
            return try one.scriptCalls() >= before + 8
        }
        #expect(eventually { (try? isAsked()) == true })
        let events: [(String, () throws -> Void, () throws -> Void)] = [
            ("SCRIPT FLUSH", { try command("SCRIPT", "FLUSH") }, {}),
            ("REPLICAOF", { try command("REPLICAOF", "127.0.0.1", "\(other.port)") }, { try command("REPLICAOF", "NO", "ONE") }),
            ("CLIENT PAUSE", { try command("CLIENT", "PAUSE", "1500", "ALL") }, {}),
            ("a restart", { one.stop() }, { try one.start() }),
            ("a stop", { one.signal(SIGSTOP) }, { one.signal(SIGCONT) }),
        ]
        for (name, begin, end) in events {
            let statuses = Box<[Int: Int]>([:])
            let (isOver, hasEnded) = (Flag(), Flag())
            Thread {
                while !isOver.isSet {
                    let some = PlainLoad.run(port: port, request: request, count: 100, parallel: 4)
                    statuses.change { $0.merge(some) { $0 + $1 } }
                }
                hasEnded.set()
            }.start()
            try begin()
            // What happens lasts for a while.
            for _ in 0..<10 { #expect(try stage.gateway.curl("/").status == 200, "\(name)") }
            try end()
            #expect(eventually(within: 20) { (try? isAsked()) == true }, "\(name): Redis is not asked again")
            isOver.set()
            #expect(eventually(within: 60) { hasEnded.isSet })
            #expect(statuses.value.keys.sorted() == [200], "\(name): \(statuses.value)")
        }
        #expect(!stage.gateway.log.contains("ended unexpectedly"))
    }

    /// A server that has lost the script is given it again, and nobody is refused for that.
    @Test func aFlushOfTheScriptsIsNotNoticed() throws {
        let folder = TemporaryFolder()
        let redis = try RedisServer(in: folder)
        let stage = try redisStage(redis, whenFails: "closed")
        let token = try bearer(stage, "alice")
        for _ in 0..<5 {
            #expect(try stage.gateway.curl("/", token).status == 200)
            _ = try run("/usr/bin/redis-cli", ["-p", "\(redis.port)", "SCRIPT", "FLUSH"])
        }
        #expect(try stage.gateway.load("/", count: 50, parallel: 10, try bearer(stage, "bob"))[503] == nil)
        #expect(!stage.gateway.log.contains("NOSCRIPT"))
    }

    @Test func treatsAHangingOrWrongRedisAsAway() throws {
        let folder = TemporaryFolder()
        let redis = try RedisServer(in: folder)
        let stage = try redisStage(redis, whenFails: "closed")
        #expect(eventually { (try? stage.gateway.curl("/", bearer(stage, UUID().uuidString)).status) == 200 })
        redis.signal(SIGSTOP)
        let began = Date()
        #expect(try stage.gateway.curl("/", bearer(stage)).status == 503)
        #expect(Date().timeIntervalSince(began) < 10)
        redis.signal(SIGCONT)
        #expect(eventually { (try? stage.gateway.curl("/", bearer(stage, UUID().uuidString)).status) == 200 })
        redis.stop()
        // In its place, something that speaks no Redis.
        let impostor = try Nginx(
            "server { listen 127.0.0.1:\(redis.port); location / { return 200 'x'; } }", in: folder, name: "impostor", ports: [redis.port])
        _ = impostor
        for _ in 0..<5 { #expect(try stage.gateway.curl("/", bearer(stage)).status == 503) }
        #expect(!stage.gateway.log.contains("ended unexpectedly"))
    }

    /// The same in memory and in Redis: requests that are held open until their charge has worn off give nothing back.
    @Test(arguments: [false, true]) func refundsThatAreSavedUpAreWorthNothing(inRedis: Bool) throws {
        let folder = TemporaryFolder()
        let redis = try RedisServer(in: folder)
        let release = Flag()
        let arrived = Box(0)
        let server = try ScriptedServer { client, _ in
            let head = client.read(until: "\r\n\r\n")
            if head.hasPrefix("GET /slow") {
                arrived.change { $0 += 1 }
                eventually(within: 60) { release.isSet }
            }
            client.send("HTTP/1.1 \(head.hasPrefix("GET /slow") ? "200 OK" : "401 No")\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        }
        let store = inRedis ? "store main; when_store_fails closed;" : ""
        let (stage, port) = try plainStage(
            routes: "route /** { upstream guess; public; limit sign_in; } route /in { upstream app; auth sso; }",
            more: """
                \(inRedis ? "redis main { address 127.0.0.1:\(redis.port); timeout 2s; }" : "")
                upstream guess { server 127.0.0.1:\(server.port); }
                limit sign_in { rate 4/2s; key $client.ip; count_status 401; \(store) }
                """,
            // Two workers may take the time at moments that lie apart: then the last request of a burst comes too early for one of them.
            workers: 1)
        func open(_ path: String) throws -> RawClient {
            let client = try RawClient(port: port)
            client.send("GET \(path) HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            return client
        }
        // Each four fill the quota, and wear off while their responses are awaited.
        var held: [RawClient] = []
        for round in 1...3 {
            for _ in 0..<4 { held.append(try open("/slow")) }
            // The time begins when they have been charged, which may be late on a busy machine.
            #expect(eventually { arrived.value == 4 * round })
            usleep(2_200_000)
        }
        for _ in 0..<4 { _ = try open("/guess").read() }
        release.set()
        for client in held { #expect(client.read().hasPrefix("HTTP/1.1 200")) }
        var extra = 0
        let began = Date()
        for _ in 0..<8 where try open("/guess").read().hasPrefix("HTTP/1.1 401") { extra += 1 }
        // What the rate gives back meanwhile, and no more.
        #expect(Double(extra) <= 1 + Date().timeIntervalSince(began) * 2 + 2, "\(extra)")
        if inRedis {
            let keys = try run("/usr/bin/redis-cli", ["-p", "\(redis.port)", "keys", "*"]).text
            #expect(keys.contains("pc2:"))
        }
        _ = stage
    }

    @Test func secretsDoNotStandInRedis() throws {
        let folder = TemporaryFolder()
        let redis = try RedisServer(in: folder)
        let stage = try Stage(
            routes: "route /** { upstream app; public; limit per_key; } route /in { upstream app; auth sso; }",
            general: """
                redis main { address 127.0.0.1:\(redis.port); timeout 500ms; }
                limit per_key { rate 5/day; key $header.X-Api-Token; store main; when_store_fails closed; }
                """)
        let long = String(repeating: "k", count: 6_000)
        for token in ["s3cret-token", long] { #expect(try stage.gateway.curl("/", ["-H", "X-Api-Token: \(token)"]).status == 200) }
        let keys = try run("/usr/bin/redis-cli", ["-p", "\(redis.port)", "keys", "*"]).text
        #expect(keys.split(separator: "\n").count == 2, "\(keys)")
        #expect(!keys.contains("s3cret") && !keys.contains("kkkk") && keys.utf8.count < 300, "\(keys)")
        // Without the field each address has its own quota, and none shares that of a field's value.
        for _ in 0..<5 { #expect(try stage.gateway.curl("/").status == 200) }
        #expect(try stage.gateway.curl("/").status == 429)
    }
}
