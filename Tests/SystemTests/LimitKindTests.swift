import Foundation
import Glibc
import TestSockets
import Testing

/// Windows, quotas, limits that only tell, and those who are not counted: in memory and in Redis alike.
@Suite("Kinds of limits") struct LimitKindTests {
    private let folder = TemporaryFolder()

    private func stage(_ limit: String, inRedis: Bool, _ server: RedisServer, route: String = "public; limit one;") throws -> Stage {
        try Stage(
            routes: "route /** { upstream app; \(route) } route /in { upstream app; auth sso; limit one; }",
            general: """
                redis main { address 127.0.0.1:\(server.port); timeout 500ms; }
                limit other { rate 1000/1h; key $client.ip; store main; }
                limit one { \(limit) \(inRedis ? "store main;" : "") }
                route /other { upstream app; public; limit other; }
                """)
    }

    private func ask(_ stage: Stage, _ key: String, _ more: [String] = []) throws -> Answer {
        try stage.gateway.curl("/", ["-H", "X-Key: \(key)"] + more)
    }

    @Test("A quota of a month is whole again when the next month begins there", arguments: [false, true])
    func month(inRedis: Bool) throws {
        let server = try RedisServer(in: folder)
        let stage = try stage("quota 3/month { timezone Europe/Berlin; starts 15; } key $header.x-key;", inRedis: inRedis, server)
        #expect(eventually { (try? ask(stage, "warm").status) == 200 })
        let answers = try (0..<5).map { _ in try ask(stage, "k") }
        #expect(answers.map(\.status) == [200, 200, 200, 429, 429])
        #expect(
            answers[0]["ratelimit-policy"] == "\"one\";q=3" && answers[0]["ratelimit"]?.hasPrefix("\"one\";r=2;t=") == true, "\(answers[0])"
        )
        // The next 15th in Berlin.
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = try #require(TimeZone(identifier: "Europe/Berlin"))
        let next = try #require(
            calendar.nextDate(after: Date(), matching: DateComponents(day: 15, hour: 0, minute: 0, second: 0), matchingPolicy: .nextTime))
        let wait = try #require(Int(answers[4]["retry-after"] ?? ""))
        #expect(abs(wait - Int(next.timeIntervalSinceNow)) <= 30, "\(wait)")
        #expect(answers[4]["ratelimit"] == "\"one\";r=0;t=\(wait)")
        #expect(try ask(stage, "other").status == 200)
    }

    @Test("Windows begin by the clock, whole ones and sliding ones", arguments: [false, true], ["fixed", "sliding"])
    func windows(inRedis: Bool, kind: String) throws {
        let server = try RedisServer(in: folder)
        let stage = try stage("rate 4/3s; window \(kind); key $header.x-key;", inRedis: inRedis, server)
        #expect(eventually { (try? ask(stage, "warm").status) == 200 })
        var statuses: [Int] = []
        var waits: [Int] = []
        for _ in 0..<12 {
            let answer = try ask(stage, "k")
            statuses.append(answer.status)
            if let wait = answer["retry-after"].flatMap({ Int($0) }) { waits.append(wait) }
        }
        // At most two windows are touched, of which each lets four through.
        #expect((4...8).contains(statuses.count { $0 == 200 }) && statuses.contains(429), "\(statuses)")
        #expect(waits.allSatisfy { (1...6).contains($0) }, "\(waits)")
        #expect(eventually(within: 20) { (try? ask(stage, "k").status) == 200 })
    }

    @Test("A limit in shadow refuses nobody, tells of it, and holds back no other limit", arguments: [false, true])
    func shadow(inRedis: Bool) throws {
        let server = try RedisServer(in: folder)
        let log = "\(folder.path)/access.log"
        let store = inRedis ? "store main;" : ""
        let stage = try Stage(
            routes:
                "route /** { upstream app; public; limit new; limit old; set_header X-Odd $limits.exceeded; } route /in { upstream app; auth sso; }",
            general: """
                access_log \(log);
                redis main { address 127.0.0.1:\(server.port); timeout 500ms; }
                limit other { rate 1000/1h; key $client.ip; store main; }
                limit new { rate 2/1h; key $header.x-key; shadow; when_store_fails closed; store main; }
                limit old { rate 5/1h; key $header.x-key; \(store) }
                route /other { upstream app; public; limit other; }
                """)
        #expect(eventually { (try? ask(stage, "warm").status) == 200 })
        // The service is told; what a client says of it is not.
        let answers = try (0..<7).map { _ in try ask(stage, "k", ["-H", "X-Odd: mine"]) }
        #expect(answers.map(\.status) == [200, 200, 200, 200, 200, 429, 429], "\(answers.map(\.status))")
        #expect(answers.prefix(5).map { $0.echoed("odd") } == ["", "", "new", "new", "new"])
        #expect(
            answers[3]["ratelimit"]?.contains("\"new\";r=0;") == true && answers[3]["ratelimit"]?.contains("\"old\";r=1;") == true,
            "\(answers[3])")
        #expect(answers[3]["retry-after"] == nil)
        #expect(
            eventually {
                ((try? String(contentsOfFile: log, encoding: .utf8)) ?? "").components(separatedBy: "\"would_refuse_for\":").count > 3
            })
        // Also where its store is away.
        server.stop()
        #expect(eventually { stage.gateway.log.contains("redis main is away") })
        if !inRedis { #expect(try ask(stage, "fresh").status == 200) }
    }

    @Test("Who is allowed is not counted: by network, and by claim", arguments: [false, true])
    func allowed(inRedis: Bool) throws {
        let server = try RedisServer(in: folder)
        let stage = try stage(
            "rate 1/1h; key $header.x-key; allow 192.0.2.0/24; allow $claim.role staff ops;", inRedis: inRedis, server,
            route: "auth sso; limit one;")
        let staff = try stage.signer.token(["role": "staff"])
        let user = try stage.signer.token(["role": "user"])
        #expect(eventually { (try? ask(stage, "warm", ["-H", "Authorization: Bearer \(staff)"]).status) == 200 })
        let free = try (0..<3).map { _ in try ask(stage, "k", ["-H", "Authorization: Bearer \(staff)"]).status }
        let counted = try (0..<3).map { _ in try ask(stage, "k", ["-H", "Authorization: Bearer \(user)"]).status }
        #expect(free == [200, 200, 200] && counted == [200, 429, 429], "\(free) \(counted)")
        try stage.gateway.rewrite(
            stage.configuration(
                "route /** { upstream app; public; limit one; } route /in { upstream app; auth sso; }",
                "limit one { rate 1/1h; key $client.ip; allow 127.0.0.0/8; }"))
        #expect(stage.gateway.reload())
        let near = try (0..<3).map { _ in try stage.gateway.curl("/").status }
        #expect(near == [200, 200, 200])
    }
}
