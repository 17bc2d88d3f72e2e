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
        var values: [[String]] = [
            "inf 100000 0 2000000", "1 nan 0 2000000", "1 100000 1e300 2000000", "-1 100000 0 2000000", "1 9223372036854775808 0 2000000",
            "3000000000000000 100000 0 9000000000000000", "1 0 0 2000000", "l 1 1 9000000000000000 1 -1", "x", "", "1 2", "1 0 0",
        ].map { ["SET", "KEY", $0] }
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
        try redis(server, "SET", name, "\(arrival + 3_600_000_000) \(parts[1]) 0.000 \(parts[3])")
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

    @Test("A server that keeps no scripts, as proxies do, counts all the same")
    func noScripts() throws {
        let server = try RedisServer(in: folder, ["--rename-command", "SCRIPT", ""])
        let stage = try stage(server, "rate 3/1h")
        #expect(eventually { (try? ask(stage, "warm").status) == 200 }, "\(stage.gateway.log)")
        #expect(try (0..<5).map { _ in try ask(stage, "k").status } == [200, 200, 200, 429, 429])
        #expect(stage.gateway.log.contains("redis main: it keeps no scripts, so each question brings one along"), "\(stage.gateway.log)")
        #expect(!stage.gateway.log.contains("is away") && stage.folder.read("access.log").isEmpty)
        #expect(try redis(server, "INFO", "commandstats").contains("cmdstat_eval:"))
        let check = try run(Executable.portcullis, ["check", "--live", "-c", "\(stage.folder.path)/gateway.conf"])
        #expect(check.status == 0 && check.text.contains("it keeps no scripts") && check.text.contains("it counts"), "\(check)")
    }

    @Test("What Redis has said holds while it is away, and when it comes back without its data")
    func outage() throws {
        let server = try RedisServer(in: folder)
        let stage = try Stage(
            routes: "route /** { upstream app; public; limit one; } route /in { upstream app; auth sso; }",
            general: """
                redis main { address 127.0.0.1:\(server.port); timeout 500ms; }
                limit one { rate 5/1h; key $header.x-key; store main; when_store_fails local; }
                """)
        #expect(eventually { (try? ask(stage, "warm").status) == 200 })
        for _ in 0..<5 { #expect(try ask(stage, "a").status == 200) }
        for _ in 0..<3 { #expect(try ask(stage, "b").status == 200) }
        server.stop()
        #expect(eventually { stage.gateway.log.contains("redis main is away") })
        // Nothing is left of a, two of b; of a new key all is there. Together five of each, whoever counts.
        #expect(try ask(stage, "a").status == 429)
        #expect(try (0..<4).map { _ in try ask(stage, "b").status } == [200, 200, 429, 429])
        #expect(try (0..<2).map { _ in try ask(stage, "c").status } == [200, 200])
        try server.start()
        #expect(
            eventually(within: 30) { stage.gateway.log.components(separatedBy: "redis main is back").count > 2 }, "\(stage.gateway.log)")
        for key in ["a", "b"] { #expect(try ask(stage, key).status == 429, "\(key)") }
        var statuses: [Int] = []
        for _ in 0..<4 { statuses.append(try ask(stage, "c").status) }
        #expect(statuses == [200, 200, 200, 429])
        // Redis knows of them too by now.
        #expect(Int(try redis(server, "DBSIZE").trimmingCharacters(in: .whitespacesAndNewlines)) ?? 0 >= 3)
    }

    @Test("Refused requests ask nobody for as long as the refusal holds")
    func refusals() throws {
        let server = try RedisServer(in: folder)
        let stage = try stage(server, "rate 2/1h")
        for _ in 0..<2 { #expect(try ask(stage, "k").status == 200) }
        #expect(try ask(stage, "k").status == 429)
        let before = try server.scriptCalls()
        let start = Date()
        for _ in 0..<100 {
            let refused = try ask(stage, "k")
            #expect(refused.status == 429 && refused["ratelimit"]?.hasPrefix("\"one\";r=0;t=") == true)
        }
        // One of two workers asks at most once a second whether it still holds.
        let asked = try server.scriptCalls() - before
        #expect(asked <= Int(Date().timeIntervalSince(start)) + 2, "\(asked)")
        // A key that an operator forgives is let through by then.
        try redis(server, "FLUSHDB")
        #expect(eventually(within: 10) { (try? ask(stage, "k").status) == 200 })
    }

    @Test("A Redis that is late stays connected, what it grants late counts once, and it is asked again when it is in time")
    func late() throws {
        let server = try RedisServer(in: folder)
        let proxy = try DelayProxy(to: server.port)
        let stage = try Stage(
            routes: "route /** { upstream app; public; limit one; } route /in { upstream app; auth sso; }",
            general: """
                redis main { address 127.0.0.1:\(proxy.port); timeout 100ms; }
                limit one { rate 40/1h; key $header.x-key; store main; when_store_fails local; }
                """, workers: 1)
        #expect(eventually { (try? ask(stage, "warm").status) == 200 })
        let connections = proxy.connections.value
        proxy.delay.change { $0 = 300_000 }
        var statuses: [Int: Int] = [:]
        for _ in 0..<60 { statuses[try ask(stage, "k").status, default: 0] += 1 }
        #expect(statuses == [200: 40, 429: 20], "\(statuses)")
        #expect(
            eventually { stage.gateway.log.contains("redis main is away: its replies take longer than 100 ms") }, "\(stage.gateway.log)")
        proxy.delay.change { $0 = 0 }
        #expect(eventually(within: 40) { stage.gateway.log.contains("redis main is back: it replies in time") }, "\(stage.gateway.log)")
        #expect(proxy.connections.value == connections, "no connection was given up")
        // Neither forgets what the other has let through.
        #expect(try ask(stage, "k").status == 429)
        #expect(try ask(stage, "new")["ratelimit"]?.hasPrefix("\"one\";r=39;") == true)
        #expect(try server.scriptCalls() < 40)
    }

    @Test("A replica is not taken for the server, a full one is not asked, and each reason is told")
    func reasons() throws {
        let (one, other) = (try RedisServer(in: folder), try RedisServer(in: TemporaryFolder()))
        try redis(one, "REPLICAOF", "127.0.0.1", "\(other.port)")
        let stage = try Stage(
            routes: "route /** { upstream app; public; limit one; } route /in { upstream app; auth sso; }",
            general: """
                redis main { address 127.0.0.1:\(one.port); timeout 500ms; }
                limit one { rate 40/1h; key $header.x-key; store main; when_store_fails open; }
                """, workers: 1)
        #expect(eventually { stage.gateway.log.contains("redis main is away: it is no master but a slave") }, "\(stage.gateway.log)")
        #expect(try one.scriptCalls() == 0)
        try redis(one, "REPLICAOF", "NO", "ONE")
        #expect(eventually(within: 20) { stage.gateway.log.contains("redis main is back: connected") }, "\(stage.gateway.log)")
        #expect(try ask(stage, "k")["ratelimit"]?.contains("r=39") == true)
        // No memory: it says so at each write. It is asked by probes alone, and requests wait for nothing.
        try redis(one, "CONFIG", "SET", "maxmemory", "1")
        #expect(
            eventually { (try? ask(stage, "k").status) == 200 && stage.gateway.log.contains("redis main is away: OOM") },
            "\(stage.gateway.log)")
        let before = try one.scriptCalls()
        for _ in 0..<30 { #expect(try ask(stage, "x")["ratelimit"] == nil) }
        #expect(try one.scriptCalls() < before + 20)
        try redis(one, "CONFIG", "SET", "maxmemory", "0")
        #expect(eventually(within: 40) { (try? ask(stage, "k")["ratelimit"]?.contains("r=3")) == true })
        // Another reason is told while it is away.
        one.signal(SIGSTOP)
        #expect(
            eventually(within: 30) {
                _ = try? ask(stage, UUID().uuidString)
                return stage.gateway.log.contains("redis main is away: ")
                    && (stage.gateway.log.contains("has said nothing") || stage.gateway.log.contains("longer than"))
            })
        one.signal(SIGCONT)
        #expect(eventually(within: 40) { (try? ask(stage, UUID().uuidString)["ratelimit"]?.contains("r=39")) == true })
        try redis(one, "CONFIG", "SET", "requirepass", "other")
        _ = try run("/usr/bin/redis-cli", ["-p", "\(one.port)", "-a", "other", "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"])
        #expect(
            eventually(within: 30) {
                _ = try? ask(stage, "k")
                return stage.gateway.log.contains("NOAUTH")
            }, "\(stage.gateway.log)")
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
