import Foundation
import Glibc
import TestSockets
import Testing

@Suite(.serialized) struct ProcessTests {
    /// A gateway that listens in clear too, and a request for it.
    private func plain(routes: String = Stage.usualRoute) throws -> (stage: Stage, port: Int, request: String) {
        let port = Ports.free()
        let stage = try Stage(routes: routes, general: "listen 127.0.0.1:\(port) { plaintext; }")
        return (stage, port, "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \(try stage.signer.token())\r\n\r\n")
    }

    @Test func aKilledWorkerCostsOnlyItsOwnRequestsInFlight() throws {
        let (stage, port, request) = try plain()
        let bearer = ["-H", "Authorization: Bearer \(try stage.signer.token())"]
        let done = Flag()
        let gateway = stage.gateway!
        let killer = Thread {
            for _ in 0..<5 {
                guard let victim = gateway.children("worker").randomElement() else { continue }
                kill(victim, SIGKILL)
                eventually(within: 5) { gateway.children("worker").count == 2 && !gateway.children("worker").contains(victim) }
                usleep(150_000)
            }
            done.set()
        }
        killer.start()
        let parallel = 16
        let statuses = PlainLoad.run(port: port, request: request, count: 10_000, parallel: parallel)
        #expect(eventually(within: 20) { done.isSet })
        #expect(statuses[200, default: 0] + statuses[0, default: 0] == 10_000)
        // At most what was in flight on five workers; the rest was answered.
        #expect(statuses[0, default: 0] <= 5 * parallel)
        #expect(gateway.log.components(separatedBy: "ended unexpectedly").count - 1 == 5)
        #expect(try gateway.curl("/", bearer).status == 200)
    }

    @Test func twentyReloadsUnderLoadLoseNothing() throws {
        let (stage, port, request) = try plain()
        let done = Flag()
        let gateway = stage.gateway!
        let reloader = Thread {
            for _ in 0..<20 where !gateway.reload() { return }
            done.set()
        }
        reloader.start()
        var total: [Int: Int] = [:]
        repeat {
            total.merge(PlainLoad.run(port: port, request: request, count: 1_000, parallel: 16)) { $0 + $1 }
        } while !done.isSet && reloader.isExecuting
        #expect(eventually(within: 30) { done.isSet })
        #expect(total.keys.sorted() == [200], "\(total)")
        #expect(eventually(within: 40) { gateway.children("worker").count == 2 && gateway.children("control").count == 1 })
    }

    @Test func moreWorkersGetNoConnectionsBeforeTheyAreReady() throws {
        let folder = TemporaryFolder()
        let redis = try RedisServer(in: folder)
        let (stage, port, request) = try plain()
        // A Redis that takes connections and says nothing keeps new workers from being ready for a while.
        redis.signal(SIGSTOP)
        let more = """
            listen 127.0.0.1:\(port) { plaintext; }
            redis main { address 127.0.0.1:\(redis.port); }
            limit some { rate 1000/s; key $claim.sub; store main; when_store_fails open; }
            """
        try stage.gateway.rewrite(
            stage.configuration("route /** { upstream app; auth sso; scope read:orders; limit some; }", more, 6))
        let before = stage.gateway.log.components(separatedBy: "ready:").count
        kill(stage.gateway.supervisor, SIGHUP)
        var total: [Int: Int] = [:]
        repeat {
            // Each on a connection of its own, so that every socket of the group has its turn.
            let closing = request.replacingOccurrences(of: "\r\n\r\n", with: "\r\nConnection: close\r\n\r\n")
            total.merge(PlainLoad.run(port: port, request: closing, count: 100, parallel: 8)) { $0 + $1 }
        } while stage.gateway.log.components(separatedBy: "ready:").count == before && total.count == 1
        #expect(total.keys.sorted() == [200], "\(total)")
        #expect(stage.gateway.log.components(separatedBy: "ready:").count > before)
        #expect(stage.gateway.children("worker").count >= 6)
    }

