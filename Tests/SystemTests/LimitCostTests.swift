import Foundation
import TestSockets
import Testing

/// Requests that count for several, and tokens of which each has the quota of its plan: in memory and in Redis alike.
@Suite("Plans and costs of limits") struct LimitCostTests {
    private let folder = TemporaryFolder()

    private func stage(
        _ limit: String, inRedis: Bool, _ server: RedisServer, routes: String = "route /** { upstream app; auth sso; limit one; }",
        version: String = HTTPVersions.two
    ) throws -> (stage: Stage, costs: Int) {
        let port = Ports.free()
        let stage = try Stage(
            version: version, routes: routes,
            general: """
                redis main { address 127.0.0.1:\(server.port); timeout 500ms; }
                limit other { rate 1000/1h; key $client.ip; store main; }
                limit one { \(limit) \(inRedis ? "store main;" : "") }
                upstream costs { server 127.0.0.1:\(port); }
                route /other { upstream app; public; limit other; }
                """,
            servers: """
                server { listen 127.0.0.1:\(port);
                  location / { add_header X-Cost $arg_cost always; return 200 'a body'; }
                  location /none { return 200 'a body'; }
                  location /long { root \(folder.path); } }
                """, serverPorts: [port])
        #expect(eventually { (try? stage.gateway.curl("/other").status) == 200 })
        return (stage, port)
    }

    @Test("Each token has the rate of its plan, and who has none has the default", arguments: [false, true])
    func plans(inRedis: Bool) throws {
        let server = try RedisServer(in: folder)
        let (stage, _) = try stage(
            "rate $claim.plan { free 2/1h; pro 10/1h burst 4; default free; } key $claim.sub;", inRedis: inRedis, server)
        func ask(_ subject: String, _ plan: String?, _ count: Int) throws -> [Answer] {
            let token = try stage.signer.token(subject: subject, plan.map { ["plan": $0] } ?? [:])
            return try (0..<count).map { _ in try stage.gateway.curl("/", ["-H", "Authorization: Bearer \(token)"]) }
        }
        let free = try ask("a", "free", 3)
        #expect(free.map(\.status) == [200, 200, 429] && free[0]["ratelimit-policy"] == "\"one\";q=2;w=3600", "\(free[0])")
        let pro = try ask("b", "pro", 5)
        #expect(pro.map(\.status) == [200, 200, 200, 200, 429] && pro[0]["ratelimit-policy"] == "\"one\";q=10;w=3600", "\(pro[0])")
        #expect(try ask("c", nil, 3).map(\.status) == [200, 200, 429])
        #expect(try ask("d", "gold", 3).map(\.status) == [200, 200, 429])
        // Another plan does not begin again: one of two used up is two of four, and what is owed is owed.
        #expect(try ask("e", "free", 1).map(\.status) == [200])
        #expect(try ask("e", "pro", 5).count { $0.status == 200 } == 3)
        #expect(try ask("e", "free", 1).map(\.status) == [429])
    }

