import Foundation
import Glibc
import TestSockets
import Testing

/// Upstreams whose servers stand in the DNS: dnsmasq, nginx, and names that change under load.
@Suite("Services of the DNS", .serialized) struct ServiceTests {
    private let folder = TemporaryFolder()
    private let dnsPort = Ports.free()
    private let healthPort = Ports.free()

    private func dns(_ records: [DNSServer.Record]) throws -> DNSServer { try DNSServer(records, port: dnsPort, in: folder) }

    private func server(_ name: String, _ port: Int) throws -> Nginx {
        try Nginx(
            "server { listen 127.0.0.1:\(port); location / { return 200 \(name); } }", in: folder, name: "\(name)-\(port)", ports: [port])
    }

    private func gateway(_ more: String = "") throws -> Gateway {
        try Credentials.certificate(in: folder, name: "localhost", names: ["localhost", "127.0.0.1"])
        return try Gateway(
            """
            workers 2;
            listen 127.0.0.1:@PORT@ { tls { certificate @DIR@/localhost.crt @DIR@/localhost.key; } }
            health 127.0.0.1:\(healthPort);
            upstream app { srv _http._tcp.app.test { resolver 127.0.0.1:\(dnsPort); } connect_timeout 2s; \(more) }
            route /** { public; upstream app; }
            """, in: folder)
    }

    private func metric(_ name: String, _ labels: String...) throws -> Int {
        let text = try run(Executable.curl, ["-s", "-m", "10", "http://127.0.0.1:\(healthPort)/metrics"]).text
        return text.split(separator: "\n").filter { line in
            line.hasPrefix("portcullis_\(name){") && labels.allSatisfy { line.contains("\"\($0)\"") }
        }.compactMap { Int($0.split(separator: " ").last ?? "") }.reduce(0, +)
    }

    private func bodies(_ gateway: Gateway, _ count: Int = 16) throws -> [String: Int] {
        Dictionary((0..<count).map { _ in (try? gateway.curl("/").body) ?? "" }.map { ($0, 1) }, uniquingKeysWith: +)
    }

    @Test("Servers come and go under load, by priority and weight, and what was known last holds while the DNS is away")
    func changes() throws {
        let ports = (0..<4).map { _ in Ports.free() }
        let servers = try ["a", "b", "c", "d"].enumerated().map { try server($1, ports[$0]) }
        var names = try dns([("a", ports[0], 10, 1), ("b", ports[1], 10, 3), ("d", ports[3], 20, 9)])
        let gateway = try gateway("health_check { interval 200ms; fall 1; rise 1; }")
        #expect(
            gateway.log.contains("_http._tcp.app.test has 3 servers: a.app.test:\(ports[0]) b.app.test:\(ports[1]) d.app.test:\(ports[3])"))
        let first = try bodies(gateway, 32)
        #expect(first["a"] ?? 0 > 3 && first["b"] ?? 0 > (first["a"] ?? 0) && first["d"] == nil, "\(first)")
        let status = try run(Executable.portcullis, ["status", "-c", "\(folder.path)/gateway.conf"]).text
        for (index, name) in [(0, "a"), (1, "b"), (3, "d")] { #expect(status.contains("\(name).app.test:\(ports[index])"), "\(status)") }
        // Its series bear the name of the service: servers that come and go leave none behind.
        #expect(eventually { (try? metric("upstream_requests_total", "app", "_http._tcp.app.test", "2xx")) ?? 0 >= 32 })
        #expect(try metric("upstream_server_up", "app", "b.app.test:\(ports[1])") == 1)

        // The DNS is away: nothing changes, over a reload too.
        names.stop()
        #expect(
            eventually(within: 30) { gateway.log.contains("cannot be found out: no resolver gives an answer; requests go on") },
            "\(gateway.log)")
        #expect(gateway.reload())
        #expect(Set(try bodies(gateway).keys) == ["a", "b"])

        // Others under load: none fails.
        let load = try gateway.startLoad("/", count: 20_000, parallel: 8)
        #expect(eventually { load.program.log.count > 2_000 })
        names = try dns([("b", ports[1], 10, 1), ("c", ports[2], 10, 1), ("d", ports[3], 20, 9)])
        #expect(eventually(within: 30) { (try? bodies(gateway, 8))?["c"] ?? 0 > 0 })
        #expect(load.statuses() == [200: 20_000])
        #expect(Set(try bodies(gateway).keys) == ["b", "c"])
        #expect(eventually { (try? metric("upstream_server_up", "app", "c.app.test:\(ports[2])")) == 1 })
        #expect(try metric("upstream_server_up", "app", "a.app.test:\(ports[0])") == 0)

        // Those of the next priority stand in.
        servers[1].stop()
        servers[2].stop()
        #expect(eventually { (try? bodies(gateway, 8)) == ["d": 8] })
        // An operator takes one out by its name.
        let drained = try run(
            Executable.portcullis, ["server", "drain", "-c", "\(folder.path)/gateway.conf", "app", "d.app.test:\(ports[3])"])
        #expect(drained.status == 0, "\(drained.errors)")
        #expect(eventually { (try? gateway.curl("/").status) ?? 0 >= 502 })
        names.stop()
        _ = servers[0].pid
    }

    @Test("A gateway starts without the DNS, says so, and serves as soon as it answers")
    func startsWithout() throws {
        let port = Ports.free()
        let server = try server("late", port)
        let gateway = try gateway()
        let answer = try gateway.curl("/")
        #expect(answer.status == 503 && answer.body.contains("upstream_unresolved"), "\(answer)")
        #expect(
            eventually(within: 30) {
                gateway.log.contains("the servers of _http._tcp.app.test cannot be found out: no resolver gives an answer")
            })
        let names = try dns([("late", port, 0, 0)])
        #expect(eventually(within: 30) { (try? gateway.curl("/").body) == "late" }, "\(gateway.log)")
        // Through its own name, as every other server.
        _ = server.pid
        names.stop()
    }
}
