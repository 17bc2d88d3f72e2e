import Foundation
import TestSockets
import Testing

/// Limits that have requests wait for their turn, in place of refusing them.
@Suite("Limits with delay") struct LimitDelayTests {
    private let folder = TemporaryFolder()

    private let health = Ports.free()

    private func metric(_ name: String) throws -> String {
        let text = try run(Executable.curl, ["-s", "-m", "10", "http://127.0.0.1:\(health)/metrics"]).text
        let line = text.split(whereSeparator: \.isNewline).first { $0.hasPrefix("portcullis_\(name) ") }
        return line.map { String($0.split(separator: " ")[1]) } ?? ""
    }

    private func stage(_ limit: String, _ server: RedisServer) throws -> Stage {
        let stage = try Stage(
            routes: "route /** { upstream app; public; limit one; } route /in { upstream app; auth sso; }",
            general: """
                redis main { address 127.0.0.1:\(server.port); timeout 2s; }
                limit other { rate 100000/1h; key $client.ip; store main; }
                route /other { upstream app; public; limit other; }
                limit one { \(limit) key $header.x-key; }
                access_log @DIR@/access.log;
                health 127.0.0.1:\(health);
                """)
        #expect(eventually { (try? stage.gateway.curl("/other").status) == 200 })
        return stage
    }

    /// Milliseconds that each request took, by its line in the log.
    private func durations(_ stage: Stage, _ count: Int) throws -> [Double] {
        func lines() -> [[String: Any]] {
            stage.folder.read("access.log").split(separator: "\n").compactMap {
                (try? JSONSerialization.jsonObject(with: Data($0.utf8))) as? [String: Any]
            }.filter { $0["path"] as? String == "/" }
        }
        #expect(eventually { lines().count >= count })
        return lines().compactMap { $0["duration_ms"] as? Double }
    }

    @Test("What comes beyond the burst goes on one by one, and what would wait for longer is refused", arguments: ["", "store main;"])
    func turns(store: String) throws {
        let server = try RedisServer(in: folder)
        // One each 200 ms; two at once; three more wait 200, 400 and 600 ms.
        let stage = try stage("rate 5/s; burst 2; delay 600ms; \(store)", server)
        #expect(try stage.gateway.load("/", count: 8, parallel: 8, ["-H", "X-Key: k"]) == [200: 5, 429: 3])
        let served = try durations(stage, 8).sorted().suffix(3)
        // That they waited at all is certain; by how much more than their turn is the machine's affair.
        #expect(zip(served, [150.0, 350, 550]).allSatisfy { $0 >= $1 }, "\(served)")
    }

    @Test("What may come at once is told without those that wait")
    func told() throws {
        let server = try RedisServer(in: folder)
        let stage = try stage("rate 6/1h; burst 2; delay 60s; store main;", server)
        let first = try stage.gateway.curl("/", ["-H", "X-Key: k"])
        #expect(first["ratelimit"]?.hasPrefix("\"one\";r=1;") == true, "\(first.fields)")
        let second = try stage.gateway.curl("/", ["-H", "X-Key: k"])
        #expect(second["ratelimit"]?.hasPrefix("\"one\";r=0;t=") == true, "\(second.fields)")
        // The next one would have to wait for ten minutes.
        #expect(try stage.gateway.curl("/", ["-H", "X-Key: k"]).status == 429)
    }

    @Test("In shadow nobody waits")
    func shadow() throws {
        let server = try RedisServer(in: folder)
        let stage = try stage("rate 1/20s; burst 1; delay 60s; shadow;", server)
        for _ in 0..<5 { #expect(try stage.gateway.curl("/", ["-H", "X-Key: k", "-m", "10"]).status == 200) }
    }

    @Test("A credential that ends while its request waits opens nothing")
    func credential() throws {
        let stage = try Stage(
            routes: "route /** { upstream app; auth sso; limit one; }",
            general: "limit one { rate 1/8s; burst 1; delay 15s; key $claim.sub; }")
        func bearer(_ expiresIn: Int) throws -> [String] {
            ["-H", "Authorization: Bearer \(try stage.signer.token(subject: "a", expiresIn: expiresIn))"]
        }
        #expect(try stage.gateway.curl("/", bearer(300)).status == 200)
        // Thirty seconds of leeway: it is good for three more.
        let answer = try stage.gateway.curl("/", bearer(-27))
        #expect(answer.status == 401 && answer.body.contains("token_expired"), "\(answer)")
        #expect(try stage.gateway.curl("/", bearer(300)).status == 200)
    }

    @Test("Who leaves while it waits costs its turn, and nothing else", arguments: ["--http1.1", "--http2"])
    func leaves(version: String) throws {
        let server = try RedisServer(in: folder)
        let stage = try stage("rate 1/10s; burst 1; delay 50s;", server)
        #expect(try stage.gateway.curl("/", [version, "-H", "X-Key: k"]).status == 200)
        #expect((try? stage.gateway.curl("/", [version, "-H", "X-Key: k", "-m", "1"]).status) != 200)
        #expect(eventually { (try? metric("limit_delayed_total{limit=\"one\"}")) == "1" })
        #expect(eventually { (try? metric("http_requests_in_flight{route=\"/**\"}")) == "0" })
        #expect(try stage.gateway.curl("/", ["-H", "X-Key: other"]).status == 200)
        // It reached nobody.
        _ = try durations(stage, 3)
        let lines = stage.folder.read("access.log").split(separator: "\n").filter { $0.contains("\"path\":\"/\"") }
        #expect(lines.count == 3 && lines.count { $0.contains("\"status\":200") } == 2, "\(lines)")
    }

    @Test("A gateway that stops lets those go on that wait")
    func drains() throws {
        let server = try RedisServer(in: folder)
        let stage = try stage("rate 1/s; burst 1; delay 20s;", server)
        #expect(try stage.gateway.curl("/", ["-H", "X-Key: k"]).status == 200)
        let (gateway, answer) = (stage.gateway!, Box(0))
        let done = Flag()
        Thread {
            answer.change { $0 = (try? gateway.load("/", count: 3, parallel: 3, ["-H", "X-Key: k"])[200]) ?? -1 }
            done.set()
        }.start()
        #expect(eventually { (try? metric("limit_delayed_total{limit=\"one\"}")) == "3" })
        #expect(stage.gateway.reload())
        #expect(eventually(within: 40) { done.isSet })
        #expect(answer.value == 3)
    }
}
