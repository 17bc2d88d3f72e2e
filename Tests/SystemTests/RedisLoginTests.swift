import Foundation
import Glibc
import TestSockets
import Testing

/// Passwords, certificates and rights at Redis, with the ones that docs/configuration.md names and no others.
@Suite("Who the gateway is at Redis") struct RedisLoginTests {
    private let folder = TemporaryFolder()
    private let rights = "~pc2:* +script|load +evalsha +time +get +set +select +role"
    private let routes = "route /** { upstream app; public; limit one; } route /in { upstream app; auth sso; }"
    private let limit = "limit one { rate 1000/1h; key $client.ip; store main; when_store_fails closed; }"

    private func setUser(_ port: Int, _ words: String) throws {
        let answer = try redisCLI(port, ["ACL", "SETUSER"] + words.split(separator: " ").map(String.init))
        #expect(answer.hasPrefix("OK"), "\(answer)")
    }

    @Test("A password that is changed in its file is told to live connections, and taken for new ones")
    func rotation() throws {
        let server = try RedisServer(in: folder)
        try setUser(server.port, "gate on >first resetkeys \(rights)")
        let file = try folder.write("password", "first\n")
        let stage = try Stage(
            routes: routes,
            general: "redis main { address 127.0.0.1:\(server.port); username gate; password_file \(file); timeout 500ms; }\n\(limit)")
        #expect(eventually { (try? stage.gateway.curl("/").status) == 200 })
        let before = try authentications(server.port)
        // Both hold for a while, as whoever rotates them does it.
        try setUser(server.port, "gate >second")
        try folder.write("password", "second\n")
        #expect(eventually(within: 20) { (try? authentications(server.port)) ?? 0 >= before + 2 }, "\(stage.gateway.log)")
        #expect(stage.gateway.log.contains("the password of redis main is read again from \(file)"))
        #expect(!stage.gateway.log.contains("first") && !stage.gateway.log.contains("second"))
        try setUser(server.port, "gate <first")
        #expect(try stage.gateway.curl("/").status == 200)
        // What is connected anew, by a worker that goes on and by one that is new, has the new one.
        _ = try redisCLI(server.port, ["CLIENT", "KILL", "USER", "gate"])
        #expect(eventually(within: 20) { (try? stage.gateway.curl("/").status) == 200 }, "\(stage.gateway.log)")
        // A file in which a new process would find no password changes nothing.
        try folder.write("password", "\n")
        usleep(2_500_000)
        for worker in stage.gateway.children("worker") { kill(worker, SIGKILL) }
        #expect(eventually(within: 20) { (try? stage.gateway.curl("/").status) == 200 }, "\(stage.gateway.log)")
        // One that is wrong is told of, and the connection that there is goes on.
        try folder.write("password", "third\n")
        #expect(
            eventually(within: 20) {
                stage.gateway.log.contains("redis main: it does not take the password that is in the file now: WRONGPASS")
            }, "\(stage.gateway.log)")
        #expect(try stage.gateway.curl("/").status == 200)
    }

    @Test("A user of the documented rights can do nothing else, and each feature works with what is documented for it")
    func rightsAndNoMore() throws {
        let server = try RedisServer(in: folder)
        try setUser(server.port, "gate on >one resetkeys \(rights) +zadd +zremrangebyscore +zcard +pexpire +hlen +hgetall")
        let login = ["--user", "gate", "--pass", "one", "--no-auth-warning"]
        for words in [
            ["EVAL", "return 1", "0"], ["FUNCTION", "LIST"], ["FCALL", "f", "0"], ["KEYS", "*"], ["SCAN", "0"], ["CONFIG", "GET", "*"],
            ["CONFIG", "SET", "maxmemory", "1"], ["GET", "pc3:x"], ["SET", "other", "1"], ["FLUSHALL"], ["SCRIPT", "FLUSH"],
            ["ACL", "LIST"], ["CLIENT", "LIST"], ["INFO"], ["MONITOR"], ["REPLICAOF", "127.0.0.1", "1"], ["MODULE", "LIST"],
            ["DEL", "pc2:x"],
        ] {
            #expect(try redisCLI(server.port, tls: login, words).contains("NOPERM"), "\(words)")
        }
        _ = try redisCLI(server.port, ["ACL", "LOG", "RESET"])
        _ = try redisCLI(server.port, ["HSET", "pc2:rates:customers", "gold", "2000/1h"])
        let stage = try Stage(
            routes: "route /** { upstream app; auth sso; limit one; limit two; }",
            general: """
                redis main { address 127.0.0.1:\(server.port); username gate; password one; timeout 2s; }
                limit one { rate $claim.plan { redis main customers; free 1/1h; default free; } key $client.ip; store main; }
                limit two { rate 9000/1h; key $client.ip; store main; when_store_fails local; share auto; }
                """)
        let bearer = ["-H", "Authorization: Bearer \(try stage.signer.token(subject: "ann", ["plan": "gold"]))"]
        #expect(
            eventually { (try? stage.gateway.curl("/", bearer)["ratelimit-policy"]?.contains("q=2000")) == true }, "\(stage.gateway.log)")
        #expect(eventually { (try? redisCLI(server.port, ["ZCARD", "pc2:members"]).hasPrefix("1")) == true })
        let refused = try redisCLI(server.port, ["ACL", "LOG"])
        #expect(!refused.contains("gate") && !stage.gateway.log.contains("NOPERM"), "\(refused) \(stage.gateway.log)")
    }

    private func authentications(_ port: Int) throws -> Int {
        let text = try redisCLI(port, ["INFO", "commandstats"])
        guard let line = text.split(whereSeparator: \.isNewline).first(where: { $0.hasPrefix("cmdstat_auth:") }) else { return 0 }
        return Int(line.split(separator: ",")[0].split(separator: "=")[1]) ?? 0
    }

    @Test("A certificate for Redis and upstreams that is changed in its files is shown by new connections")
    func certificateRotation() throws {
        try Credentials.certificate(in: folder, name: "redis", names: ["127.0.0.1"])
        for name in ["one", "two"] { try Credentials.certificate(in: folder, name: name, names: [name], client: true) }
        func read(_ name: String) throws -> String { try String(contentsOfFile: "\(folder.path)/\(name)", encoding: .utf8) }
        try folder.write("clients.crt", read("one.crt") + read("two.crt"))
        try folder.write("shown.crt", read("one.crt"))
        try folder.write("shown.key", read("one.key"))
        let plain = Ports.free()
        let server = try RedisServer(
            in: folder, tls: true,
            [
                "--port", "\(plain)", "--tls-cert-file", "\(folder.path)/redis.crt", "--tls-key-file", "\(folder.path)/redis.key",
                "--tls-ca-cert-file", "\(folder.path)/clients.crt", "--tls-auth-clients", "yes",
            ])
        let secure = Ports.free()
        let stage = try Stage(
            routes: routes + " route /secure { upstream secure; public; }",
            general: """
                redis main {
                    address 127.0.0.1:\(server.port); timeout 500ms;
                    tls { trusted_certificate \(folder.path)/redis.crt; certificate \(folder.path)/shown.crt \(folder.path)/shown.key; }
                }
                upstream secure {
                    server 127.0.0.1:\(secure);
                    tls { trusted_certificate \(folder.path)/redis.crt; certificate \(folder.path)/shown.crt \(folder.path)/shown.key; }
                }
                \(limit)
                """,
            servers: """
                server {
                    listen 127.0.0.1:\(secure) ssl; ssl_certificate \(folder.path)/redis.crt; ssl_certificate_key \(folder.path)/redis.key;
                    ssl_verify_client optional_no_ca; keepalive_timeout 0;
                    location / { return 200 $ssl_client_s_dn; }
                }
                """, serverPorts: [secure])
        #expect(eventually { (try? stage.gateway.curl("/").status) == 200 }, "\(stage.gateway.log)")
        #expect(try stage.gateway.curl("/secure").body.contains("CN=one"))
        // From now on the first one opens nothing any more.
        try folder.write("clients.crt", read("two.crt"))
        _ = try redisCLI(plain, ["CONFIG", "SET", "tls-ca-cert-file", "\(folder.path)/clients.crt"])
        _ = try redisCLI(plain, ["CLIENT", "KILL", "TYPE", "normal"])
        #expect(eventually(within: 20) { stage.gateway.log.contains("redis main is away") }, "\(stage.gateway.log)")
        try folder.write("shown.crt", read("two.crt"))
        try folder.write("shown.key", read("two.key"))
        #expect(eventually(within: 20) { (try? stage.gateway.curl("/secure").body.contains("CN=two")) ?? false }, "\(stage.gateway.log)")
        #expect(eventually(within: 20) { stage.gateway.log.contains("redis main is back") }, "\(stage.gateway.log)")
        #expect(eventually(within: 20) { (0..<6).allSatisfy { _ in (try? stage.gateway.curl("/").status) == 200 } })
    }

    @Test("Sentinels and servers with users of their own rights, and passwords of their own")
    func sentinelUsers() throws {
        let trio = try SentinelTrio(in: folder)
        defer { trio.stop() }
        for server in trio.servers { try setUser(server.port, "gate on >one resetkeys \(rights)") }
        for port in trio.sentinelPorts {
            try setUser(port, "watch on >two resetchannels &+switch-master +subscribe +ping +sentinel|get-master-addr-by-name")
        }
        let list = trio.sentinelPorts.map { "127.0.0.1:\($0)" }.joined(separator: " ")
        let file = try folder.write("password", "two")
        let stage = try Stage(
            routes: routes,
            general: """
                redis main { sentinel \(list) { master limits; username watch; password_file \(file); } username gate; password one; timeout 500ms; }
                \(limit)
                """)
        #expect(eventually { (try? stage.gateway.curl("/").status) == 200 }, "\(stage.gateway.log)")
        #expect(!stage.gateway.log.contains("NOPERM"), "\(stage.gateway.log)")
        // One of them is listened to, and asked for a sign of life.
        #expect(
            eventually(within: 30) {
                trio.sentinelPorts.contains { port in
                    guard let clients = try? redisCLI(port, ["CLIENT", "LIST"]) else { return false }
                    return clients.split(separator: "\n").contains { $0.contains("user=watch") && $0.contains("cmd=ping") }
                }
            })
        for port in trio.sentinelPorts + trio.servers.map(\.port) {
            let refused = try redisCLI(port, ["ACL", "LOG"])
            #expect(!refused.contains("gate") && !refused.contains("watch"), "\(refused)")
        }
    }

    @Test("A server of a cluster whose certificate is not right gets no password")
    func clusterWithAnotherCertificate() throws {
        for name in ["right", "wrong"] { try Credentials.certificate(in: folder, name: name, names: ["127.0.0.1"]) }
        // They trust each other.
        try folder.write("both.crt", folder.read("right.crt") + folder.read("wrong.crt"))
        let servers = try ["right", "wrong"].map { name in
            let own = "\(folder.path)/\(name)-data"
            try FileManager.default.createDirectory(atPath: own, withIntermediateDirectories: true)
            return try RedisServer(
                in: folder, tls: true,
                [
                    "--cluster-enabled", "yes", "--cluster-port", "\(Ports.free())", "--cluster-require-full-coverage", "no", "--dir", own,
                    "--tls-cert-file", "\(folder.path)/\(name).crt", "--tls-key-file", "\(folder.path)/\(name).key",
                    "--tls-ca-cert-file", "\(folder.path)/both.crt", "--tls-auth-clients", "no", "--tls-cluster", "yes",
                ])
        }
        defer { for server in servers { server.stop() } }
        func cli(_ index: Int, _ words: [String]) throws -> String {
            try redisCLI(servers[index].port, tls: ["--tls", "--insecure"], words).trimmingCharacters(in: .whitespacesAndNewlines)
        }
        // The first one has a half of the slots, and says that the second one has the other.
        #expect(try cli(0, ["CLUSTER", "ADDSLOTSRANGE", "0", "8191"]) == "OK")
        let bus = try #require(try cli(1, ["CONFIG", "GET", "cluster-port"]).split(separator: "\n").last.flatMap { Int($0) })
        #expect(try cli(0, ["CLUSTER", "MEET", "127.0.0.1", "\(servers[1].port)", "\(bus)"]) == "OK")
        let id = try cli(1, ["CLUSTER", "MYID"])
        #expect(eventually { (try? cli(0, ["CLUSTER", "NODES"]).contains(id)) == true })
        #expect(try cli(1, ["CLUSTER", "ADDSLOTSRANGE", "8192", "16383"]) == "OK")
        #expect(eventually(within: 30) { (try? cli(0, ["CLUSTER", "SLOTS"]).contains("16383")) == true })
        for index in 0..<2 { #expect(try cli(index, ["CONFIG", "SET", "requirepass", "one-secret"]) == "OK") }
        let stage = try Stage(
            routes: routes,
            general: """
                redis main { cluster 127.0.0.1:\(servers[0].port); password one-secret; tls { trusted_certificate \(folder.path)/right.crt; } timeout 1s; }
                limit one { rate 1000/1h; key $header.x-key; store main; when_store_fails closed; }
                """)
        func statuses() throws -> [Int] { try (0..<24).map { try stage.gateway.curl("/", ["-H", "X-Key: \($0)"]).status } }
        #expect(eventually(within: 30) { (try? statuses().contains(200)) == true }, "\(stage.gateway.log)")
        #expect(try Set(statuses()) == [200, 503])
        #expect(
            eventually { stage.gateway.log.contains("redis main (127.0.0.1:\(servers[1].port)) is away: TLS: certificate verify failed") },
            "\(stage.gateway.log)")
        let login = ["--tls", "--insecure", "-a", "one-secret", "--no-auth-warning"]
        // The one question that has a password there is this one's.
        let stats = try redisCLI(servers[1].port, tls: login, ["INFO", "commandstats"])
        #expect(stats.contains("cmdstat_auth:calls=1,"), "\(stats)")
        #expect(try redisCLI(servers[0].port, tls: login, ["INFO", "commandstats"]).contains("cmdstat_evalsha"))
    }

    @Test("A cluster over TLS with client certificates, as a user of the documented rights")
    func clusterOverTLS() throws {
        try Credentials.certificate(in: folder, name: "redis", names: ["127.0.0.1"])
        let pair = (certificate: "\(folder.path)/redis.crt", key: "\(folder.path)/redis.key")
        let cluster = try RedisCluster(in: folder, tls: pair)
        defer { cluster.stop() }
        let user = "ACL SETUSER gate on >one resetkeys \(rights) +cluster|slots +asking".split(separator: " ").map(String.init)
        #expect(try cluster.tellAll(user).allSatisfy { $0.hasPrefix("OK") })
        let tls = "tls { trusted_certificate \(pair.certificate); certificate \(pair.certificate) \(pair.key); }"
        let stage = try Stage(
            routes: routes,
            general: """
                redis main { cluster 127.0.0.1:\(cluster.ports[0]); username gate; password one; \(tls) timeout 2s; }
                limit one { rate 1000/1h; key $header.x-key; store main; when_store_fails closed; }
                """)
        try #require(eventually(within: 20) { (try? stage.gateway.curl("/").status) == 200 }, "\(stage.gateway.log)")
        for number in 0..<12 {
            #expect(try stage.gateway.curl("/", ["-H", "X-Key: \(number)"]).status == 200, "\(stage.gateway.log)")
        }
        #expect(!stage.gateway.log.contains("NOPERM"), "\(stage.gateway.log)")
        // Without a certificate nobody is let in, and no password is sent.
        try stage.gateway.rewrite(
            stage.configuration(
                routes,
                "redis main { cluster 127.0.0.1:\(cluster.ports[0]); username gate; password one; tls { trusted_certificate \(pair.certificate); } }\n\(limit)"
            ))
        #expect(stage.gateway.reload())
        #expect(try stage.gateway.curl("/").status == 503)
        #expect(eventually { stage.gateway.log.contains("its slots are not known: 127.0.0.1:\(cluster.ports[0])") }, "\(stage.gateway.log)")
    }
}
