import Foundation
import TestSockets
import Testing

/// `portcullis limit`: what operators see of limits, and have done to them.
@Suite("Operators and limits") struct LimitCommandTests {
    private let folder = TemporaryFolder()

    private func stage(inRedis: Bool, _ redis: RedisServer) throws -> Stage {
        let store = inRedis ? "store main;" : ""
        let stage = try Stage(
            routes: """
                route /** { upstream app; public; limit by_key; }
                route /mine { upstream app; auth sso; limit mine; }
                route /month/{c} { upstream app; public; limit month; }
                route /tries { upstream app; public; limit tries; }
                route /slow { upstream app; public; limit slots; }
                """,
            general: """
                admin unix:@DIR@/admin.socket;
                redis main { address 127.0.0.1:\(redis.port); timeout 500ms; }
                limit by_key { rate 5/1h; key $header.x-key $client.ip; \(store) }
                limit mine { rate $claim.plan { free 2/1h; pro 6/1h; default free; } key $claim.sub $claim.roles; \(store) }
                limit month { quota 3/month; key "customer $path.c"; \(store) }
                limit tries { lockout 2/5m { status 200; for 1h; } key $client.ip; \(store) }
                limit slots { concurrent 2; key $client.ip; \(store) }
                limit other { rate 1000/1h; key $client.ip; store main; }
                route /other { upstream app; public; limit other; }
                """)
        #expect(eventually { (try? stage.gateway.curl("/other").status) == 200 })
        return stage
    }

    private func limit(_ stage: Stage, _ words: [String]) throws -> Output {
        try run(Executable.portcullis, ["limit", words[0], "--socket", "\(stage.folder.path)/admin.socket"] + words.dropFirst())
    }

