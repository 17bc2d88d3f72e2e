import Foundation
import Glibc
import TestSockets
import Testing

/// Clients that go on with the server that they began with: two gateways, three nginx servers.
@Suite("Sticky cookies", .serialized) struct StickyTests {
    private let folder = TemporaryFolder()

    /// Servers that say their name and what cookies they got.
    private func servers() throws -> [(port: Int, nginx: Nginx)] {
        try (0..<3).map { index in
            let port = Ports.free()
            let answer =
                "location / { return 200 's\(index) [$http_cookie]'; } location /own { add_header Set-Cookie 'own=1'; return 200 s\(index); }"
            return (port, try Nginx("server { listen 127.0.0.1:\(port); \(answer) }", in: folder, name: "s\(index)", ports: [port]))
        }
    }

    private func gateway(_ ports: [Int], sticky: String, in folder: TemporaryFolder) throws -> Gateway {
        try Credentials.certificate(in: folder, name: "localhost", names: ["localhost", "127.0.0.1"])
        try folder.write("secret", String(repeating: "k", count: 40) + "\n")
        return try Gateway(
            """
            workers 2;
            listen 127.0.0.1:@PORT@ { tls { certificate @DIR@/localhost.crt @DIR@/localhost.key; } }
            upstream app { \(ports.map { "server 127.0.0.1:\($0);" }.joined()) connect_timeout 2s; \(sticky) }
            route /** { public; upstream app; }
            """, in: folder)
    }

    private func cookie(_ answer: Answer) -> String? {
        answer["set-cookie"].flatMap { $0.hasPrefix("srv=") ? String($0.dropFirst(4).prefix { $0 != ";" }) : nil }
    }

    private func name(_ answer: Answer) -> String { String(answer.body.prefix { $0 != " " }) }

    @Test("A client keeps its server, over versions of HTTP, workers, reloads and gateways; services behind see nothing of it")
    func keeps() throws {
        let servers = try servers()
        let sticky = "sticky cookie srv { secret @DIR@/secret; max_age 1h; same_site strict; }"
        let gateway = try gateway(servers.map(\.port), sticky: sticky, in: folder)
        let first = try gateway.curl("/")
        let mark = try #require(cookie(first))
        #expect(mark.utf8.count == 22)
        #expect(first["set-cookie"] == "srv=\(mark); Path=/; Max-Age=3600; Secure; HttpOnly; SameSite=Strict")
        let own = name(first)
        let elsewhere = TemporaryFolder()
        let other = try self.gateway(servers.map(\.port).reversed(), sticky: sticky, in: elsewhere)
        for gateway in [gateway, other] {
            for version in ["--http1.1", "--http2"] {
                for _ in 0..<9 {
                    let response = try gateway.curl("/", ["-H", "Cookie: a=1; srv=\(mark); b=2", version])
                    #expect(response.body == "\(own) [a=1; b=2]")
                    #expect(response["set-cookie"] == nil)
                }
                #expect(gateway.reload())
            }
        }
        // Others take turns, and each gets the mark of its own server.
        var marks: [String: String] = [:]
        for _ in 0..<12 {
            let response = try gateway.curl("/")
            marks[name(response)] = cookie(response)
        }
        #expect(Set(marks.keys) == ["s0", "s1", "s2"] && Set(marks.values).count == 3)
        #expect(marks[own] == mark)
        // What nobody has given is worth nothing.
        for wrong in ["", "127.0.0.1:\(servers[0].port)", String(mark.dropLast()), mark + "A", "%00", String(repeating: "A", count: 4_000)]
        {
            #expect(cookie(try gateway.curl("/", ["-H", "Cookie: srv=\(wrong)"])) != nil, "\(wrong)")
        }
        // The service's own cookies stay.
        #expect(try gateway.curl("/own", ["-i"]).body.contains("own=1"))
    }

