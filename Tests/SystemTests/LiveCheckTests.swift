import Foundation
import Glibc
import TestSockets
import Testing

/// `portcullis check --live` against real servers.
@Suite("check --live") struct LiveCheckTests {
    private let folder = TemporaryFolder()

    private func check(_ redis: String, limit: String = "rate 5/1h;", other: String? = nil, strict: Bool = false) throws -> Output {
        let file = try folder.write(
            "live.conf",
            """
            listen 127.0.0.1:1 { plaintext; }
            redis main { \(redis) }
            limit one { \(limit) key $client.ip; store main; }
            upstream app { server 127.0.0.1:1; }
            \(other.map { "limit two { \($0) key $client.ip; store main; }" } ?? "")
            route /** { upstream app; public; limit one; \(other == nil ? "" : "limit two;") }
            """)
        return try run(Executable.portcullis, ["check", "--live", "-c", file] + (strict ? ["--strict"] : []))
    }

    @Test("A server with a user of exactly the documented rights, with one right less, and with another password")
    func rights() throws {
        let server = try RedisServer(in: folder, ["--maxmemory", "100mb", "--maxmemory-policy", "volatile-ttl"])
        let documented = ["+script|load", "+evalsha", "+time", "+get", "+set", "+select", "+role"]
        func setUser(_ rights: [String]) throws {
            _ = try redisCLI(server.port, ["ACL", "SETUSER", "gate", "reset", "on", ">word", "~pc2:*"] + rights)
        }
        let text = "address 127.0.0.1:\(server.port); username gate; password word;"
        try setUser(documented)
        // The server's own user has no password: that is all that can be said against it.
        let known = try check(text)
        #expect(known.status == 0 && known.text.components(separatedBy: "warning:").count == 2, "\(known)")
        #expect(known.text.contains("warning: 127.0.0.1:\(server.port): it lets everybody in without a password"), "\(known)")
        #expect(try check(text, strict: true).status == 1)
        // That this user may do little does not help.
        _ = try redisCLI(server.port, ["ACL", "SETUSER", "admin", "on", ">admin", "+@all", "~*", "&*"])
        let admin = ["--user", "admin", "--pass", "admin", "--no-auth-warning"]
        _ = try redisCLI(server.port, tls: admin, ["ACL", "SETUSER", "default", "resetkeys", "-@all", "+get"])
        #expect(try check(text).text.contains("it lets everybody in without a password"))
        _ = try redisCLI(server.port, tls: admin, ["ACL", "SETUSER", "default", "off"])
        let good = try check(text)
        #expect(
            good.status == 0 && good.text.contains("ok: 127.0.0.1:\(server.port): it counts") && !good.text.contains("warning:")
                && !good.text.contains("error:"), "\(good)")
        _ = try redisCLI(server.port, tls: admin, ["ACL", "SETUSER", "default", "on", "nopass", "+@all", "~*", "&*"])
        // Each right that is missing is named, of those that the file needs.
        let (plans, shared) = (
            "rate $claim.plan { redis main customers; free 5/1h; default free; }", "rate 5/1h; when_store_fails local; share auto;"
        )
        let few = try check(text, limit: plans, other: shared)
        for name in ["ZADD", "ZREMRANGEBYSCORE", "ZCARD", "PEXPIRE", "HLEN", "HGETALL"] {
            #expect(few.text.contains("its user has no right to \(name)\n           = give it +\(name.lowercased())"), "\(few)")
        }
        #expect(few.status == 1 && few.text.components(separatedBy: "= give it +").count == 7, "\(few)")
        try setUser(documented + ["+zadd", "+zremrangebyscore", "+zcard", "+pexpire", "+hlen", "+hgetall"])
        #expect(try check(text, limit: plans, other: shared).status == 0)
        try setUser(["+script|load", "+evalsha", "+select", "+role"])
        let none = try check(text)
        for name in ["TIME", "GET", "SET"] { #expect(none.text.contains("its user has no right to \(name)\n"), "\(none)") }
        // One that may do everything, with its own keys.
        try setUser(["+@all"])
        let all = try check(text)
        #expect(all.status == 0 && all.text.contains("may read its configuration, and perhaps change it"), "\(all)")
        try setUser(documented)
        try setUser(documented + ["+info"])
        #expect(try check(text).text.contains("maxmemory 104857600, volatile-ttl"))
        for (missing, word) in [
            ("+evalsha", "evalsha"), ("+script|load", "SCRIPT is refused"), ("+set", "it does not count"), ("+time", "it does not count"),
        ] {
            try setUser(documented.filter { $0 != missing })
            let output = try check(text)
            #expect(
                output.status == 1 && output.text.contains(word) && output.text.contains("its user needs +script|load"),
                "\(missing): \(output)")
        }
        try setUser(documented)
        let wrong = try check(text.replacingOccurrences(of: "password word", with: "password other-secret"))
        #expect(
            wrong.status == 1 && wrong.text.contains("it does not let the gateway in: WRONGPASS") && !wrong.text.contains("other-secret"),
            "\(wrong)")
        // Everything is allowed: it counts, and that is told.
        let open = try check("address 127.0.0.1:\(server.port);")
        #expect(open.status == 0 && open.text.contains("it counts") && open.text.contains("may read keys that are not its own"), "\(open)")
        // What was written ends by itself.
        #expect(eventually { (try? redisCLI(server.port, ["DBSIZE"]))?.hasPrefix("0") == true })
        server.stop()
        #expect(try check(text).text.contains("Connection refused"))
    }

    @Test("A replica is none, sentinels are asked for the master, and every server of a cluster is looked at")
    func groups() throws {
        let trio = try SentinelTrio(in: folder)
        defer { trio.stop() }
        let replica = try #require(trio.servers.last)
        let output = try check("address 127.0.0.1:\(replica.port);")
        #expect(output.status == 1 && output.text.contains("it is no master but a slave"), "\(output)")
        let list = trio.sentinelPorts.map { "127.0.0.1:\($0)" }.joined(separator: " ")
        let found = try check("sentinel \(list) { master limits; }")
        #expect(
            found.status == 0 && found.text.components(separatedBy: "the master is 127.0.0.1:\(trio.servers[0].port)").count == 4
                && found.text.contains("127.0.0.1:\(trio.servers[0].port): it counts"), "\(found)")
        let unknown = try check("sentinel \(list) { master other; }")
        #expect(unknown.status == 1 && unknown.text.contains("it gives no address of a master 'other'"), "\(unknown)")
        let cluster = try RedisCluster(in: folder)
        defer { cluster.stop() }
        let slots = try check("cluster 127.0.0.1:1 127.0.0.1:\(cluster.ports[0]);")
        #expect(slots.status == 0 && slots.text.contains("3 servers have 16384 of 16384 slots"), "\(slots)")
        for master in cluster.masters { #expect(slots.text.contains("ok: 127.0.0.1:\(master): it "), "\(slots)") }
    }
}
