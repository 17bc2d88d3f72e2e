import Foundation
import Glibc
import TestSockets
import Testing

/// Gateways without their Redis: from the start, and while it does all that it should not.
@Suite("Limits without their store", .serialized) struct LimitOutageTests {
    private let folder = TemporaryFolder()

    private func count(_ health: Int, _ limit: String, _ result: String) throws -> Int {
        let text = try run(Executable.curl, ["-s", "-m", "10", "http://127.0.0.1:\(health)/metrics"]).text
        let series = "portcullis_limit_decisions_total{limit=\"\(limit)\",result=\"\(result)\"} "
        let line = text.split(whereSeparator: \.isNewline).first { $0.hasPrefix(series) }
        return line.flatMap { Int($0.dropFirst(series.count)) } ?? -1
    }

    @Test("A gateway that begins without its Redis takes requests, by what each limit says, and tells how it decided")
    func fromTheStart() throws {
        let (health, port) = (Ports.free(), Ports.free())
        let modes = ["open", "closed", "local", "last"]
        let stage = try Stage(
            routes: modes.map { "route /\($0) { upstream app; public; limit \($0); }" }.joined(separator: "\n")
                + " route /shadow { upstream app; public; limit shadow; } route /in { upstream app; auth sso; }",
            general: """
                health 127.0.0.1:\(health);
                redis main { address 127.0.0.1:\(port); timeout 200ms; connect_timeout 300ms; }
                \(modes.map { "limit \($0) { rate 2/1h; key $client.ip; store main; when_store_fails \($0); }" }.joined(separator: "\n"))
                limit shadow { rate 1/1h; key $client.ip; shadow; }
                """)
        func statuses(_ path: String, _ times: Int = 4) throws -> [Int] { try (0..<times).map { _ in try stage.gateway.curl(path).status } }
        #expect(try statuses("/open") == [200, 200, 200, 200] && stage.gateway.curl("/open")["ratelimit"] == nil)
        #expect(try statuses("/closed") == [503, 503, 503, 503])
        let refused = try stage.gateway.curl("/closed")
        let wait = try #require(refused["retry-after"].flatMap { Int($0) })
        #expect((1...4).contains(wait) && refused.body.contains("limit_store_unavailable"), "\(refused)")
        #expect(try statuses("/local") == [200, 200, 429, 429])
        #expect(try statuses("/last") == [200, 200, 200, 200])
        #expect(try statuses("/shadow", 3) == [200, 200, 200])
        #expect(try count(health, "open", "failed_open") == 5 && count(health, "closed", "failed_closed") == 5)
        #expect(try count(health, "local", "local") == 2 && count(health, "local", "refused") == 2)
        #expect(try count(health, "last", "last") == 4 && count(health, "shadow", "would_refuse") == 2)
        // What nobody refused while it was away counts from the first question on; what this host has counted the server learns.
        let redis = try RedisServer(in: folder, port: port)
        #expect(eventually(within: 30) { (try? stage.gateway.curl("/closed").status) == 200 }, "\(stage.gateway.log)")
        #expect(eventually { (try? stage.gateway.curl("/local").status) == 429 })
        #expect(eventually { (try? stage.gateway.curl("/last").status) == 429 })
        // What was refused then is known when it is away again; who is not known passes.
        redis.stop()
        #expect(eventually { (try? stage.gateway.curl("/closed").status) == 503 })
        #expect(try stage.gateway.curl("/last").status == 429)
    }

    @Test("Where requests are refused that cannot be counted, a Redis that stalls costs no worker, and says when to come again")
    func stalls() throws {
        let redis = try RedisServer(in: folder)
        let stage = try Stage(
            routes: "route /** { upstream app; public; limit one; } route /in { upstream app; auth sso; }",
            general: """
                redis main { address 127.0.0.1:\(redis.port); timeout 100ms; }
                limit one { rate 1000/1h; key $client.ip; store main; when_store_fails closed; }
                """)
        #expect(eventually { (try? stage.gateway.curl("/").status) == 200 })
        let workers = stage.gateway.children("worker")
        for round in 0..<3 {
            redis.signal(SIGSTOP)
            for _ in 0..<12 {
                let answer = try stage.gateway.curl("/")
                #expect(answer.status == 503 && (1...20).contains(Int(answer["retry-after"] ?? "") ?? 0), "\(round): \(answer)")
            }
            redis.signal(SIGCONT)
            #expect(eventually(within: 30) { (try? stage.gateway.curl("/").status) == 200 }, "\(stage.gateway.log)")
        }
        #expect(stage.gateway.children("worker") == workers)
    }

