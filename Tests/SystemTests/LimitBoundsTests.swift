import Foundation
import TestSockets
import Testing

/// What a host lets through by itself, and how limits are told.
@Suite("Bounds and fields of limits") struct LimitBoundsTests {
    private let folder = TemporaryFolder()

    private func stage(_ limits: String, _ server: RedisServer, route: String = "limit one;") throws -> Stage {
        let stage = try Stage(
            routes: "route /** { upstream app; public; \(route) } route /in { upstream app; auth sso; }",
            general: """
                redis main { address 127.0.0.1:\(server.port); timeout 500ms; }
                limit other { rate 100000/1h; key $client.ip; store main; }
                route /other { upstream app; public; limit other; }
                \(limits)
                """)
        #expect(eventually { (try? stage.gateway.curl("/other").status) == 200 })
        return stage
    }

    private func ask(_ stage: Stage, _ key: String) throws -> Answer { try stage.gateway.curl("/", ["-H", "X-Key: \(key)"]) }

    @Test("A host lets no more through than its cap, and does not ask Redis beyond")
    func cap() throws {
        let server = try RedisServer(in: folder)
        let stage = try stage("limit one { rate 1000/1h; key $header.x-key; store main; cap host 3/1h; }", server)
        let statuses = try (0..<6).map { _ in try ask(stage, "k").status }
        #expect(statuses == [200, 200, 200, 429, 429, 429])
        let calls = try redisCLI(server.port, ["INFO", "commandstats"])
        let refused = try ask(stage, "k")
        #expect(refused.status == 429 && refused["ratelimit"]?.hasPrefix("\"one\";r=0;t=") == true, "\(refused)")
        func count(_ text: String) -> String? {
            text.split(whereSeparator: \.isNewline).first { $0.hasPrefix("cmdstat_evalsha:") }.map(String.init)
        }
        #expect(try count(redisCLI(server.port, ["INFO", "commandstats"])) == count(calls))
        #expect(try ask(stage, "other").status == 200)
        // Operators see it, and a key that they forgive has it whole again.
        func limit(_ action: String) throws -> String {
            try run(Executable.portcullis, ["limit", action, "--socket", "\(stage.folder.path)/admin.sock", "one", "k"]).text
        }
        let shown = try limit("show")
        #expect(shown.contains("cap of this host: 0 left"), "\(shown)")
        #expect(try limit("reset").contains("cap of this host: 3 left"))
        #expect(try (0..<4).map { _ in try ask(stage, "k").status } == [200, 200, 200, 429])
    }

    @Test("With share auto each of the hosts that share a Redis goes on with its part when it is away")
    func shareAuto() throws {
        let server = try RedisServer(in: folder)
        func stage(_ health: Int) throws -> Stage {
            try Stage(
                routes: "route /** { upstream app; public; limit one; } route /in { upstream app; auth sso; }",
                general: """
                    health 127.0.0.1:\(health);
                    redis main { address 127.0.0.1:\(server.port); timeout 500ms; }
                    limit one { rate 9/1h; key $header.x-key; store main; share auto; }
                    """)
        }
        let ports = (0..<3).map { _ in Ports.free() }
        let stages = try ports.map(stage)
        func members(_ port: Int) throws -> String {
            let text = try run(Executable.curl, ["-s", "-m", "10", "http://127.0.0.1:\(port)/metrics"]).text
            return text.split(whereSeparator: \.isNewline).first { $0.hasPrefix("portcullis_store_members{redis=\"main\"} ") }.map(
                String.init) ?? ""
        }
        // Each says every five seconds that it is there.
        #expect(eventually(within: 40) { ports.allSatisfy { (try? members($0))?.hasSuffix(" 3") ?? false } })
        #expect(try redisCLI(server.port, ["TTL", "pc2:members"]).trimmingCharacters(in: .whitespacesAndNewlines) != "-1")
        server.stop()
        for stage in stages {
            // The first question finds that it is away.
            #expect(eventually { stage.gateway.log.contains("redis main is away") || (try? ask(stage, "warm")) == nil })
            let statuses = try (0..<5).map { _ in try ask(stage, "k").status }
            #expect(statuses == [200, 200, 200, 429, 429])
        }
    }

    @Test("A user that may not count the hosts is told of, and limits go on")
    func shareWithoutRights() throws {
        let rules = [
            "--user", "default", "on", "nopass", "~pc2:*", "+script|load", "+evalsha", "+time", "+get", "+set", "+select", "+role", "+ping",
        ]
        let server = try RedisServer(in: folder, rules)
        let stage = try stage("limit one { rate 3/1h; key $header.x-key; store main; share auto; }", server)
        #expect(eventually(within: 20) { stage.gateway.log.contains("gateways cannot be counted, for share auto: ") })
        #expect(try (0..<4).map { _ in try ask(stage, "k").status } == [200, 200, 200, 429])
        #expect(!stage.gateway.log.contains("is away"))
    }

