import Foundation
import Glibc
import TestSockets
import Testing

/// Limits whose Redis holds what it should not, and limits that change: docs/limits.md says what is promised.
@Suite("Limits and what their store holds", .serialized) struct LimitStoreTests {
    private let folder = TemporaryFolder()

    private func stage(_ redis: RedisServer, _ limit: String, more: String = "") throws -> Stage {
        try Stage(
            routes: "route /** { upstream app; public; limit one; } route /in { upstream app; auth sso; }",
            general: general(redis, limit, more))
    }

    private func general(_ redis: RedisServer, _ limit: String, _ more: String = "") -> String {
        """
        redis main { address 127.0.0.1:\(redis.port); timeout 500ms; \(more) }
        limit one { \(limit); key $header.x-key; store main; when_store_fails closed; }
        """
    }

    private func ask(_ stage: Stage, _ key: String) throws -> Answer { try stage.gateway.curl("/", ["-H", "X-Key: \(key)"]) }

    @discardableResult
    private func redis(_ server: RedisServer, _ words: String...) throws -> String {
        try run("/usr/bin/redis-cli", ["-p", "\(server.port)"] + words).text
    }

    @Test("A value that is none concerns its own key alone, for no longer than its quota, and is mended")
    func poisoned() throws {
        let server = try RedisServer(in: folder)
        let stage = try stage(server, "rate 20/2s")
        #expect(eventually { (try? ask(stage, "warm").status) == 200 })
        var values: [[String]] = ["inf 1 1", "nan nan nan", "1e300 1 0", "-1 1 0", "9223372036854775808 1 0", "x", "", "1 2", "1 0 0"].map {
            ["SET", "KEY", $0]
        }
        values += [["RPUSH", "KEY", "a"], ["HSET", "KEY", "a", "b"], ["SADD", "KEY", "a"]]
        for (number, words) in values.enumerated() {
            // The key's name is found by asking once.
            try redis(server, "FLUSHDB")
            #expect(try ask(stage, "k\(number)").status == 200)
            let name = try redis(server, "keys", "*").trimmingCharacters(in: .whitespacesAndNewlines)
            #expect(name.hasPrefix("pc2:") && !name.contains("\n"))
            try redis(server, "DEL", name)
            let set = words.map { $0 == "KEY" ? name : $0 }
            _ = try run("/usr/bin/redis-cli", ["-p", "\(server.port)"] + set)
            let answer = try ask(stage, "k\(number)")
            #expect(answer.status == 429 && answer["retry-after"] == "1", "\(words): \(answer)")
            // Others are counted meanwhile.
            #expect(try ask(stage, "other").status == 200)
            #expect(eventually(within: 10) { (try? ask(stage, "k\(number)").status) == 200 }, "\(words)")
            #expect(Int(try redis(server, "PTTL", name).trimmingCharacters(in: .whitespacesAndNewlines)) ?? -1 > 0)
        }
        #expect(!stage.gateway.log.contains("redis main is away"), "\(stage.gateway.log)")
        _ = try redis(server, "FLUSHALL")
    }

    @Test("A time that is far ahead, because a clock was changed, refuses for one quota at most")
    func ahead() throws {
        let server = try RedisServer(in: folder)
        let stage = try stage(server, "rate 20/2s")
        #expect(try ask(stage, "k").status == 200)
        let name = try redis(server, "keys", "*").trimmingCharacters(in: .whitespacesAndNewlines)
        let parts = try redis(server, "GET", name).split(separator: " ")
        let arrival = try #require(Double(parts[0]))
        try redis(server, "SET", name, "\(arrival + 3_600_000_000) \(parts[1]) 0.000")
        let refused = try ask(stage, "k")
        #expect(refused.status == 429 && refused["retry-after"] == "1" && refused["ratelimit"] == "\"one\";r=0;t=1", "\(refused)")
        #expect(eventually(within: 10) { (try? ask(stage, "k").status) == 200 })
    }

    @Test("Refusals say when the next request may come: t is Retry-After", arguments: ["memory", "redis"])
    func fields(store: String) throws {
        let server = try RedisServer(in: folder)
        let stage = try Stage(
            routes: "route /** { upstream app; public; limit one; } route /in { upstream app; auth sso; }",
            general: store == "memory" ? "limit one { rate 3/1h; key $header.x-key; }" : general(server, "rate 3/1h"))
        var last = try ask(stage, "k")
        #expect(last["ratelimit-policy"] == "\"one\";q=3;w=3600")
        #expect(last["ratelimit"] == "\"one\";r=2;t=1200", "\(last)")
        for _ in 0..<3 { last = try ask(stage, "k") }
        #expect(last.status == 429 && last["retry-after"] == "1200" && last["ratelimit"] == "\"one\";r=0;t=1200", "\(last)")
    }

    @Test("A rate that is changed forgets nothing, and punishes nobody", arguments: ["memory", "redis"])
    func changes(store: String) throws {
        let server = try RedisServer(in: folder)
        func general(_ limit: String) -> String {
            store == "memory" ? "limit one { \(limit); key $header.x-key; }" : self.general(server, limit)
        }
        let routes = "route /** { upstream app; public; limit one; } route /in { upstream app; auth sso; }"
        let stage = try Stage(routes: routes, general: general("rate 10/1h"))
        for _ in 0..<6 { #expect(try ask(stage, "k").status == 200) }
        // Six of ten were used; of twenty as many are.
        try stage.gateway.rewrite(stage.configuration(routes, general("rate 20/1h")))
        #expect(stage.gateway.reload())
        let more = try ask(stage, "k")
        #expect(more.status == 200 && more["ratelimit"]?.hasPrefix("\"one\";r=13;") == true, "\(more)")
        try stage.gateway.rewrite(stage.configuration(routes, general("rate 8/1h")))
        #expect(stage.gateway.reload())
        let less = try ask(stage, "k")
        #expect(less.status == 200 && less["ratelimit"]?.hasPrefix("\"one\";r=0;") == true, "\(less)")
        #expect(try ask(stage, "k").status == 429)
        #expect(try ask(stage, "other").status == 200)
    }

    @Test("Clients choose neither the length of a key nor its slot, and each key ends by itself")
    func keys() throws {
        let server = try RedisServer(in: folder)
        let stage = try stage(server, "rate 20/1h", more: "prefix shop;")
        for number in 0..<200 { #expect(try ask(stage, "{a}\(number)\(String(repeating: "x", count: number * 20))").status == 200) }
        let keys = try redis(server, "keys", "*").split(separator: "\n")
        #expect(
            keys.count == 200 && keys.allSatisfy { $0.utf8.count == 37 && $0.hasPrefix("shop2:") && !$0.contains("{") },
            "\(keys.first ?? "")")
        let space = try redis(server, "INFO", "keyspace")
        #expect(space.contains("keys=200,expires=200"), "\(space)")
    }
}
