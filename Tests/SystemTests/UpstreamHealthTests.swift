import Foundation
import Glibc
import TestSockets
import Testing

/// Servers that fail and come back, under load: real ones.
@Suite("Upstream health", .serialized) struct UpstreamHealthTests {
    private let healthPort = Ports.free()

    /// nginx that answers `name`, or whatever stands in `answer`.
    private func server(_ name: String, _ port: Int, in folder: TemporaryFolder, answer: String = "200 ok", more: String = "") throws
        -> Nginx
    {
        try Nginx("server { listen 127.0.0.1:\(port); \(more) location / { return \(answer); } }", in: folder, name: name, ports: [port])
    }

    private func gateway(_ upstream: String, in folder: TemporaryFolder, more: String = "") throws -> Gateway {
        try Credentials.certificate(in: folder, name: "localhost", names: ["localhost", "127.0.0.1"])
        return try Gateway(
            """
            workers 2;
            listen 127.0.0.1:@PORT@ { tls { certificate @DIR@/localhost.crt @DIR@/localhost.key; } }
            health 127.0.0.1:\(healthPort);
            upstream app { \(upstream) }
            route /** { public; upstream app; }
            \(more)
            """, in: folder)
    }

    private func metrics() throws -> String { try run(Executable.curl, ["-s", "-m", "10", "http://127.0.0.1:\(healthPort)/metrics"]).text }

    private func value(_ name: String, _ labels: String...) throws -> Int? {
        let line = try metrics().split(separator: "\n").first { line in
            line.hasPrefix("portcullis_\(name){") && labels.allSatisfy { line.contains("\"\($0)\"") }
        }
        return line.flatMap { Int($0.split(separator: " ").last ?? "") }
    }