    @Test func aNewExecutableTakesOverUnderLoadAndLosesNothing() throws {
        let (stage, port, request) = try plain(
            routes: """
                limit few { rate 5/1h; key $client.ip; }
                route /** { upstream app; auth sso; scope read:orders; }
                route /few { upstream app; public; limit few; }
                """)
        let bearer = ["-H", "Authorization: Bearer \(try stage.signer.token())"]
        let done = Flag()
        let gateway = stage.gateway!
        for _ in 0..<3 { #expect(try gateway.curl("/few").status == 200) }
        let successions = Thread {
            for _ in 0..<4 where !gateway.handOver() { return }
            done.set()
        }
        successions.start()
        var total: [Int: Int] = [:]
        repeat {
            total.merge(PlainLoad.run(port: port, request: request, count: 1_000, parallel: 16)) { $0 + $1 }
        } while !done.isSet && successions.isExecuting
        #expect(eventually(within: 30) { done.isSet }, "\(gateway.log)")
        #expect(total.keys.sorted() == [200], "\(total)")
        #expect(gateway.supervisor != gateway.program.pid)
        #expect(eventually { !gateway.program.isRunning })
        try #require(!gateway.program.isRunning)
        #expect(gateway.program.exitStatus == 0)
        // Limits kept in memory go on: three of five were used before the first hand-over.
        #expect(try (0..<3).map { _ in try gateway.curl("/few").status } == [200, 200, 429])
        // The new one is whole: it reloads, and ends when told to.
        #expect(gateway.reload())
        #expect(try gateway.curl("/", bearer).status == 200)
        kill(gateway.supervisor, SIGTERM)
        #expect(eventually { !Program.isAlive(gateway.supervisor) })
        #expect(!Ports.isOpen(gateway.port))
    }

    @Test func aNewExecutableThatCannotStartCostsNothing() throws {
        let stage = try Stage()
        let bearer = ["-H", "Authorization: Bearer \(try stage.signer.token())"]
        let good = stage.configuration()
        try stage.gateway.rewrite(good + "rout /x { }\n")
        kill(stage.gateway.supervisor, SIGUSR2)
        #expect(eventually { stage.gateway.log.contains("this one goes on") }, "\(stage.gateway.log)")
        #expect(stage.gateway.log.contains("did you mean 'route'?"))
        #expect(try stage.gateway.curl("/", bearer).status == 200)
        try stage.gateway.rewrite(good)
        #expect(stage.gateway.reload())
        #expect(stage.gateway.handOver())
        #expect(try stage.gateway.curl("/", bearer).status == 200)
    }

    @Test func aBadFileIsRefusedAndTheOldOneStays() throws {
        let stage = try Stage()
        let bearer = ["-H", "Authorization: Bearer \(try stage.signer.token())"]
        try stage.gateway.rewrite(stage.configuration() + "rout /x { }\n")
        stage.gateway.program.signal(SIGHUP)
        #expect(eventually { stage.gateway.log.contains("the one before stays in force") })
        #expect(stage.gateway.log.contains("did you mean 'route'?"))
        #expect(try stage.gateway.curl("/", bearer).status == 200)
        try stage.gateway.rewrite(stage.configuration("route /new/** { upstream app; public; } route /in { upstream app; auth sso; }"))
        #expect(stage.gateway.reload())
        #expect(eventually { (try? stage.gateway.curl("/new/x").status) == 200 })
    }

    @Test func requestsInFlightFinishBeforeTheEnd() throws {
        let port = Ports.free()
        let stage = try Stage(
            routes: "route /** { upstream slow; public; } route /in { upstream app; auth sso; }",
            general: "upstream slow { server 127.0.0.1:\(port); }",
            servers: "server { listen 127.0.0.1:\(port); location / { root @DIR@; limit_rate 400k; } }".replacingOccurrences(
                of: "@DIR@", with: "/usr/bin"),
            serverPorts: [port])
        let size = try #require(try FileManager.default.attributesOfItem(atPath: "/usr/bin/openssl")[.size] as? Int)
        let result = Box<Answer?>(nil)
        let gateway = stage.gateway!
        let out = stage.folder.path + "/download"
        let download = Thread { result.value = try? gateway.curl("/openssl", ["-o", out]) }
        download.start()
        #expect(eventually { (try? FileManager.default.attributesOfItem(atPath: out)[.size] as? Int).map { $0 > 0 } ?? false })
        gateway.program.signal(SIGTERM)
        #expect(eventually { !Ports.isOpen(gateway.port) })
        #expect(eventually(within: 30) { result.value != nil })
        #expect(result.value?.status == 200)
        #expect(try FileManager.default.attributesOfItem(atPath: out)[.size] as? Int == size)
        #expect(eventually(within: 10) { !gateway.program.isRunning })
        #expect(gateway.program.exitStatus == 0)
    }

    @Test func theControlProcessIsReplacedWhenItDies() throws {
        let stage = try Stage()
        let first = try #require(stage.gateway.children("control").first)
        kill(first, SIGKILL)
        #expect(eventually { stage.gateway.children("control").first.map { $0 != first } ?? false })
        #expect(try stage.gateway.curl("/", ["-H", "Authorization: Bearer \(try stage.signer.token())"]).status == 200)
    }

    @Test func withoutASupervisorTheRestEndsByItself() throws {
        let stage = try Stage()
        let processes = stage.gateway.children("worker") + stage.gateway.children("control")
        #expect(processes.count == 3)
        kill(stage.gateway.program.pid, SIGKILL)
        #expect(eventually { processes.allSatisfy { !Program.isAlive($0) } })
        #expect(!Ports.isOpen(stage.gateway.port))
    }

    @Test func workersHaveNoRightsOfRoot() throws {
        guard getuid() == 0 else { return }
        let stage = try Stage(general: "user nobody;")
        for worker in stage.gateway.children("worker") + stage.gateway.children("control") {
            let status = try String(contentsOfFile: "/proc/\(worker)/status", encoding: .utf8)
            #expect(!status.contains("Uid:\t0"))
            #expect(status.contains("NoNewPrivs:\t1"))
            // Neither its own groups nor those that it would have kept besides.
            #expect(status.contains("Gid:\t65534\t65534\t65534\t65534"))
            let groups = status.split(separator: "\n").first { $0.hasPrefix("Groups:") }?.dropFirst(7).split(separator: " ") ?? ["?"]
            #expect(groups.allSatisfy { $0.trimmingCharacters(in: .whitespaces) != "0" && $0 != "?" }, "\(groups)")
        }
    }

    @Test func tellsSystemd() throws {
        let folder = TemporaryFolder()
        let path = folder.path + "/notify"
        let socket = Glibc.socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
        defer { close(socket) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { field in for (index, byte) in path.utf8.enumerated() { field[index] = byte } }
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(socket, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
        #expect(result == 0)
        func message() -> String {
            var entry = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
            guard poll(&entry, 1, 10_000) > 0 else { return "" }
            var buffer = [UInt8](repeating: 0, count: 512)
            let count = recv(socket, &buffer, buffer.count, 0)
            return String(decoding: buffer.prefix(max(0, count)), as: UTF8.self)
        }
        let stage = try Stage(environment: ["NOTIFY_SOCKET": path])
        #expect(message().hasPrefix("READY=1"))
        stage.gateway.program.signal(SIGHUP)
        #expect(message().hasPrefix("RELOADING=1\nMONOTONIC_USEC="))
        #expect(message().hasPrefix("READY=1"))
        stage.gateway.program.signal(SIGTERM)
        var last = message()
        if last.hasPrefix("READY") { last = message() }
        #expect(last.hasPrefix("STOPPING=1"))
    }

    @Test("Over an upgrade one process at a time speaks to systemd: the one that it listens to")
    func upgradeTellsSystemd() throws {
        let folder = TemporaryFolder()
        let manager = try Program(
            "/usr/bin/python3", ["\(Executable.root)/Tests/SystemTests/Peers/notify.py", "\(folder.path)/notify"],
            log: "\(folder.path)/notify.log")
        #expect(eventually { manager.log.contains("listening") })
        let stage = try Stage(environment: ["NOTIFY_SOCKET": "\(folder.path)/notify", "WATCHDOG_USEC": "400000"])
        let old = stage.gateway.supervisor
        #expect(eventually { manager.log.contains("heard \(old) READY=1") && manager.log.contains("heard \(old) WATCHDOG=1") })
        #expect(stage.gateway.handOver())
        let new = stage.gateway.supervisor
        #expect(new != old)
        #expect(eventually { manager.log.contains("heard \(old) MAINPID=\(new) READY=1") })
        #expect(eventually { manager.log.contains("heard \(new) WATCHDOG=1") }, "\(manager.log)")
        #expect(stage.gateway.reload())
        #expect(eventually { manager.log.contains("heard \(new) RELOADING=1") })
        stage.gateway.stop()
        #expect(eventually { manager.log.contains("heard \(new) STOPPING=1") })
        #expect(!manager.log.contains("refused"), "\(manager.log)")
    }

    /// A process that goes on with nothing is ended, and another takes its place.
    @Test func aProcessThatHangsIsReplaced() throws {
        let stage = try Stage(workers: 1)
        let bearer = ["-H", "Authorization: Bearer \(try stage.signer.token())"]
        for kind in ["worker", "control"] {
            let process = try #require(stage.gateway.children(kind).first)
            kill(process, SIGSTOP)
            #expect(eventually(within: 60) { stage.gateway.children(kind).first.map { $0 != process } ?? false }, "\(stage.gateway.log)")
            #expect(eventually(within: 20) { (try? stage.gateway.curl("/", bearer).status) == 200 })
        }
        #expect(stage.gateway.log.contains("worker 0 has given no sign of life for 10 s or more"))
        #expect(stage.gateway.log.contains("the control process has given no sign of life for 10 s"))
    }

    @Test func workersKnowNoMoreOfTheEnvironmentThanTheyNeed() throws {
        let stage = try Stage(
            general: "# ${REDIS_PASSWORD}\nrealm \"${REALM_NAME}\";",
            environment: ["REALM_NAME": "here", "DATABASE_PASSWORD": "hunter2", "MALLOC_CHECK_": "0"])
        for kind in ["worker", "control"] {
            let process = try #require(stage.gateway.children(kind).first)
            let text = String(decoding: try Data(contentsOf: URL(fileURLWithPath: "/proc/\(process)/environ")), as: UTF8.self)
            #expect(text.contains("REALM_NAME=here") && text.contains("MALLOC_CHECK_=0") && text.contains("PATH="), "\(text)")
            #expect(!text.contains("hunter2"))
        }
    }

    /// Without root the workers run as the user who started the program; other programs of that user must not read their memory.
    @Test(.enabled(if: getuid() == 0)) func aProcessOfTheSameUserSeesNothingOfIt() throws {
        let folder = TemporaryFolder()
        let (port, backend) = (Ports.free(), Ports.free())
        let user = ["/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        #expect(chmod(folder.path, 0o777) == 0)
        let gateway = try Gateway(
            "workers 1; listen 127.0.0.1:@PORT@ { plaintext; } upstream app { server 127.0.0.1:\(backend); } route /** { upstream app; public; }",
            in: folder, port: port, launcher: user)
        for process in [gateway.supervisor] + gateway.children("worker") + gateway.children("control") {
            // What belongs to root there, the user cannot open.
            let output = try run(user[0], Array(user.dropFirst()) + ["/bin/cat", "/proc/\(process)/environ"])
            #expect(output.status != 0 && output.errors.contains("Permission denied"), "\(output)")
        }
    }

    /// The text of a private key lies in no process's memory once it has been read, not even where it was copied on the way.
    @Test(.enabled(if: getuid() == 0)) func theTextOfAPrivateKeyIsGone() throws {
        let stage = try Stage()
        func lines(_ file: String) -> [Data] {
            stage.folder.read(file).split(separator: "\n").filter { !$0.hasPrefix("-") && $0.count >= 20 }.map { Data($0.utf8) }
        }
        let (key, certificate) = (lines("localhost.key"), lines("localhost.crt"))
        try #require(key.count > 1 && certificate.count > 1)
        let gateway = stage.gateway!
        try #require(gateway.reload())
        // What was read for a configuration that is refused goes the same way.
        try gateway.rewrite(stage.configuration() + "nonsense;")
        kill(gateway.supervisor, SIGHUP)
        try #require(eventually { gateway.log.contains("is not reloaded") })
        let others = gateway.children("worker") + gateway.children("control")
        try #require(others.count >= 3)
        for process in [gateway.supervisor] + others {
            let memory = try memory(of: process)
            for line in key { #expect(!memory.contains { $0.range(of: line) != nil }, "process \(process)") }
            // What is there is found: the name of the file in each, and the certificate in those that were given it.
            #expect(memory.contains { $0.range(of: Data("\(stage.folder.path)/gateway.conf".utf8)) != nil })
            if process != gateway.supervisor { #expect(memory.contains { $0.range(of: certificate[0]) != nil }) }
        }
    }

    /// What a process has written to.
    private func memory(of process: pid_t) throws -> [Data] {
        let file = try FileHandle(forReadingFrom: URL(fileURLWithPath: "/proc/\(process)/mem"))
        let maps = try String(contentsOfFile: "/proc/\(process)/maps", encoding: .utf8)
        return maps.split(separator: "\n").filter { $0.contains(" rw-p ") }.compactMap { line in
            let ends = line.split(separator: " ")[0].split(separator: "-").compactMap { UInt64($0, radix: 16) }
            guard ends.count == 2, (try? file.seek(toOffset: ends[0])) != nil else { return nil }
            return try? file.read(upToCount: Int(ends[1] - ends[0]))
        }
    }

    @Test(.enabled(if: getuid() == 0)) func rootFollowsNoLinkOfAnothersToALog() throws {
        let stage = try Stage()
        let (inside, outside) = (stage.folder.path + "/logs", stage.folder.path + "/precious")
        #expect(mkdir(inside, 0o755) == 0 && chown(inside, 65_534, 65_534) == 0)
        try stage.folder.write("precious", "untouched")
        #expect(symlink(outside, inside + "/access.log") == 0)
        try stage.gateway.rewrite(stage.configuration(Stage.usualRoute, "access_log \(inside)/access.log;"))
        #expect(stage.gateway.reload())
        #expect(eventually { stage.gateway.log.contains("it is a symbolic link") })
        _ = try stage.gateway.curl("/")
        #expect(stage.folder.read("precious") == "untouched")
        // In a folder of root's own, a link is root's word.
        #expect(chown(inside, 0, 0) == 0)
        try stage.gateway.rewrite(stage.configuration(Stage.usualRoute, "access_log \(inside)/access.log;\n"))
        #expect(stage.gateway.reload())
        _ = try stage.gateway.curl("/")
        #expect(eventually { stage.folder.read("precious").contains("\"status\":401") })
    }

    /// Two programs that both let others listen where they do would share the connections in silence.
    @Test func anAddressOfAnotherProgramsIsNotShared() throws {
        let port = Ports.free()
        let first = try Stage(general: "listen 127.0.0.1:\(port) { plaintext; }")
        #expect(first.gateway.reload())
        #expect(throws: StartFailed.self) { _ = try Stage(general: "listen 127.0.0.1:\(port) { plaintext; }") }
        do {
            _ = try Stage(general: "listen 127.0.0.1:\(port) { plaintext; }")
        } catch let failure as StartFailed {
            #expect(failure.log.contains("cannot listen at 127.0.0.1:\(port)"))
            #expect(failure.log.contains("portcullis (process "), "\(failure.log)")
        }
    }

    @Test func aClosedLogPipeAndAFullDiskStopNothing() throws {
        let stage = try Stage(general: "access_log /dev/full;")
        let bearer = ["-H", "Authorization: Bearer \(try stage.signer.token())"]
        #expect(try stage.gateway.load("/", count: 500, parallel: 8, bearer) == [200: 500])
        #expect(eventually { stage.gateway.log.contains("log lines were dropped so far: No space left on device") })
        // A pipe whose reader goes away in the middle.
        let pipe = stage.folder.path + "/log.pipe"
        #expect(mkfifo(pipe, 0o666) == 0)
        let reader = open(pipe, O_RDONLY | O_NONBLOCK)
        #expect(reader >= 0)
        try stage.gateway.rewrite(stage.configuration(Stage.usualRoute, "access_log \(pipe);"))
        #expect(stage.gateway.reload())
        #expect(try stage.gateway.load("/", count: 100, parallel: 8, bearer) == [200: 100])
        var byte: UInt8 = 0
        #expect(eventually { read(reader, &byte, 1) == 1 })
        close(reader)
        #expect(try stage.gateway.load("/", count: 500, parallel: 8, bearer) == [200: 500])
        let control = stage.gateway.children("control")
        #expect(eventually { stage.gateway.log.components(separatedBy: "log lines were dropped").count > 2 })
        #expect(stage.gateway.children("control") == control)
    }
}