    @Test("A key is shown, given back and set, in memory and in Redis", arguments: [false, true])
    func keys(inRedis: Bool) throws {
        let redis = try RedisServer(in: folder)
        let stage = try stage(inRedis: inRedis, redis)
        let place = inRedis ? "redis main" : "this host"
        func ask(_ path: String, _ more: [String] = []) throws -> Int { try stage.gateway.curl(path, more).status }
        // A rate. What is shown is what a request would find, and showing takes nothing.
        for _ in 0..<3 { #expect(try ask("/", ["-H", "X-Key: alice"]) == 200) }
        for _ in 0..<3 {
            let shown = try limit(stage, ["show", "by_key", "alice", "127.0.0.1"])
            #expect(shown.status == 0 && shown.text.hasPrefix("\(place): 2 left, whole in "), "\(shown)")
        }
        #expect(try limit(stage, ["show", "by_key", "bob", "127.0.0.1"]).text.hasPrefix("\(place): 5 left\n"))
        for _ in 0..<2 { #expect(try ask("/", ["-H", "X-Key: alice"]) == 200) }
        #expect(try ask("/", ["-H", "X-Key: alice"]) == 429)
        #expect(try limit(stage, ["show", "by_key", "alice", "127.0.0.1"]).text.contains("0 left, more in "))
        // From now on it is let through again, at once and by every worker.
        let reset = try limit(stage, ["reset", "by_key", "alice", "127.0.0.1"])
        #expect(reset.status == 0 && reset.text.hasPrefix("\(place): 5 left"), "\(reset)")
        let statuses = try (0..<6).map { _ in try ask("/", ["-H", "X-Key: alice"]) }
        #expect(statuses == [200, 200, 200, 200, 200, 429])
        let set = try limit(stage, ["set", "--used", "4", "by_key", "alice", "127.0.0.1"])
        #expect(set.text.hasPrefix("\(place): 1 left"), "\(set)")
        #expect(try [ask("/", ["-H", "X-Key: alice"]), ask("/", ["-H", "X-Key: alice"])] == [200, 429])
        // Told, without the value of a field, in which a secret may stand.
        #expect(stage.gateway.log.contains("limit by_key: an operator (user ID ") && stage.gateway.log.contains("has reset a key"))
        #expect(!stage.gateway.log.contains("alice"))

        // A month, a claim that is a list, a plan.
        for _ in 0..<3 { #expect(try ask("/month/7") == 200) }
        #expect(try ask("/month/7") == 429)
        #expect(try limit(stage, ["reset", "month", "7"]).text.hasPrefix("\(place): 3 left"))
        #expect(try ask("/month/7") == 200)
        let token = try stage.signer.token(subject: "carol", ["roles": ["a", "b"], "plan": "pro"])
        for _ in 0..<4 { #expect(try ask("/mine", ["-H", "Authorization: Bearer \(token)"]) == 200) }
        #expect(try limit(stage, ["show", "--plan", "pro", "mine", "carol", "[a,b]"]).text.hasPrefix("\(place): 2 left"))
        // A lock.
        for _ in 0..<2 { #expect(try ask("/tries") == 200) }
        #expect(try ask("/tries") == 429)
        #expect(try limit(stage, ["show", "tries", "127.0.0.1"]).text.contains("0 left, more in 3"))
        #expect(try limit(stage, ["reset", "tries", "127.0.0.1"]).text.hasPrefix("\(place): 2 left"))
        #expect(try ask("/tries") == 200)
        #expect(try ask("/slow") == 200)
        #expect(try limit(stage, ["show", "slots", "127.0.0.1"]).text.hasPrefix("\(place): 2 left"))
        // JSON, for programs.
        let json = try limit(stage, ["show", "--json", "month", "7"])
        #expect(
            json.text.hasPrefix("{\"limit\":\"month\",\"places\":[{\"place\":\"\(place)\",\"remaining\":2,\"retry_after_ms\":0,"), "\(json)"
        )
    }

    @Test("What is wrong is told, and a Redis that is away")
    func wrong() throws {
        let redis = try RedisServer(in: folder)
        let stage = try stage(inRedis: true, redis)
        for (words, expected) in [
            (["show", "none", "x"], "there is no limit 'none'"),
            (["show", "by_key", "x"], "the key of by_key is $header.x-key $client.ip: 2 values are needed"),
            (["show", "by_key", "x", "y"], "'y' is no address"), (["show", "--plan", "gold", "mine", "x", "y"], "mine has no plan 'gold'"),
            (["set", "--used", "1", "tries", "127.0.0.1"], "cannot be set; it can be reset"),
            (["top", "none"], "there is no limit 'none'"),
        ] {
            let output = try limit(stage, words)
            #expect(output.status == 1 && output.errors.contains(expected), "\(words): \(output)")
        }
        redis.stop()
        #expect(eventually { stage.gateway.log.contains("redis main is away") })
        let away = try limit(stage, ["reset", "by_key", "x", "127.0.0.1"])
        #expect(away.status == 1 && away.errors.contains("redis main is away"), "\(away)")
    }

    @Test("The keys that come most are shown, of those in which a secret may stand a hash")
    func top() throws {
        let redis = try RedisServer(in: folder)
        let stage = try stage(inRedis: false, redis)
        _ = try stage.gateway.load("/month/often", count: 600, parallel: 8)
        for number in 0..<20 { _ = try stage.gateway.curl("/month/seldom\(number)") }
        let output = try limit(stage, ["top", "month"])
        let first = output.text.split(whereSeparator: \.isNewline).first?.split(whereSeparator: \.isWhitespace).map(String.init) ?? []
        #expect(first.count == 2 && first[1] == "often" && (300...900).contains(Int(first[0]) ?? 0), "\(output)")
        _ = try stage.gateway.load("/", count: 200, parallel: 4, ["-H", "X-Key: secret-1"])
        let hidden = try limit(stage, ["top", "by_key"])
        #expect(hidden.text.contains(" hash ") && !hidden.text.contains("secret-1"), "\(hidden)")
    }
}
