import Foundation
import Glibc
import TestSockets
import Testing

/// What bounds the requests to an upstream, of all workers together: each 503 names it.
@Suite("Limits of upstreams", .serialized) struct UpstreamLimitsTests {
    private let healthPort = Ports.free()

    private func gateway(_ upstream: String, in folder: TemporaryFolder) throws -> Gateway {
        try Credentials.certificate(in: folder, name: "localhost", names: ["localhost", "127.0.0.1"])
        return try Gateway(
            """
            workers 2;
            listen 127.0.0.1:@PORT@ { tls { certificate @DIR@/localhost.crt @DIR@/localhost.key; } }
            health 127.0.0.1:\(healthPort);
            access_log @DIR@/access.log;
            upstream app { \(upstream) }
            route /** { public; upstream app; }
            """, in: folder)
    }

    private func value(_ name: String, _ labels: String...) throws -> Int? {
        let metrics = try run(Executable.curl, ["-s", "-m", "10", "http://127.0.0.1:\(healthPort)/metrics"]).text
        let line = metrics.split(separator: "\n").first { line in
            line.hasPrefix("portcullis_\(name){") && labels.allSatisfy { line.contains("\"\($0)\"") }
        }
        return line.flatMap { Int($0.split(separator: " ").last ?? "") }
    }

    @Test("A breaker opens where requests fail, lets one try, and closes when that is answered")
    func breaker() throws {
        let folder = TemporaryFolder()
        let port = Ports.free()
        func server(_ answer: String, _ name: String) throws -> Nginx {
            try Nginx("server { listen 127.0.0.1:\(port); location / { return \(answer); } }", in: folder, name: name, ports: [port])
        }
        let ill = try server("502 ill", "ill")
        let gateway = try gateway("server 127.0.0.1:\(port); breaker { rate 50% of 10 in 30s; open 2s; }", in: folder)
        let statuses = try gateway.load("/", count: 200, parallel: 4)
        #expect(statuses[502] ?? 0 >= 10 && statuses[503] ?? 0 >= 100 && statuses.count == 2, "\(statuses)")
        // What is refused does not go out: workers that saw the breaker closed a moment ago may send one more each.
        #expect(try value("upstream_requests_total", "app", "5xx") ?? 99 <= 10 + 8)
        #expect(
            gateway.log.contains(
                "upstream app: its breaker opens: no request goes out for 2 s, because too many failed, last with status 502"))
        #expect(try value("upstream_rejections_total", "app", "circuit_open") == statuses[503])
        #expect(eventually { folder.read("access.log").contains("\"upstream_circuit_open\"") })
        // A reload forgets nothing: it opens again for as long as the one request that tries fails.
        #expect(gateway.reload())
        #expect(try value("upstream_circuit_open", "app") == 1)
        let status = try run(Executable.portcullis, ["status", "-c", "\(folder.path)/gateway.conf"])
        #expect(status.text.contains("! app is given no requests: its breaker is open"), "\(status.text)")
        ill.stop()
        let well = try server("200 ok", "well")
        #expect(eventually(within: 30) { (try? gateway.curl("/").status) == 200 })
        #expect(gateway.log.contains("upstream app: its breaker is closed again"))
        #expect(try value("upstream_circuit_open", "app") == 0)
        #expect(try gateway.load("/", count: 50, parallel: 4) == [200: 50])
        _ = well.pid
    }

    @Test("A breaker opens too where nobody listens")
    func nobody() throws {
        let folder = TemporaryFolder()
        let gateway = try gateway("server 127.0.0.1:\(Ports.free()); breaker { rate 50% of 10 in 30s; open 60s; }", in: folder)
        let statuses = try gateway.load("/", count: 100, parallel: 2)
        #expect(statuses[502] ?? 0 >= 10 && statuses[502] ?? 0 <= 14 && statuses[503] ?? 0 >= 86 && statuses.count == 2, "\(statuses)")
        // Those who come later are told at once.
        #expect(try gateway.curl("/", ["-d", "x"]).status == 503)
    }

    @Test("max_requests holds for all workers together, and a worker that is killed takes nothing of it along")
    func requests() throws {
        let folder = TemporaryFolder()
        let asked = Box(0)
        let released = Flag()
        let server = try ScriptedServer { client, _ in
            guard !client.read(until: "\r\n\r\n").isEmpty else { return }
            asked.change { $0 += 1 }
            while !released.isSet { usleep(10_000) }
            client.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        }
        let gateway = try gateway("server 127.0.0.1:\(server.port); max_requests 6;", in: folder)
        // Twelve at once: half of them wait for the service, the others are told at once.
        let first = try gateway.startLoad("/", count: 12, parallel: 12)
        #expect(eventually { (try? value("upstream_rejections_total", "app", "max_requests")) == 6 })
        #expect(eventually { asked.value == 6 })
        for worker in gateway.children("worker") { kill(worker, SIGKILL) }
        _ = first.statuses()
        #expect(eventually { gateway.log.components(separatedBy: "it is started again").count == 3 })
        let second = try gateway.startLoad("/", count: 6, parallel: 6)
        #expect(eventually { asked.value == 12 }, "\(asked.value)")
        released.set()
        #expect(second.statuses() == [200: 6])
        #expect(try value("upstream_rejections_total", "app", "max_requests") == 6)
        #expect(eventually { folder.read("access.log").contains("\"upstream_max_requests\"") })
    }

    @Test("max_waiting holds for all workers together")
    func waiting() throws {
        let folder = TemporaryFolder()
        let asked = Box(0)
        let released = Flag()
        let server = try ScriptedServer { client, _ in
            while !client.read(until: "\r\n\r\n").isEmpty {
                asked.change { $0 += 1 }
                while !released.isSet { usleep(10_000) }
                client.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            }
        }
        let gateway = try gateway(
            "server 127.0.0.1:\(server.port); max_connections 1; max_waiting 4; connect_timeout 60s;", in: folder)
        // Sixteen: each worker has one connection, four of the others wait, and the rest is told at once.
        let load = try gateway.startLoad("/", count: 16, parallel: 16)
        #expect(eventually { (try? value("upstream_waiting", "app")) == 4 && asked.value >= 1 })
        #expect(eventually { ((try? value("upstream_rejections_total", "app", "max_waiting")) ?? 0) == 16 - 4 - asked.value })
        let busy = asked.value
        released.set()
        #expect(load.statuses() == [200: busy + 4, 503: 12 - busy])
    }
}
