import Foundation
import Glibc
import TestSockets
import Testing

/// What is counted of limits and of the Redis that has them.
@Suite("Metrics of limits in Redis") struct StoreMetricsTests {
    @Test("Connections, batches, lost scripts and late replies are counted, and what limits have nearly refused")
    func counted() throws {
        let folder = TemporaryFolder()
        let redis = try RedisServer(in: folder)
        let health = Ports.free()
        let stage = try Stage(
            routes: "route /** { upstream app; public; limit one; } route /in { upstream app; auth sso; limit planned; }",
            general: """
                health 127.0.0.1:\(health);
                redis main { address 127.0.0.1:\(redis.port); timeout 200ms; }
                limit one { rate 10/1h; key $header.x-key; store main; }
                limit planned { rate $claim.plan { free 5/1h; default free; } key $claim.sub; store main; }
                """, workers: 1)
        func count(_ series: String) throws -> Int {
            let text = try run(Executable.curl, ["-s", "-m", "10", "http://127.0.0.1:\(health)/metrics"]).text
            let line = text.split(whereSeparator: \.isNewline).first { $0.hasPrefix("portcullis_" + series + " ") }
            return line.flatMap { Int($0.split(separator: " ")[1]) } ?? 0
        }
        func ask(_ key: String = "k") throws -> Int { try stage.gateway.curl("/", ["-H", "X-Key: \(key)"]).status }
        #expect(eventually { (try? ask("warm")) == 200 && (try? count("store_connections_total{redis=\"main\",result=\"opened\"}")) == 1 })
        let server = "redis=\"main\",server=\"127.0.0.1:\(redis.port)\""
        #expect(try count("store_server_workers{\(server)}") == 1)
        for _ in 0..<13 { _ = try ask() }
        #expect(try count("store_server_duration_seconds_count{\(server)}") >= 11)
        // Of ten, the ninth and the tenth leave less than a fifth; of three refusals two are known.
        #expect(try count("limit_near_total{limit=\"one\"}") == 2)
        #expect(try count("limit_refusals_kept_total{limit=\"one\"}") == 2)
        #expect(try (12...40).contains(count("store_batches_total{redis=\"main\"}")))
        _ = try redisCLI(redis.port, ["SCRIPT", "FLUSH"])
        #expect(try ask("flushed") == 200)
        #expect(try count("store_script_loads_total{redis=\"main\"}") == 1)
        let token = try stage.signer.token(subject: "a", ["plan": "gold"])
        #expect(try stage.gateway.curl("/in", ["-H", "Authorization: Bearer \(token)"]).status == 200)
        #expect(try count("limit_plans_missed_total{limit=\"planned\"}") == 1)
        // A reply that comes after its time is counted when it comes.
        redis.signal(SIGSTOP)
        #expect(try ask("late") == 200)
        #expect(try count("store_server_replies_owed{\(server)}") == 1)
        redis.signal(SIGCONT)
        #expect(eventually { (try? count("store_late_replies_total{redis=\"main\"}")) == 1 })
        #expect(eventually { (try? count("store_server_replies_owed{\(server)}")) == 0 })
        _ = try redisCLI(redis.port, ["CLIENT", "KILL", "TYPE", "normal"])
        #expect(eventually { (try? count("store_connections_total{redis=\"main\",result=\"lost\"}")) == 1 })
        #expect(eventually { (try? count("store_connections_total{redis=\"main\",result=\"opened\"}")) == 2 })
        redis.stop()
        #expect(eventually { (try? count("store_server_workers{\(server)}")) == 0 })
    }

    @Test("Each server of a cluster is told by itself, and how often it was asked where the slots are")
    func servers() throws {
        let folder = TemporaryFolder()
        let cluster = try RedisCluster(in: folder)
        defer { cluster.stop() }
        let health = Ports.free()
        let stage = try Stage(
            routes: "route /** { upstream app; public; limit one; } route /in { upstream app; auth sso; }",
            general: """
                health 127.0.0.1:\(health);
                redis main { cluster 127.0.0.1:\(cluster.ports[0]); timeout 200ms; }
                limit one { rate 10/1h; key $header.x-key; store main; }
                """, workers: 2)
        func lines(_ name: String) throws -> [Substring] {
            let text = try run(Executable.curl, ["-s", "-m", "10", "http://127.0.0.1:\(health)/metrics"]).text
            return text.split(whereSeparator: \.isNewline).filter { $0.hasPrefix("portcullis_\(name){") }
        }
        #expect(
            eventually(within: 20) {
                (try? lines("store_server_workers"))?.count { $0.hasSuffix(" 2") } == 3
            }, "\(stage.gateway.log)")
        #expect(try lines("store_topology_readings_total").contains { $0.contains("result=\"ok\"") && !$0.hasSuffix(" 0") })
        for key in 0..<20 { _ = try stage.gateway.curl("/", ["-H", "X-Key: \(key)"]) }
        #expect(try lines("store_server_duration_seconds_count").count { !$0.hasSuffix(" 0") } == 3)
    }
}