    @Test("A limit and a route say what a request costs", arguments: [false, true])
    func fixed(inRedis: Bool) throws {
        let server = try RedisServer(in: folder)
        let (stage, _) = try stage(
            "rate 10/1h; key $header.x-key; cost 2;", inRedis: inRedis, server,
            routes: """
                route /** { upstream app; public; limit one; method GET { } method POST { limit one { cost 5; } } }
                route /in { upstream app; auth sso; limit one { cost 7; } }
                """)
        func ask(_ key: String, _ more: [String] = []) throws -> Answer { try stage.gateway.curl("/", ["-H", "X-Key: \(key)"] + more) }
        let plain = try (0..<6).map { _ in try ask("a") }
        #expect(
            plain.map(\.status) == [200, 200, 200, 200, 200, 429] && plain[0]["ratelimit"]?.hasPrefix("\"one\";r=8;") == true, "\(plain[0])"
        )
        let posts = try (0..<3).map { _ in try ask("b", ["-d", "x"]) }
        #expect(posts.map(\.status) == [200, 200, 429] && posts[0]["ratelimit"]?.hasPrefix("\"one\";r=5;") == true, "\(posts[0])")
        // What both use up is one quota; what is left is too little for the dear one alone.
        #expect(try ask("c", ["-d", "x"]).status == 200)
        #expect(try ask("c").status == 200)
        let dear = try ask("c", ["-d", "x"])
        #expect(dear.status == 429 && dear["ratelimit"]?.hasPrefix("\"one\";r=3;t=") == true, "\(dear)")
        // Two more of 6 minutes each.
        let wait = try #require(Int(dear["retry-after"] ?? ""))
        #expect((600...720).contains(wait), "\(wait)")
        #expect(try ask("c").status == 200)
    }

    @Test("The upstream's response says what a request costs, and the client does not see it", arguments: [false, true], HTTPVersions.all)
    func told(inRedis: Bool, version: String) throws {
        let server = try RedisServer(in: folder)
        let (stage, _) = try stage(
            "rate 10/1h; key $header.x-key; cost response_header X-Cost max 6;", inRedis: inRedis, server,
            routes: "route /** { upstream costs; public; limit one; } route /in { upstream app; auth sso; }", version: version)
        func ask(_ key: String, _ path: String) throws -> Answer { try stage.gateway.curl(path, ["-H", "X-Key: \(key)"]) }
        func left(_ key: String) throws -> String? {
            try ask(key, "/none")["ratelimit"]?.split(separator: ";").dropFirst().first.map(String.init)
        }
        let first = try ask("a", "/?cost=4")
        #expect(first.status == 200 && first["x-cost"] == nil && first["ratelimit"]?.contains(";r=9;") == true, "\(first)")
        // Charged when it is over.
        #expect(try left("a") == "r=5")
        for (key, path, used) in [
            ("b", "/?cost=0", 0), ("c", "/?cost=1", 1), ("d", "/?cost=x", 1), ("e", "/?cost=100", 6), ("f", "/none", 1),
        ] {
            #expect(try ask(key, path).status == 200)
            let now = try left(key)
            #expect(now == "r=\(9 - used)", "\(path)")
        }
        // More than there is: used up, and not more.
        #expect(try ask("g", "/?cost=6").status == 200)
        #expect(try ask("g", "/?cost=6").status == 200)
        let refused = try ask("g", "/none")
        #expect(refused.status == 429 && (Int(refused["retry-after"] ?? "").map { $0 <= 361 } ?? false), "\(refused)")
    }

    @Test("A long response costs more than a short one, also where it is broken off", arguments: [false, true], HTTPVersions.all)
    func bytes(inRedis: Bool, version: String) throws {
        let server = try RedisServer(in: folder)
        _ = try folder.write("long", String(repeating: "x", count: 10_000))
        let (stage, _) = try stage(
            "rate 100000/31d; key $header.x-key; cost response_bytes/1k;", inRedis: inRedis, server,
            routes: "route /** { upstream costs; public; limit one; } route /in { upstream app; auth sso; }", version: version)
        /// In KiB; the field says bytes.
        func left(_ key: String) throws -> Int? {
            let answer = try stage.gateway.curl("/none", ["-H", "X-Key: \(key)"])
            #expect(answer["ratelimit-policy"] == "\"one\";q=102400000;qu=\"content-bytes\";w=2678400", "\(answer)")
            return answer["ratelimit"]?.split(separator: ";").dropFirst().first.flatMap { Int($0.dropFirst(2)) }.map { $0 / 1_024 }
        }
        #expect(try stage.gateway.curl("/long", ["-H", "X-Key: a"]).status == 200)
        #expect(try left("a") == 99_989)
        #expect(try stage.gateway.curl("/none", ["-H", "X-Key: b"]).status == 200)
        #expect(try left("b") == 99_998)
        // A client that goes away has had what it has had.
        _ = try folder.write("long", String(repeating: "x", count: 60_000_000))
        _ = try? stage.gateway.curl("/long", ["-H", "X-Key: c", "--limit-rate", "20k", "--max-time", "1"])
        #expect(
            eventually {
                guard let left = try? left("c") else { return false }
                return left < 99_980 && left > 45_000
            })
    }

    @Test("What cannot be is told with its place")
    func wrong() throws {
        let stage = try Stage()
        for (limit, expected) in [
            ("rate 5/1h; key $client.ip; cost 6;", "a cost of 6 is more than the 5 that the limit lets through at once"),
            ("rate $claim.plan { free 2/1h; pro 9/1h; default free; } key $claim.sub; cost 3;", "a cost of 3 is more than the 2"),
            ("rate $claim.plan { free 2/1h; } key $claim.sub;", "what has a token whose plan is none of these?"),
            ("rate $claim.plan { free 2/1h; default fee; } key $claim.sub;", "did you mean 'free'?"),
            ("rate $claim.plan { free 2/1h burst; default free; } key $claim.sub;", "what is behind the rate is no burst"),
            ("rate $claim.plan { free 2/1h; free 3/1h; default free; } key $claim.sub;", "the plan 'free' stands twice"),
            ("rate $client.ip { free 2/1h; default free; } key $claim.sub;", "is no claim"),
            ("rate $claim.plan { free 2/1h; pro 2/1m; default free; } window fixed; key $claim.sub;", "windows of one length"),
            ("rate $claim.plan { free 2/1h; default free; } burst 3; key $claim.sub;", "each plan has its own burst"),
            ("rate 5/1h; key $client.ip; cost what;", "'what' is not a cost"),
        ] {
            let output = try stage.check(stage.configuration("limit a { \(limit) } route /** { upstream app; auth sso; limit a; }"))
            #expect(output.status != 0 && output.errors.contains(expected), "\(limit): \(output.errors)")
        }
        let said = try stage.check(
            stage.configuration(
                "limit a { rate $claim.plan { free 60/minute; pro 6000/minute burst 500; default free; } key $claim.sub; cost response_bytes/1k; } route /** { upstream app; auth sso; limit a { cost 5; } }"
            ))
        #expect(
            said.text.contains(
                "by claim plan: 60 requests a minute for free and others; 6000 requests a minute, 500 at once for pro; for each claim sub, of which one costs 1 for each 1024 bytes"
            ) && said.text.contains("a(costs 5)"), "\(said)")
    }
}
