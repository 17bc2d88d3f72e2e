import Foundation
import Glibc
import TestSockets
import Testing

/// What operators see of a gateway, and what it does for them.
@Suite("Operating", .serialized) struct OperatingTests {
    private let healthPort = Ports.free()

    private func stage(_ general: String = "", routes: String = Stage.usualRoute) throws -> Stage {
        try Stage(routes: routes, general: "health 127.0.0.1:\(healthPort); \(general)")
    }

    private func portcullis(_ arguments: [String], _ stage: Stage) throws -> Output {
        try run(Executable.portcullis, arguments + ["-c", "\(stage.folder.path)/gateway.conf"])
    }

    private func health(_ path: String) throws -> (status: Int, body: String) {
        let output = try run(Executable.curl, ["-s", "-m", "10", "-w", "\n%{http_code}", "http://127.0.0.1:\(healthPort)\(path)"])
        let lines = output.text.split(separator: "\n", omittingEmptySubsequences: false)
        return (Int(lines.last ?? "") ?? 0, lines.dropLast().joined(separator: "\n"))
    }

    @Test("A reload waits for its outcome, and tells it")
    func reload() throws {
        let stage = try stage()
        let good = try portcullis(["reload"], stage)
        #expect(good.status == 0 && good.text == "reloaded\n", "\(good.errors)")
        #expect(stage.gateway.log.components(separatedBy: "ready:").count == 3)

        try stage.gateway.rewrite(
            stage.configuration(Stage.usualRoute, "health 127.0.0.1:\(healthPort);")
                + "\nbogus;\nadmin unix:\(stage.folder.path)/admin.sock;\n")
        let wrong = try portcullis(["reload"], stage)
        #expect(wrong.status == 1)
        #expect(wrong.errors.contains("the file has no directive 'bogus'") && wrong.errors.contains("the one before stays in force"))
        #expect(try health("/metrics").body.contains("portcullis_config_last_reload_successful 0"))
        #expect(try health("/metrics").body.contains("portcullis_config_reloads_total{result=\"failure\"} 1"))
        #expect(try health("/readyz").status == 200)

        // An address of somebody else is found only when it is listened on.
        let other = try ScriptedServer { _, _ in }
        try stage.gateway.rewrite(
            stage.configuration(Stage.usualRoute, "listen 127.0.0.1:\(other.port) { plaintext; }")
                + "\nadmin unix:\(stage.folder.path)/admin.sock;\n")
        let taken = try portcullis(["reload"], stage)
        #expect(taken.status == 1 && taken.errors.contains("cannot listen at 127.0.0.1:\(other.port)"), "\(taken.errors)")

        try stage.gateway.rewrite(stage.configuration(Stage.usualRoute, "health 127.0.0.1:\(healthPort);"))
        let again = try portcullis(["reload"], stage)
        #expect(again.status == 0, "\(again.errors)")
        #expect(try health("/metrics").body.contains("portcullis_config_last_reload_successful 1"))
        stage.gateway.stop()
        #expect(try portcullis(["reload"], stage).status == 3)
    }

    @Test("Many reloads at once are each told their outcome")
    func reloadsAtOnce() throws {
        let stage = try stage()
        let programs = try (0..<4).map { number in
            try Program(
                Executable.portcullis, ["reload", "-c", "\(stage.folder.path)/gateway.conf"],
                log: "\(stage.folder.path)/reload\(number).log")
        }
        for program in programs { #expect(program.exitStatus == 0, "\(program.log)") }
    }

    @Test("Health tells whether requests should come, before the gateway stops")
    func health() throws {
        let stage = try stage("shutdown_delay 1500ms;")
        #expect(try health("/livez") == (200, "alive\n"))
        #expect(try health("/readyz") == (200, "ready\n"))
        #expect(try health("/else").status == 404)
        let post = try run(
            Executable.curl, ["-s", "-o", "/dev/null", "-w", "%{http_code}", "-X", "POST", "http://127.0.0.1:\(healthPort)/readyz"])
        #expect(post.text == "405")
        #expect(try portcullis(["health"], stage).status == 0)
        stage.gateway.program.signal(SIGTERM)
        #expect(eventually { (try? health("/readyz").status) == 503 })
        #expect(try health("/readyz").body == "not ready: the gateway is stopping\n")
        #expect(try portcullis(["health"], stage).status == 1)
        // Who has not heard of it yet is still served.
        #expect(try stage.gateway.curl("/orders", ["-H", "Authorization: Bearer \(try stage.signer.token())"]).status == 200)
        #expect(eventually(within: 20) { !stage.gateway.program.isRunning })
        #expect(try portcullis(["health"], stage).status == 3)
    }

    @Test("A worker that hangs makes the gateway not ready no longer than it takes to replace it, and is counted")
    func restarts() throws {
        let stage = try stage()
        let worker = try #require(stage.gateway.children("worker").first)
        kill(worker, SIGKILL)
        #expect(eventually { (try? health("/metrics").body.contains("portcullis_worker_restarts_total{reason=\"crash\"} 1")) ?? false })
        #expect(eventually { (try? health("/readyz").status) == 200 })
        let other = try #require(stage.gateway.children("worker").last)
        kill(other, SIGSTOP)
        #expect(
            eventually(within: 40) {
                (try? health("/metrics").body.contains("portcullis_worker_restarts_total{reason=\"hang\"} 1")) ?? false
            })
        #expect(eventually { (try? health("/readyz").status) == 200 })
    }