    @Test("A client whose server is gone, or taken out, goes on with another and stays there")
    func moves() throws {
        let servers = try servers()
        let gateway = try gateway(servers.map(\.port), sticky: "sticky cookie srv { secret @DIR@/secret; }", in: folder)
        let first = try gateway.curl("/")
        let mark = try #require(cookie(first))
        #expect(first["set-cookie"] == "srv=\(mark); Path=/; Secure; HttpOnly; SameSite=Lax")
        let index = try #require(Int(name(first).dropFirst()))
        servers[index].nginx.stop()
        // Its requests fail over at once: those that no connection was made for never set out.
        let moved = try gateway.curl("/", ["-H", "Cookie: srv=\(mark)"])
        #expect(moved.status == 200 && name(moved) != name(first))
        let next = try #require(cookie(moved))
        for _ in 0..<6 { #expect(name(try gateway.curl("/", ["-H", "Cookie: srv=\(next)"])) == name(moved)) }
        let place = "127.0.0.1:\(servers[try #require(Int(name(moved).dropFirst()))].port)"
        #expect(try run(Executable.portcullis, ["server", "drain", "-c", "\(folder.path)/gateway.conf", "app", place]).status == 0)
        let again = try gateway.curl("/", ["-H", "Cookie: srv=\(next)"])
        #expect(name(again) != name(moved) && cookie(again) != nil)
    }

    @Test("A client whose server was out goes back from a backup, and a status of 500 or more binds nobody")
    func backups() throws {
        let servers = try servers()
        let folder = TemporaryFolder()
        try Credentials.certificate(in: folder, name: "localhost", names: ["localhost", "127.0.0.1"])
        try folder.write("secret", String(repeating: "k", count: 40))
        let ill = Ports.free()
        let nginx = try Nginx("server { listen 127.0.0.1:\(ill); location / { return 500; } }", in: folder, name: "ill", ports: [ill])
        let gateway = try Gateway(
            """
            listen 127.0.0.1:@PORT@ { tls { certificate @DIR@/localhost.crt @DIR@/localhost.key; } }
            upstream app { server 127.0.0.1:\(servers[0].port); server 127.0.0.1:\(servers[1].port) backup; sticky cookie srv { secret @DIR@/secret; } }
            upstream ill { server 127.0.0.1:\(ill); sticky cookie other { secret @DIR@/secret; } }
            route /ill { public; upstream ill; }
            route /** { public; upstream app; }
            """, in: folder)
        func drain(_ word: String) throws {
            let words = ["server", word, "-c", "\(folder.path)/gateway.conf", "app", "127.0.0.1:\(servers[0].port)"]
            #expect(try run(Executable.portcullis, words).status == 0)
        }
        try drain("drain")
        let first = try gateway.curl("/")
        let mark = try #require(cookie(first))
        #expect(name(first) == "s1")
        try drain("undrain")
        let back = try gateway.curl("/", ["-H", "Cookie: srv=\(mark)"])
        #expect(name(back) == "s0" && cookie(back) != nil && cookie(back) != mark)
        let failed = try gateway.curl("/ill")
        #expect(failed.status == 500 && failed["set-cookie"] == nil)
        _ = nginx.pid
    }

    @Test("What cannot be a sticky cookie is an error that says why")
    func wrong() throws {
        try folder.write("secret", String(repeating: "k", count: 40))
        try folder.write("short", "abc")
        func errors(_ sticky: String, more: String = "") throws -> String {
            let file = try folder.write(
                "wrong.conf",
                "listen 127.0.0.1:1; upstream app { server 127.0.0.1:2; \(sticky) } \(more) route /** { public; upstream app; }")
            return try run(Executable.portcullis, ["check", "-c", file]).errors
        }
        #expect(try errors("sticky cookie srv;").contains("sticky needs a cookie and a secret"))
        #expect(try errors("sticky cookie srv { }").contains("sticky has no secret"))
        #expect(try errors("sticky cookie srv { secret short; }").contains("holds no secret of at least 32 bytes"))
        #expect(try errors("sticky cookie 'a b' { secret secret; }").contains("'a b' is not the name of a cookie"))
        #expect(try errors("sticky cookie __Host-a { secret secret; path /x; }").contains("begins with __Host- is /"))
        #expect(try errors("sticky cookie a { secret secret; path 'x;y'; }").contains("is not the path of a cookie"))
        #expect(
            try errors("sticky cookie access { secret secret; }", more: "token { cookie access; }").contains(
                "tokens are taken from the cookie access"))
        let second = "upstream other { server 127.0.0.1:3; sticky cookie a { secret secret; } } route /o { public; upstream other; }"
        #expect(try errors("sticky cookie a { secret secret; }", more: second).contains("upstream app has the cookie a too"))
    }
}
