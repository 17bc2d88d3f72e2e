import Foundation
import Glibc
import TestSockets
import Testing

/// Metrics as the real Prometheus sees them.
@Suite("Prometheus", .serialized) struct PrometheusTests {
    private let healthPort = Ports.free()

    private func scrape(_ arguments: [String] = []) throws -> String {
        try run(Executable.curl, ["-s", "-m", "10", "http://127.0.0.1:\(healthPort)/metrics"] + arguments).text
    }

    /// The sum of the samples of a family whose labels contain all of these texts.
    private func sum(_ text: String, _ name: String, _ labels: [String] = []) -> Int {
        text.split(separator: "\n").filter { line in line.hasPrefix("\(name){") && labels.allSatisfy { line.contains($0) } }
            .reduce(0) { $0 + (Int($1.split(separator: " ").last ?? "") ?? 0) }
    }

    @Test("Counters outlive reloads, crashes and an upgrade, and equal what the load has counted itself")
    func outlive() throws {
        let stage = try Stage(general: "health 127.0.0.1:\(healthPort);")
        let prometheus = try Prometheus(scraping: healthPort, in: stage.folder)
        let authorized = ["-H", "Authorization: Bearer \(try stage.signer.token())"]
        var answered: [Int: Int] = [:]
        func load(_ count: Int, _ arguments: [String]) throws {
            for (status, number) in try stage.gateway.load("/orders", count: count, parallel: 8, arguments) {
                answered[status, default: 0] += number
            }
        }
        for round in 0..<3 {
            try load(300, authorized)
            try load(100, [])
            // While requests come: those of the generation before are counted too.
            let during = try stage.gateway.startLoad("/orders", count: 400, parallel: 4, authorized)
            #expect(stage.gateway.reload())
            for (status, number) in during.statuses() { answered[status, default: 0] += number }
            // Between two loads, because what a worker has in flight when it is killed is nobody's.
            let worker = try #require(stage.gateway.children("worker").first)
            kill(worker, SIGKILL)
            #expect(eventually { (try? sum(scrape(), "portcullis_worker_restarts_total", ["crash"])) == round + 1 })
            #expect(eventually { stage.gateway.children("worker").count >= 2 })
        }
        #expect(stage.gateway.handOver())
        try load(200, authorized)
        let control = try #require(stage.gateway.children("control").first)
        kill(control, SIGKILL)
        try load(100, authorized)
        // The response's end is counted after the client has it.
        #expect(
            eventually {
                guard let text = try? scrape() else { return false }
                return answered.allSatisfy { sum(text, "portcullis_http_requests_total", ["code=\"\($0)\""]) == $1 }
            }, "\(answered) \((try? scrape()) ?? "")")
        #expect(answered[200] == 2_400 && answered[401] == 300, "\(answered)")
        let text = try scrape()
        #expect(sum(text, "portcullis_http_refusals_total", ["token_missing"]) == 300)
        #expect(sum(text, "portcullis_http_request_duration_seconds_count") == 2_700)
        #expect(sum(text, "portcullis_http_requests_in_flight") == 0)
        #expect(sum(text, "portcullis_upstream_requests_total", ["2xx"]) == 2_400)
        #expect(sum(text, "portcullis_auth_decisions_total", ["accepted"]) == 2_400)

        // Prometheus reads OpenMetrics, and has seen no counter go back.
        #expect(
            eventually(within: 30) { (try? prometheus.value("sum(portcullis_http_requests_total)")) == 2_700 }, "\(prometheus.program.log)")
        #expect(
            try prometheus.value("sum(resets(portcullis_http_requests_total[10m])) + sum(resets(portcullis_worker_restarts_total[10m]))")
                == 0)
        #expect(try prometheus.value("max(up)") == 1)
    }

    @Test("promtool finds nothing wrong with a scrape")
    func promtool() throws {
        let stage = try Stage(
            routes: "route /** { auth sso; limit per_ip; upstream app; }",
            general: "health 127.0.0.1:\(healthPort); limit per_ip { rate 1000/1m; key $client.ip; }")
        _ = try stage.gateway.load("/orders", count: 20, parallel: 2)
        _ = try stage.gateway.load("/orders", count: 20, parallel: 2, ["-H", "Authorization: Bearer \(try stage.signer.token())"])
        let text = try scrape()
        let checked = try run("/usr/bin/promtool", ["check", "metrics"], input: text)
        #expect(checked.status == 0, "\(checked.text)\(checked.errors)")
        #expect(text.contains("portcullis_limit_decisions_total{limit=\"per_ip\",result=\"allowed\"} 40"))
        let open = try scrape(["-H", "Accept: application/openmetrics-text; version=1.0.0"])
        #expect(open.hasSuffix("# EOF\n"))
        let off = try Stage(general: "health 127.0.0.1:\(Ports.free()) { metrics off; from 192.0.2.0/24; }")
        #expect(off.gateway.program.isRunning)
    }
}

/// A Prometheus that scrapes one gateway.
private final class Prometheus {
    let program: Program
    private let port = Ports.free()

    init(scraping target: Int, in folder: TemporaryFolder) throws {
        let file = try folder.write(
            "prometheus.yml",
            """
            global: { scrape_interval: 500ms }
            scrape_configs: [ { job_name: portcullis, static_configs: [ { targets: [ "127.0.0.1:\(target)" ] } ] } ]

            """)
        program = try Program(
            "/usr/bin/prometheus",
            [
                "--config.file=\(file)", "--web.listen-address=127.0.0.1:\(port)", "--storage.tsdb.path=\(folder.path)/tsdb",
                "--enable-feature=exemplar-storage",
            ], log: "\(folder.path)/prometheus.log")
        let port = port
        guard eventually(within: 30, { Ports.isOpen(port) }) else { throw StartFailed(log: program.log) }
    }

    /// The value of an expression that gives one.
    func value(_ expression: String) throws -> Double? {
        let output = try run(
            Executable.curl, ["-s", "-m", "10", "-G", "--data-urlencode", "query=\(expression)", "http://127.0.0.1:\(port)/api/v1/query"])
        let answer = try JSONSerialization.jsonObject(with: Data(output.text.utf8)) as? [String: Any]
        let results = (answer?["data"] as? [String: Any])?["result"] as? [[String: Any]]
        guard let text = (results?.first?["value"] as? [Any])?.last as? String else { return nil }
        return Double(text)
    }
}