    @Test("Peers that send nothing, too much or nonsense keep nobody from health")
    func floods() throws {
        let stage = try stage()
        var silent: [RawClient] = []
        for _ in 0..<200 { silent.append(try RawClient(port: healthPort)) }
        #expect(try health("/readyz").status == 200)
        let large = try RawClient(port: healthPort)
        large.send("GET /readyz HTTP/1.1\r\nHost: a\r\nX: \(String(repeating: "x", count: 40_000))\r\n\r\n")
        #expect(large.read().contains(" 400 "))
        let nonsense = try RawClient(port: healthPort)
        nonsense.send("\u{16}\u{3}\u{1} nonsense\r\n\r\n")
        #expect(nonsense.read().contains(" 400 "))
        let chunked = try RawClient(port: healthPort)
        chunked.send("POST /v1/reload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        #expect(chunked.read().contains(" 400 "))
        // Thousands of requests at once, behind a body that made room for them.
        let eager = try RawClient(port: healthPort)
        eager.send("POST /readyz HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n" + String(repeating: "x", count: 60_000))
        let control = try #require(stage.gateway.children("control").first)
        for _ in 0..<20 {
            eager.send(String(repeating: "GET /a HTTP/1.1\r\n\r\n", count: 400))
            _ = eager.take(1 << 20)
        }
        #expect(try health("/readyz").status == 200)
        #expect(stage.gateway.children("control") == [control])
        #expect(try stage.gateway.curl("/orders").status == 401)
        _ = silent.count
    }

    @Test("Operators' socket is for those who may use it, and for no page in a browser")
    func admission() throws {
        let stage = try stage()
        let socket = "\(stage.folder.path)/admin.sock"
        func ask(_ arguments: [String], as user: String? = nil) throws -> Output {
            let command = [Executable.curl, "-s", "-m", "10", "-w", "%{http_code}", "--unix-socket", socket] + arguments
            guard let user else { return try run(command[0], Array(command.dropFirst())) }
            return try run("/usr/bin/setpriv", ["--reuid", user, "--regid", "nogroup", "--clear-groups"] + command)
        }
        var status = stat()
        #expect(stat(socket, &status) == 0 && status.st_mode & 0o777 == 0o660)
        #expect(try ask(["http://gateway/readyz"]).text == "ready\n200")
        #expect(try ask(["-H", "Origin: https://evil.example", "http://gateway/v1/config"]).text.hasSuffix("403"))
        #expect(try ask(["-X", "POST", "http://gateway/v1/reload"]).text.hasSuffix("415"))
        #expect(try ask(["-X", "POST", "-H", "Content-Type: application/json", "http://gateway/v1/nothing"]).text.hasSuffix("404"))
        #expect(try ask(["-X", "DELETE", "http://gateway/v1/reload"]).text.hasSuffix("405"))
        guard getuid() == 0 else { return }
        #expect(try ask(["http://gateway/v1/config"], as: "nobody").status != 0)
        // Also where its mode was changed by hand.
        chmod(socket, 0o666)
        let refused = try ask(["http://gateway/v1/config"], as: "nobody")
        #expect(refused.status != 0 && refused.text.hasSuffix("000"), "\(refused.text)")
    }

    @Test("Status shows what needs attention first, and top what goes through")
    func screens() throws {
        let stage = try stage()
        _ = try stage.gateway.load("/orders", count: 20, parallel: 2, ["-H", "Authorization: Bearer \(try stage.signer.token())"])
        _ = try stage.gateway.load("/orders", count: 5, parallel: 1)
        let status = try portcullis(["status"], stage)
        #expect(status.status == 0, "\(status.text)")
        #expect(status.text.contains("workers    2 ready") && status.text.contains("127.0.0.1:\(stage.backendPort)"))
        #expect(status.text.contains("token_missing 5"))
        let json = try portcullis(["status", "--json"], stage)
        let object = try #require(try JSONSerialization.jsonObject(with: Data(json.text.utf8)) as? [String: Any])
        #expect((object["workers"] as? [Any])?.count == 2 && object["ready"] as? Bool == true)

        try stage.gateway.rewrite(stage.configuration() + "bogus;\nadmin unix:\(stage.folder.path)/admin.sock;\n")
        #expect(try portcullis(["reload"], stage).status == 1)
        let after = try portcullis(["status"], stage)
        #expect(after.status == 1 && after.text.hasPrefix("! the last reload was refused"), "\(after.text)")
        #expect(after.text.contains("(the file has changed since)"))

        let load = try stage.gateway.startLoad("/orders", count: 20_000, parallel: 1)
        let top = try portcullis(["top", "--screens", "1", "--interval", "1"], stage)
        #expect(top.text.contains("requests a second") && top.text.contains("token_missing"), "\(top.text)")
        load.program.stop()
    }

    @Test("What the processes say is found again, over reloads, ends of processes and upgrades, and as much of it as operators want")
    func events() throws {
        let port = Ports.free()
        let stage = try stage(
            "upstream sick { server 127.0.0.1:\(port); health_check { interval 200ms; fall 1; } }",
            routes: "route /sick { public; upstream sick; } \(Stage.usualRoute)")
        func events() throws -> [[String: Any]] {
            let text = try portcullis(["events", "--json"], stage).text
            return (try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])?["events"] as? [[String: Any]] ?? []
        }
        func said(_ source: String, _ text: String) throws -> Bool {
            try events().contains { ($0["source"] as? String ?? "").hasPrefix(source) && ($0["text"] as? String ?? "").contains(text) }
        }
        #expect(eventually { (try? said("supervisor", "ready: ")) == true })
        #expect(eventually { (try? said("control", "127.0.0.1:\(port) is down: ")) == true })
        // A worker's own: a certificate that it cannot use would do, and so does a breaker that opens.
        try stage.gateway.rewrite(
            stage.configuration(
                "route /sick { public; upstream sick; } \(Stage.usualRoute)",
                "health 127.0.0.1:\(healthPort); upstream sick { server 127.0.0.1:\(port); breaker { rate 50% of 2 in 10s; open 60s; } }"))
        #expect(try portcullis(["reload"], stage).status == 0)
        for _ in 0..<6 { _ = try stage.gateway.curl("/sick") }
        #expect(eventually { (try? said("worker ", "upstream sick: ")) == true })
        #expect(try said("control", "127.0.0.1:\(port) is down: "))
        let status = try portcullis(["status"], stage).text
        #expect(status.contains("ago, worker ") && status.contains("is down: "), "\(status)")
        // A control process that starts again, and a program that takes over, know it all.
        kill(try #require(stage.gateway.children("control").first), SIGKILL)
        #expect(eventually(within: 30) { (try? said("worker ", "upstream sick: ")) == true })
        #expect(stage.gateway.handOver())
        #expect(
            eventually(within: 30) {
                (try? said("worker ", "upstream sick: ")) == true && (try? said("supervisor", "has taken over")) == true
            })
        let text = try portcullis(["events"], stage).text
        #expect(text.split(separator: "\n").allSatisfy { $0.dropFirst(4).first == "-" && $0.contains("Z  ") }, "\(text)")
    }