    @Test("Keys of a shard that stays away are counted by the others, and by it when it is back")
    func shardsThatStayAway() throws {
        let servers = try (0..<2).map { _ in try RedisServer(in: folder) }
        let list = servers.map { "127.0.0.1:\($0.port)" }.joined(separator: " ")
        let stage = try Stage(
            routes: "route /** { upstream app; public; limit one; } route /in { upstream app; auth sso; }",
            general: """
                redis main { shards \(list); timeout 500ms; rehash_after 3s; }
                limit one { rate 100000/1h; key $header.x-key; store main; when_store_fails closed; }
                """)
        func statuses() throws -> Set<Int> { Set(try (0..<16).map { try stage.gateway.curl("/", ["-H", "X-Key: k\($0)"]).status }) }
        #expect(eventually { (try? statuses()) == [200] })
        servers[0].stop()
        #expect(eventually { (try? statuses()) == [200, 503] })
        #expect(eventually(within: 30) { (try? statuses()) == [200] }, "\(stage.gateway.log)")
        #expect(try redisCLI(servers[1].port, ["DBSIZE"]).hasPrefix("16"))
        try servers[0].start()
        #expect(
            eventually(within: 30) { (try? statuses()) == [200] && (try? redisCLI(servers[0].port, ["DBSIZE"]).hasPrefix("0")) == false })
    }

    @Test("A Redis that says what it should not costs no worker, no memory, and no request more than its time")
    func hostile() throws {
        let greeting = "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n$40\r\n\(String(repeating: "a", count: 40))\r\n"
        let said = [
            "+OK\r\n", "*1000000\r\n", "$2147483647\r\n" + String(repeating: "x", count: 100_000), "*2\r\n:1\r\n", ">2\r\n+a\r\n+b\r\n", "",
            "*2\r\n:1700000000000000\r\n:9000000000000000000\r\n", "-MOVED 1 127.0.0.1:1\r\n", "-READONLY\r\n", "-BUSY\r\n", "junk",
            String(repeating: "*1\r\n", count: 10_000), String(repeating: "*2\r\n:1700000000000000\r\n:1\r\n", count: 500),
            "-ERR " + String(repeating: "e", count: 200_000) + "\r\n",
        ]
        let heard = Box(Set<Int>())
        let server = try ScriptedServer { client, number in
            var rest = ""
            while let bytes = client.waitForBytes(65_536, silence: 20_000) {
                rest += String(decoding: bytes, as: UTF8.self)
                if rest.contains("ROLE"), rest.contains("return answers") {
                    client.send(greeting)
                    rest = ""
                } else if rest.contains("EVALSHA"), !rest.contains("ROLE") {
                    heard.change { $0.insert(number % said.count) }
                    client.send(said[number % said.count])
                    rest = ""
                }
            }
        }
        let stage = try Stage(
            routes: "route /** { upstream app; public; limit one; limit leased; } route /in { upstream app; auth sso; }",
            general: """
                redis main { address 127.0.0.1:\(server.port); timeout 200ms; }
                limit one { rate 1000000/1h; key $client.ip; store main; when_store_fails open; }
                limit leased { rate 1000000/1h; key $client.ip; store main; lease 50; when_store_fails open; }
                """)
        let workers = stage.gateway.children("worker")
        _ = try stage.gateway.curl("/")
        let before = workers.map { Gateway.residentKiB($0) }
        var slowest = 0
        var statuses: [Int: Int] = [:]
        let all = eventually(within: 90) {
            let log = "\(folder.path)/\(UUID().uuidString)"
            let loaded = try? run(
                Executable.h2load,
                ["-c", "4", "-t", "1", "--rps", "50", "-D", "2", "--log-file", log, "https://127.0.0.1:\(stage.gateway.port)/"])
            guard loaded?.status == 0, let text = try? String(contentsOfFile: log, encoding: .utf8) else { return false }
            for line in text.split(separator: "\n") {
                let columns = line.split(separator: "\t").compactMap { Int($0) }
                guard columns.count >= 3 else { continue }
                statuses[columns[1], default: 0] += 1
                slowest = max(slowest, columns[2])
            }
            return heard.value.count == said.count
        }
        #expect(all, "heard of \(heard.value.sorted())")
        print("A hostile Redis: \(statuses), slowest \(slowest / 1_000) ms")
        #expect(Set(statuses.keys) == [200], "\(statuses)")
        #expect(stage.gateway.children("worker") == workers)
        for (worker, before) in zip(workers, before) { #expect(Gateway.residentKiB(worker) < before + 8_192) }
        // It is told of, and not each time.
        let lines = stage.gateway.log.split(separator: "\n").filter { $0.contains("redis main is away") }
        #expect(!lines.isEmpty && lines.count < 80, "\(lines.count)")
    }
}