    @Test(
        "What is reserved is for critical routes, and all use one quota",
        arguments: ["rate 10/1h", "rate 10/1h; window fixed", "rate 10/1h; store main", "rate 10/1h; window sliding; store main"])
    func reserve(_ directives: String) throws {
        let server = try RedisServer(in: folder)
        let stage = try Stage(
            routes: """
                route /** { upstream app; public; limit one; } route /in { upstream app; auth sso; }
                route /pay { upstream app; public; limit one { critical; } }
                """,
            general: """
                redis main { address 127.0.0.1:\(server.port); timeout 500ms; }
                limit other { rate 100000/1h; key $client.ip; store main; }
                route /other { upstream app; public; limit other; }
                limit one { \(directives); reserve 20%; key $header.x-key; }
                """)
        #expect(eventually { (try? stage.gateway.curl("/other").status) == 200 })
        func ask(_ path: String, _ key: String, _ count: Int) throws -> [Int] {
            try (0..<count).map { _ in try stage.gateway.curl(path, ["-H", "X-Key: \(key)"]).status }
        }
        #expect(try ask("/", "a", 9) == Array(repeating: 200, count: 8) + [429])
        #expect(try ask("/pay", "a", 3) == [200, 200, 429])
        // What critical routes have used the others do not have.
        #expect(try ask("/pay", "b", 5) == [200, 200, 200, 200, 200])
        #expect(try ask("/", "b", 4) == [200, 200, 200, 429])
        #expect(try ask("/pay", "b", 3) == [200, 200, 429] && ask("/", "b", 1) == [429])
        #expect(try stage.gateway.curl("/", ["-H", "X-Key: c"])["ratelimit"]?.hasPrefix("\"one\";r=7;") == true)
        #expect(try stage.gateway.curl("/pay", ["-H", "X-Key: c"])["ratelimit"]?.hasPrefix("\"one\";r=8;") == true)
    }

    @Test("What another limit refuses gives the cap back")
    func givenBack() throws {
        let server = try RedisServer(in: folder)
        let stage = try stage(
            """
            limit one { rate 1000/1h; key $header.x-key; store main; cap host 3/1h; }
            limit two { rate 1/1h; key $header.x-two; store main; }
            """, server, route: "limit one two;")
        func both(_ two: String) throws -> Int { try stage.gateway.curl("/", ["-H", "X-Key: k", "-H", "X-Two: \(two)"]).status }
        #expect(try both("a") == 200)
        for _ in 0..<5 { #expect(try both("a") == 429) }
        #expect(try [both("b"), both("c"), both("d")] == [200, 200, 429])
    }

    @Test("While Redis is away each host lets its share through")
    func share() throws {
        let server = try RedisServer(in: folder)
        let stage = try stage("limit one { rate 40/10h; key $header.x-key; store main; share 1/4; }", server)
        for _ in 0..<5 { #expect(try ask(stage, "k").status == 200) }
        server.stop()
        #expect(eventually { stage.gateway.log.contains("redis main is away") })
        // Ten of a key that has plenty, and of one that nobody knows.
        for key in ["k", "new"] {
            let passed = try (0..<14).count { _ in try ask(stage, key).status == 200 }
            #expect(passed == 10, "\(key)")
        }
        // Of the one that Redis knows, what it knew and what was let through meanwhile counts when it is back.
        try server.start()
        #expect(
            eventually(within: 30) {
                (try? ask(stage, "fresh")["ratelimit"])??.hasPrefix("\"one\";r=39") == true
                    || stage.gateway.log.contains("redis main is back")
            })
        // A worker that cannot ask yet has used its share up.
        #expect(
            eventually(within: 30) {
                let left =
                    (try? ask(stage, "k")["ratelimit"])??.split(separator: ";").dropFirst().first.flatMap { Int($0.dropFirst(2)) } ?? -1
                return (10...24).contains(left)
            })
    }

    @Test("Limits are told as drafted, in the older fields or not at all, and waits may differ")
    func fields() throws {
        let server = try RedisServer(in: folder)
        let stage = try stage(
            """
            limit old { rate 5/1h; key $header.x-key; headers legacy; }
            limit silent { rate 4/1h; key $header.x-key; headers off; retry_jitter 10; }
            limit drafted { rate 6/1h; key $header.x-key; }
            """, server, route: "limit old silent drafted;")
        let answer = try ask(stage, "k")
        #expect(
            answer["x-ratelimit-limit"] == "5" && answer["x-ratelimit-remaining"] == "4" && answer["x-ratelimit-reset"] == "720"
                && answer["ratelimit"] == "\"drafted\";r=5;t=600" && answer["ratelimit-policy"] == "\"drafted\";q=6;w=3600", "\(answer)")
        for _ in 0..<3 { _ = try ask(stage, "k") }
        let waits = try (0..<20).map { _ in
            let refused = try ask(stage, "k")
            #expect(refused.status == 429)
            return try #require(Int(refused["retry-after"] ?? ""))
        }
        // 900 s, and a tenth of it at most.
        #expect(waits.allSatisfy { (890...990).contains($0) } && Set(waits).count > 3, "\(waits)")
    }

    @Test("What does not fit is told")
    func wrong() throws {
        let stage = try Stage()
        for (limit, expected) in [
            ("rate 5/1h; cap host 3/1h;", "cap is for limits kept in Redis"),
            ("rate 5/1h; share 1/2;", "share is for limits kept in Redis"),
            ("rate 5/1h; store main; share 2/1;", "'2/1' is no share"), ("rate 5/1h; store main; share 1;", "is no share"),
            ("rate 5/1h; store main; cap 3/1h;", "cap"), ("rate 5/1h; store main; cap fleet 3/1h;", "a cap is the host's"),
            ("quota 5/day; store main; share 1/2;", "a share is of a rate and burst"),
            ("rate 5/1h; store main; share 1/2; when_store_fails open;", "a share is of a rate and burst"),
            ("rate 5/1h; headers what;", "headers"), ("rate 5/1h; retry_jitter 101;", "100"),
        ] {
            let output = try stage.check(
                stage.configuration(
                    "redis main { address 127.0.0.1:1; } limit b { rate 5/1h; key $client.ip; store main; } limit a { key $client.ip; \(limit) } route /** { upstream app; auth sso; limit a b; }"
                ))
            #expect(output.status != 0 && output.errors.contains(expected), "\(limit): \(output.errors)")
        }
    }
}