    @Test("The log level holds for all processes, over reloads, and is one of four")
    func logLevel() throws {
        let (good, bad) = (Ports.free(), Ports.free())
        let folder = TemporaryFolder()
        let nginx = try Nginx("server { listen 127.0.0.1:\(good); location / { return 204; } }", in: folder, ports: [good])
        let stage = try stage(
            """
            upstream looked { server 127.0.0.1:\(good); health_check { interval 200ms; } }
            upstream gone { server 127.0.0.1:\(bad); retry { } }
            """, routes: "route /looked { public; upstream looked; } route /gone { public; upstream gone; } \(Stage.usualRoute)")
        #expect(try portcullis(["log-level"], stage).text == "info\n")
        #expect(try portcullis(["log-level", "all"], stage).status == 2)
        #expect(!stage.gateway.log.contains("was looked at"))
        #expect(try portcullis(["log-level", "debug"], stage).status == 0)
        #expect(eventually { stage.gateway.log.contains("upstream looked: 127.0.0.1:\(good) was looked at: it is well") })
        #expect(try stage.gateway.curl("/gone").status == 502)
        #expect(eventually { stage.gateway.log.contains("upstream gone: 127.0.0.1:\(bad): a connection did not open") })
        #expect(stage.gateway.reload())
        #expect(try portcullis(["log-level"], stage).text == "debug\n")
        // Nothing of that fills the list that status shows.
        #expect(try !portcullis(["events"], stage).text.contains("was looked at"))
        #expect(try portcullis(["log-level", "error"], stage).status == 0)
        let before = stage.gateway.log
        #expect(try portcullis(["reload"], stage).status == 0)
        // Said, and kept, but not written.
        #expect(eventually { (try? portcullis(["events"], stage).text.components(separatedBy: "ready:").count) ?? 0 >= 4 })
        #expect(!stage.gateway.log.dropFirst(before.count).contains("ready:"), "\(stage.gateway.log)")
        #expect(try portcullis(["events"], stage).text.contains("set the log level to error"))
        // A program that takes over goes on with it.
        #expect(try portcullis(["log-level", "info"], stage).status == 0)
        #expect(stage.gateway.handOver())
        #expect(eventually { (try? portcullis(["log-level"], stage).text) == "info\n" })
        #expect(try portcullis(["log-level", "debug"], stage).status == 0)
        #expect(stage.gateway.handOver())
        #expect(eventually { (try? portcullis(["log-level"], stage).text) == "debug\n" })
        _ = nginx.pid
    }

