import Foundation
import TestSockets
import Testing

/// Plans whose rates stand in Redis.
@Suite("Rates in Redis") struct LimitRatesTests {
    private let folder = TemporaryFolder()

    private func stage(_ server: RedisServer, _ store: String) throws -> Stage {
        try Stage(
            routes: "route /** { upstream app; auth sso; limit one; } route /legacy { upstream app; auth sso; limit old; }",
            general: """
                redis main { address 127.0.0.1:\(server.port); timeout 2s; }
                limit one { rate $claim.org { small 2/1h; default small; redis main customers; } key $claim.sub; \(store) }
                limit old { rate $claim.org { default 3/1h; redis main customers; } key $claim.sub; headers legacy; \(store) }
                """, workers: 2)
    }

    private func ask(_ stage: Stage, _ path: String = "/", org: String, _ subject: String = UUID().uuidString) throws -> Answer {
        try stage.gateway.curl(path, ["-H", "Authorization: Bearer \(try stage.signer.token(subject: subject, ["org": org]))"])
    }

    /// Every worker has read it: of the answers in a row none says another rate.
    private func says(_ stage: Stage, _ rate: String, org: String) -> Bool {
        eventually(within: 60) { (0..<12).allSatisfy { _ in (try? ask(stage, org: org)["ratelimit-policy"]) == "\"one\";\(rate)" } }
    }

    @Test(
        "A rate that an operator writes holds within seconds, and the last good one where it is none or Redis is away",
        arguments: ["", "store main;"])
    func rates(store: String) throws {
        let server = try RedisServer(in: folder)
        let stage = try stage(server, store)
        #expect(says(stage, "q=2;w=3600", org: "acme"))
        _ = try redisCLI(server.port, ["HSET", "pc2:rates:customers", "acme", "7/1h burst 4", "small", "5/1m", "umbrella", "9/1h"])
        #expect(says(stage, "q=7;w=3600", org: "acme") && says(stage, "q=5;w=60", org: "small"))
        #expect(says(stage, "q=2;w=3600", org: "other"))
        // It is the rate that counts, not the words alone.
        let statuses = try (0..<5).map { _ in try ask(stage, org: "acme", "ann").status }
        #expect(statuses == [200, 200, 200, 200, 429])
        let old = try ask(stage, "/legacy", org: "umbrella")
        #expect(old["x-ratelimit-limit"] == "9" && old["x-ratelimit-remaining"] == "8", "\(old.fields)")
        _ = try redisCLI(server.port, ["HSET", "pc2:rates:customers", "acme", "plenty; rate 1/s"])
        #expect(eventually(within: 60) { stage.gateway.log.contains("rates customers of redis main: no rate is acme: 'plenty; rate 1/s'") })
        #expect(says(stage, "q=7;w=3600", org: "acme"))
        // No worker takes a request before it knows them.
        #expect(stage.gateway.reload())
        for _ in 0..<12 { #expect(try ask(stage, org: "umbrella")["ratelimit-policy"] == "\"one\";q=9;w=3600") }
        server.stop()
        for _ in 0..<4 { #expect(try ask(stage, org: "umbrella")["ratelimit-policy"] == "\"one\";q=9;w=3600") }
    }

    @Test("Rates that no request could pay for, and too many of them, change nothing and are told of")
    func unusable() throws {
        let server = try RedisServer(in: folder)
        _ = try redisCLI(server.port, ["HSET", "pc2:rates:customers", "acme", "5/1h", "rich", "90/1h"])
        let stage = try Stage(
            routes: "route /** { upstream app; auth sso; limit one; }",
            general: """
                redis main { address 127.0.0.1:\(server.port); timeout 2s; }
                limit one { rate $claim.org { default 60/1h; redis main customers; } key $claim.sub; cost 10; store main; }
                """, workers: 1)
        #expect(says(stage, "q=90;w=3600", org: "rich") && says(stage, "q=60;w=3600", org: "acme"))
        #expect(stage.gateway.log.contains("no rate is acme: '5/1h'"))
        _ = try redisCLI(
            server.port, ["EVAL", "for i = 1, 5000 do redis.call('HSET', KEYS[1], 'c' .. i, '7/1h') end", "1", "pc2:rates:customers"])
        #expect(eventually(within: 60) { stage.gateway.log.contains("rates of plans cannot be read: 5002 fields are too many") })
        #expect(says(stage, "q=90;w=3600", org: "rich"))
        #expect(!stage.gateway.log.contains("is away"))
    }

    @Test("A user that may not read them is told of, and the file's plans hold")
    func rights() throws {
        let rules = [
            "--user", "default", "on", "nopass", "~pc2:*", "+script|load", "+evalsha", "+time", "+get", "+set", "+select", "+role", "+ping",
        ]
        let server = try RedisServer(in: folder, rules)
        let stage = try stage(server, "store main;")
        #expect(eventually(within: 30) { stage.gateway.log.contains("rates of plans cannot be read: ERR ") })
        #expect(says(stage, "q=2;w=3600", org: "acme"))
        #expect(!stage.gateway.log.contains("is away"))
    }
}