    @Test("A server that answers 503 is taken out, by all workers, and told of; with retries no request fails")
    func ejection() throws {
        let folder = TemporaryFolder()
        let (good, bad) = (Ports.free(), Ports.free())
        let first = try server("good", good, in: folder)
        let second = try server("bad", bad, in: folder, answer: "503 no")
        let gateway = try gateway(
            "server 127.0.0.1:\(good); server 127.0.0.1:\(bad); ejection { consecutive 5; for 2s; max 4s; } retry { }", in: folder)
        let statuses = try gateway.load("/", count: 300, parallel: 8)
        #expect(statuses == [200: 300], "\(statuses)")
        #expect(gateway.log.contains("127.0.0.1:\(bad) is given no requests for 2 s: it failed again and again, last with status 503"))
        #expect(eventually { (try? value("upstream_ejections_total", "127.0.0.1:\(bad)", "consecutive")) ?? 0 >= 1 })
        #expect(eventually { (try? value("upstream_retries_total", "status_503")) ?? 0 >= 5 })
        // The good one stays, whatever it does: it is the last.
        #expect(try value("upstream_server_up", "127.0.0.1:\(good)") == 1)
        // A reload forgets nothing.
        let outs = try value("upstream_ejections_total", "127.0.0.1:\(bad)", "consecutive") ?? 0
        #expect(gateway.reload())
        _ = try gateway.load("/", count: 50, parallel: 4)
        #expect(try value("upstream_requests_total", "127.0.0.1:\(bad)", "5xx") ?? 99 <= 5 + outs + 3)
        // It comes back, and is asked again.
        second.stop()
        let mended = try server("mended", bad, in: folder)
        #expect(
            eventually(within: 30) {
                _ = try? gateway.load("/", count: 20, parallel: 2)
                return (try? value("upstream_requests_total", "127.0.0.1:\(bad)", "2xx")) ?? 0 > 0
            })
        #expect(eventually { (try? value("upstream_server_state", "127.0.0.1:\(bad)", "up")) == 1 })
        _ = (first.pid, mended.pid)
    }

    @Test("Of idempotent requests none fails while servers are stopped, killed, black-holed and brought back")
    func churn() throws {
        let folder = TemporaryFolder()
        let ports = (0..<3).map { _ in Ports.free() }
        var servers = try ports.enumerated().map { try server("s\($0)", $1, in: folder) }
        let gateway = try gateway(
            ports.map { "server 127.0.0.1:\($0);" }.joined()
                + "connect_timeout 5s; answer_timeout 5s; ejection { for 1s; max 2s; at_most 100%; }"
                + "retry { tries 3; on reset timeout 502 503 504; budget 100% min 100/s; }", in: folder)
        // One after the other is stopped in good order, killed with what it had, and hung with its connections open, and brought back.
        var statuses: [Int: Int] = [:]
        for round in 0..<3 {
            let load = try gateway.startLoad("/", count: 30_000, parallel: 8)
            let processes = Program.children(of: servers[round].pid) + [servers[round].pid]
            #expect(eventually { load.program.log.count > 2_000 })
            switch round {
            case 0: servers[round].stop()
            case 1: for process in processes { kill(process, SIGKILL) }
            default: for process in processes { kill(process, SIGSTOP) }
            }
            if round < 2 {
                #expect(eventually { !Ports.isOpen(ports[round]) })
                #expect(eventually { load.program.log.count > 40_000 })
                servers[round] = try server("s\(round)-again", ports[round], in: folder)
            }
            for (status, count) in load.statuses() { statuses[status, default: 0] += count }
            if round == 2 { for process in processes { kill(process, SIGCONT) } }
        }
        #expect(statuses == [200: 90_000], "\(statuses) \(gateway.log)")
        for port in ports { #expect(try value("upstream_requests_total", "127.0.0.1:\(port)", "2xx") ?? 0 > 1_000) }
    }

    @Test("Without a body that is short a request goes out once; others than idempotent ones do too")
    func methods() throws {
        let folder = TemporaryFolder()
        let asked = Box<[String]>([])
        let server = try ScriptedServer { client, _ in
            let head = client.read(until: "\r\n\r\n")
            asked.change { $0.append(String(head.prefix { $0 != " " })) }
            client.send("HTTP/1.1 503 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        }
        let gateway = try gateway("server 127.0.0.1:\(server.port); retry { budget 100% min 50/s; }", in: folder)
        #expect(try gateway.curl("/").status == 503)
        #expect(asked.value == ["GET", "GET"])
        #expect(try gateway.curl("/", ["-d", "x"]).status == 503)
        #expect(asked.value == ["GET", "GET", "POST"])
        #expect(try gateway.curl("/", ["-X", "PUT", "-d", "a short body"]).status == 503)
        #expect(asked.value.suffix(2) == ["PUT", "PUT"])
        let long = try folder.write("long", String(repeating: "x", count: 200_000))
        _ = try gateway.curl("/", ["-T", long])
        #expect(asked.value.count { $0 == "PUT" } == 3)
    }

    @Test("Checks take a server out before a request meets it, say why, and take it back in")
    func checks() throws {
        let folder = TemporaryFolder()
        let (first, second) = (Ports.free(), Ports.free())
        let kept = try server("first", first, in: folder)
        var other: Nginx? = try server("second", second, in: folder, more: "location /healthz { return 500 'ill'; }")
        let gateway = try gateway(
            """
            server 127.0.0.1:\(first); server 127.0.0.1:\(second);
            health_check { path /healthz; interval 100ms; timeout 1s; fall 2; rise 2; }
            """, in: folder)
        // The first look is before the first request.
        #expect(try gateway.load("/", count: 40, parallel: 4) == [200: 40])
        #expect(try value("upstream_requests_total", "127.0.0.1:\(second)", "2xx") == 0)
        #expect(try value("upstream_server_up", "127.0.0.1:\(second)") == 0)
        #expect(gateway.log.contains("127.0.0.1:\(second) is down: it answered 500"))
        let status = try run(Executable.portcullis, ["status", "-c", "\(folder.path)/gateway.conf"])
        #expect(status.status == 1 && status.text.hasPrefix("! app 127.0.0.1:\(second) is down: it answered 500"), "\(status.text)")
        other?.stop()
        other = try server("again", second, in: folder)
        #expect(eventually { (try? value("upstream_server_up", "127.0.0.1:\(second)")) == 1 })
        #expect(gateway.log.contains("127.0.0.1:\(second) is up again"))
        #expect(try gateway.load("/", count: 40, parallel: 4) == [200: 40])
        #expect(eventually { (try? value("upstream_requests_total", "127.0.0.1:\(second)", "2xx")) ?? 0 > 5 })
        // A reload knows at once what the checks before have found.
        other?.stop()
        #expect(eventually { (try? value("upstream_server_up", "127.0.0.1:\(second)")) == 0 })
        #expect(gateway.reload())
        for _ in 0..<5 {
            #expect(try value("upstream_server_up", "127.0.0.1:\(second)") == 0)
            usleep(60_000)
        }
        _ = kept.pid
    }

    @Test("A check of grpc asks the server's own health service about a service", arguments: [false, true])
    func grpcChecks(isSecure: Bool) throws {
        let folder = TemporaryFolder()
        let (port, tlsPort) = (Ports.free(), Ports.free())
        let server = try Executable.peerServer("grpc_peer", port, in: folder)
        try Credentials.certificate(in: folder, name: "service", names: ["127.0.0.1"])
        let nginx = try Nginx(
            """
            server { listen 127.0.0.1:\(tlsPort) ssl http2; ssl_certificate \(folder.path)/service.crt; ssl_certificate_key \(folder.path)/service.key;
              location / { grpc_pass grpc://127.0.0.1:\(port); } }
            """, in: folder, name: "tls", ports: [tlsPort])
        let address = "127.0.0.1:\(isSecure ? tlsPort : port)"
        let check = "health_check grpc test.Echo { interval 100ms; timeout 2s; fall 2; rise 2; }"
        let gateway = try gateway(
            "server \(address); protocol h2; \(check) \(isSecure ? "tls { trusted_certificate @DIR@/service.crt; }" : "")", in: folder,
            more: """
                upstream whole { server 127.0.0.1:\(port); protocol h2; health_check grpc { interval 100ms; } }
                upstream stranger { server 127.0.0.1:\(port); protocol h2; health_check grpc test.Other { interval 100ms; } }
                upstream plain { server 127.0.0.1:\(tlsPort); protocol h2; health_check grpc { interval 100ms; timeout 1s; } }
                route /more { public; answer 204; }
                """)
        #expect(eventually { (try? value("upstream_server_up", address)) == 1 }, "\(gateway.log)")
        #expect(eventually { (try? value("upstream_server_up", "whole")) == 1 })
        #expect(
            eventually { gateway.log.contains("upstream stranger: 127.0.0.1:\(port) is down: it does not know the service test.Other") })
        // What speaks no HTTP/2 in clear is down, and says so.
        #expect(eventually { gateway.log.contains("upstream plain: 127.0.0.1:\(tlsPort) is down: ") }, "\(gateway.log)")
        server.signal(SIGUSR1)
        #expect(eventually { gateway.log.contains("upstream app: \(address) is down: the service test.Echo is NOT_SERVING") })
        #expect(try value("upstream_server_up", "whole") == 1)
        server.signal(SIGUSR2)
        #expect(eventually { gateway.log.contains("upstream app: \(address) is up again") })
        server.signal(SIGKILL)
        #expect(eventually { (try? value("upstream_server_up", address)) == 0 })
        _ = nginx.pid
    }

    @Test("A check of http speaks HTTP/2 where the upstream's servers do")
    func checksOverHTTP2() throws {
        let folder = TemporaryFolder()
        let port = Ports.free()
        // Larger than a window, which has to open again while it comes.
        try folder.write("large", String(repeating: "x", count: 700_000))
        let content = "location /healthz { return 204; } location /ill { return 500; } location /large { root \(folder.path); }"
        let nginx = try Nginx("server { listen 127.0.0.1:\(port) http2; \(content) }", in: folder, ports: [port])
        let gateway = try gateway(
            "server 127.0.0.1:\(port); protocol h2; health_check { path /healthz; interval 100ms; header X-Probe gateway; }", in: folder,
            more: "upstream ill { server 127.0.0.1:\(port); protocol h2; health_check { path /ill; interval 100ms; } } "
                + "upstream large { server 127.0.0.1:\(port); protocol h2; health_check { path /large; interval 100ms; timeout 20s; } }")
        #expect(eventually { (try? value("upstream_server_up", "app")) == 1 }, "\(gateway.log)")
        #expect(eventually { gateway.log.contains("upstream ill: 127.0.0.1:\(port) is down: it answered 500") }, "\(gateway.log)")
        #expect(eventually(within: 40) { (try? value("upstream_server_up", "large")) == 1 }, "\(gateway.log)")
        #expect(eventually(within: 40) { (try? value("upstream_checks_total", "large", "success")) ?? 0 > 2 })
        _ = nginx.pid
    }

    @Test("Where all are down the file says whether they are asked all the same")
    func allDown() throws {
        for (word, status, reason) in [("try", 502, "upstream_connect_failed"), ("refuse", 503, "upstream_no_server")] {
            let folder = TemporaryFolder()
            let gateway = try gateway(
                "server 127.0.0.1:\(Ports.free()); server 127.0.0.1:\(Ports.free()); health_check tcp { interval 100ms; } when_all_down \(word);",
                in: folder)
            let answer = try gateway.curl("/")
            #expect(answer.status == status && answer.body.contains(reason), "\(answer.body)")
        }
    }

    @Test("Backups are for when no other server is, and a server that is taken out gets nothing until it is taken back in")
    func backupsAndDrain() throws {
        let folder = TemporaryFolder()
        let (first, second) = (Ports.free(), Ports.free())
        let main = try server("main", first, in: folder, answer: "200 main")
        let spare = try server("spare", second, in: folder, answer: "200 spare")
        let gateway = try gateway("server 127.0.0.1:\(first); server 127.0.0.1:\(second) backup;", in: folder)
        func bodies() throws -> Set<String> { Set(try (0..<12).map { _ in try gateway.curl("/").body }) }
        func change(_ word: String, _ port: Int) throws -> Output {
            try run(Executable.portcullis, ["server", word, "-c", "\(folder.path)/gateway.conf", "app", "127.0.0.1:\(port)"])
        }
        #expect(try bodies() == ["main"])
        #expect(try change("drain", first).status == 0)
        #expect(try bodies() == ["spare"])
        #expect(gateway.reload())
        #expect(try bodies() == ["spare"])
        let both = try change("drain", second)
        #expect(both.status == 0, "\(both.errors)")
        #expect(try gateway.curl("/").body.contains("upstream_no_server"))
        #expect(try change("undrain", first).status == 0)
        #expect(try bodies() == ["main"])
        #expect(try change("drain", 1).status == 1)
        main.stop()
        #expect(try change("undrain", second).status == 0)
        #expect(try bodies() == ["spare"])
        _ = spare.pid
    }

    @Test("balance hash sends a value to the same server, over workers and reloads, and on where that one is gone")
    func hash() throws {
        let folder = TemporaryFolder()
        let ports = (0..<3).map { _ in Ports.free() }
        let servers = try ports.enumerated().map { try server("h\($0)", $1, in: folder, answer: "200 s\($0)") }
        let gateway = try gateway(
            ports.map { "server 127.0.0.1:\($0);" }.joined() + "balance hash $header.X-User; connect_timeout 2s;", in: folder)
        func bodies() throws -> [String] { try (0..<30).map { try gateway.curl("/", ["-H", "X-User: user\($0)"]).body } }
        let first = try bodies()
        #expect(Set(first) == ["s0", "s1", "s2"])
        #expect(try bodies() == first)
        #expect(gateway.reload())
        #expect(try bodies() == first)
        servers[1].stop()
        let without = try bodies()
        #expect(!without.contains("s1"))
        for (before, after) in zip(first, without) where before != "s1" { #expect(before == after) }
        let wrong = try folder.write("wrong.conf", "upstream app { server 127.0.0.1:1; balance hash user; }")
        #expect(try run(Executable.portcullis, ["check", "-c", wrong]).errors.contains("'user' is not a variable"))
    }
}