    @Test("Maintenance closes what the file does not keep open, over reloads, in both versions of HTTP, and says until when")
    func maintenance() throws {
        let routes = """
            maintenance by_operator { retry_after 10m; }
            route /open  { public; answer 200 open; maintenance off; }
            route /shut  { public; answer 200 shut; maintenance on { retry_after 1h; } }
            route /staff { public; answer 200 staff; maintenance on { except 127.0.0.1; } }
            route /** { auth sso; upstream app; }
            """
        let stage = try stage(routes: routes)
        let bearer = ["-H", "Authorization: Bearer \(try stage.signer.token())"]
        func statuses(_ path: String, _ more: [String] = []) throws -> [Int] {
            try [HTTPVersions.one, HTTPVersions.two].map { version in
                stage.gateway.version = version
                return try stage.gateway.curl(path, more).status
            }
        }
        #expect(try statuses("/", bearer) == [200, 200])
        #expect(try statuses("/shut") == [503, 503])
        #expect(try statuses("/staff") == [200, 200])
        let closed = try portcullis(["maintenance", "on"], stage)
        #expect(closed.status == 0 && closed.text.hasPrefix("the gateway is closed for maintenance"), "\(closed.errors)")
        #expect(try statuses("/", bearer) == [503, 503])
        #expect(try statuses("/open") == [200, 200])
        #expect(stage.gateway.reload())
        #expect(try statuses("/", bearer) == [503, 503])
        for worker in stage.gateway.children("worker") { kill(worker, SIGKILL) }
        #expect(eventually { (try? statuses("/", bearer)) == [503, 503] })
        let file = "\(stage.folder.path)/head"
        let refusal = try stage.gateway.curl("/", ["-D", file, "-H", "Accept: application/json"] + bearer)
        #expect(stage.folder.read("head").lowercased().contains("retry-after: 600"))
        #expect(refusal.body.contains("\"maintenance\""), "\(refusal.body)")
        #expect(try portcullis(["status"], stage).text.contains("! the gateway is closed for maintenance"))
        #expect(stage.gateway.log.contains("an operator has closed the gateway for maintenance"))
        #expect(try portcullis(["maintenance", "off"], stage).text == "the gateway is open\n")
        #expect(try statuses("/", bearer) == [200, 200])
        let folder = try stage.folder.write(
            "wrong.conf",
            "route /a { public; answer 200 a; maintenance maybe; }\nroute /b { public; answer 200 b; maintenance off { retry_after 1s; } }")
        let check = try run(Executable.portcullis, ["check", "-c", folder])
        #expect(
            check.status == 1 && check.errors.contains("wrong.conf:1:")
                && check.errors.contains("a route that stays open has nothing to tell"), "\(check.errors)")
    }

    @Test("fmt prints, shows or writes a file that is laid out")
    func fmt() throws {
        let folder = TemporaryFolder()
        let file = try folder.write("a.conf", "route / {\npublic;\n  answer 200;\n}\n")
        chmod(file, 0o640)
        let wanted = "route / {\n    public;\n    answer 200;\n}\n"
        #expect(try run(Executable.portcullis, ["fmt", file]).text == wanted)
        let shown = try run(Executable.portcullis, ["fmt", "-d", file])
        #expect(shown.status == 1 && shown.text.contains("-2: public;\n") && shown.text.contains("+2:     public;\n"), "\(shown.text)")
        #expect(try run(Executable.portcullis, ["fmt", "-w", file]).status == 0)
        #expect(folder.read("a.conf") == wanted)
        #expect(try run(Executable.portcullis, ["fmt", "-d", file]).status == 0)
        var status = stat()
        #expect(stat(file, &status) == 0 && status.st_mode & 0o777 == 0o640)
        let wrong = try run(Executable.portcullis, ["fmt", try folder.write("b.conf", "answer \"x;")])
        #expect(wrong.status == 1 && wrong.errors.contains("this quotation is never closed"))
    }
}
