import Foundation
import Glibc
import TestSockets
import Testing

/// What a backend believes of a request is the gateway's word alone, whatever the backend makes of field names, hosts and cookies.
@Suite(.serialized) struct IdentityHeaderTests {
    /// Every byte of a field name that is no letter or digit (RFC 9110 §5.6.2).
    private static let separators = "!#$%&'*+-.^_`|~".map(String.init)

    private static let routes = """
        route /in/** { upstream app; auth sso; set_header X-User-Id $claim.sub; }
        route /**    { upstream app; public; }
        """

    /// A CGI server, which makes `_` of every byte that is no letter or digit.
    private func lighttpd(_ port: Int, in folder: TemporaryFolder) throws -> Program {
        try folder.write("env.sh", "printf 'Content-Type: text/plain\\r\\n\\r\\n'; env\n")
        let file = try folder.write(
            "lighttpd.conf",
            """
            server.bind = "127.0.0.1"
            server.port = \(port)
            server.document-root = "\(folder.path)"
            server.modules = ("mod_cgi", "mod_rewrite")
            url.rewrite-once = (".*" => "/env.sh")
            cgi.assign = (".sh" => "/bin/sh")
            """)
        let program = try Program("/usr/sbin/lighttpd", ["-D", "-f", file], log: "\(folder.path)/lighttpd.log", stopSignal: SIGKILL)
        guard eventually({ Ports.isOpen(port) }) else { throw StartFailed(log: program.log) }
        return program
    }

    private func checkSpellings(_ stage: Stage, _ version: String) throws {
        stage.gateway.version = version
        let token = try stage.signer.token(subject: "alice")
        for first in Self.separators {
            // All spellings with this separator first, in one request.
            let forged = Self.separators.flatMap { ["-H", "X\(first)User\($0)Id: forged"] }
            let open = try stage.gateway.curl("/x", forged)
            #expect(open.status == 200)
            #expect(!open.body.contains("forged"), "\(first): \(open.body)")
            let known = try stage.gateway.curl("/in/x", forged + ["-H", "Authorization: Bearer \(token)"])
            #expect(known.body.contains("HTTP_X_USER_ID=alice\n"), "\(known.body)")
            #expect(!known.body.contains("forged"), "\(first): \(known.body)")
        }
        // A service's own fields pass, whatever their spelling.
        #expect(try stage.gateway.curl("/x", ["-H", "X~Other: fine"]).body.contains("fine"))
    }

    @Test(arguments: HTTPVersions.all) func noSpellingReachesAServerOfCGI(version: String) throws {
        let port = Ports.free()
        let stage = try Stage(version: version, routes: Self.routes)
        let server = try lighttpd(port, in: stage.folder)
        try stage.gateway.rewrite(
            stage.configuration(Self.routes).replacingOccurrences(of: "127.0.0.1:\(stage.backendPort)", with: "127.0.0.1:\(port)"))
        try #require(stage.gateway.reload())
        try checkSpellings(stage, version)
        server.stop()
    }

    @Test(arguments: HTTPVersions.all) func noSpellingReachesAServerOfWSGI(version: String) throws {
        let port = Ports.free()
        let stage = try Stage(version: version, routes: Self.routes)
        let server = try Executable.peerServer("wsgi_peer", port, in: stage.folder)
        try stage.gateway.rewrite(
            stage.configuration(Self.routes).replacingOccurrences(of: "127.0.0.1:\(stage.backendPort)", with: "127.0.0.1:\(port)"))
        try #require(stage.gateway.reload())
        try checkSpellings(stage, version)
        server.stop()
    }

    /// What the service behind got, byte for byte, as the response's body.
    private func mirror() throws -> ScriptedServer {
        try ScriptedServer { client, _ in
            let head = client.read(until: "\r\n\r\n")
            let request =
                head.contains("chunked") && !head.contains("0\r\n")
                ? head + client.read(until: "\r\n0\r\n", silence: 20_000) + client.read(until: "\r\n\r\n", silence: 1_500) : head
            client.send("HTTP/1.1 200 OK\r\nContent-Length: \(request.utf8.count)\r\nConnection: close\r\n\r\n\(request)")
        }
    }

    @Test func whatAClientSaysOfProxiesIsDropped() throws {
        let server = try mirror()
        let (stage, port) = try plainStage(
            routes: """
                route /** { upstream raw; public; set_header X-User-Id anonymous; } route /in { upstream app; auth sso; }
                """, more: "upstream raw { server 127.0.0.1:\(server.port); }")
        let family = [
            "X-Forwarded-Prefix", "X-Forwarded-Ssl", "X-Forwarded-Scheme", "X-Forwarded-Uri", "X-Forwarded-User", "X_Forwarded_User",
            "X-Forwarded-Server", "X-Original-URL", "X-Rewrite-URL", "X.Rewrite.URL", "X-Original-Forwarded-For", "X-Forwarded",
            "Forwarded",
        ]
        for version in HTTPVersions.all {
            stage.gateway.version = version
            let answer = try stage.gateway.curl("/", family.flatMap { ["-H", "\($0): forged"] } + ["-H", "Cookie: flag; a=1"])
            #expect(answer.status == 200)
            #expect(!answer.body.contains("forged"), "\(answer.body)")
            #expect(answer.body.contains("Cookie: flag; a=1\r\n"), "\(answer.body)")
            #expect(answer.body.contains("X-Forwarded-Port: \(stage.gateway.port)\r\n"), "\(answer.body)")
        }
        // Nor in trailers.
        let client = try RawClient(port: port)
        client.send(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX~User~Id: forged\r\nX-Forwarded-User: forged\r\nX-Sum: kept\r\n\r\n"
        )
        let body = client.read(until: "kept")
        #expect(body.contains("X-Sum: kept"), "\(body)")
        #expect(!body.contains("forged"), "\(body)")
    }

    @Test func aHostThatCouldMeanAnotherIsRefused() throws {
        let (stage, port) = try plainStage(
            routes: """
                route /** { host admin.example.com; upstream app; auth sso; }
                route /** { upstream app; public; }
                """)
        let bad = [
            "x,admin.example.com", "admin.example.com,x", "x;y", "a..b", ".a", "", "a=b", "a!b", "[::1", "[1:2]", "a:b",
            "a@admin.example.com", "a:99999",
        ]
        for host in bad {
            for request in [
                "GET / HTTP/1.1\r\nHost: \(host)", "GET / HTTP/1.0\r\nHost: \(host)", "GET http://\(host)/ HTTP/1.1\r\nHost: \(host)",
            ] {
                let client = try RawClient(port: port)
                client.send("\(request)\r\nConnection: close\r\n\r\n")
                let answer = client.read()
                #expect(answer.hasPrefix("HTTP/1.1 400 "), "\(request): \(answer)")
                #expect(answer.contains("request_bad_host") || answer.contains("target_bad_authority"), "\(request): \(answer)")
            }
            guard !host.isEmpty else { continue }
            let answer = try stage.gateway.curl("/", ["-H", "Host: \(host)"])
            #expect(answer.status == 400, "\(host)")
            #expect(answer.body.contains("request_bad_host"), "\(host): \(answer.body)")
        }
        for host in ["admin.example.com", "ADMIN.example.com.:443"] {
            #expect(try stage.gateway.curl("/", ["-H", "Host: \(host)"]).status == 401)
        }
        for host in ["a", "a_b.c-d", "[::1]:80", "192.0.2.1"] {
            #expect(try stage.gateway.curl("/", ["-H", "Host: \(host)"]).status == 200)
        }
    }

    /// What a trusted proxy tells is routed by, and goes on; nobody else's word is.
    @Test(arguments: HTTPVersions.all) func theHostThatIsRoutedByGoesOn(version: String) throws {
        let routes = """
            route /** { host admin.example.com; upstream app; auth sso; }
            route /** { upstream app; public; }
            """
        let stage = try Stage(version: version, routes: routes)
        let told = ["-H", "Host: www", "-H", "X-Forwarded-Host: admin.example.com"]
        let ignored = try stage.gateway.curl("/", told)
        #expect(ignored.status == 200)
        #expect(ignored.body.contains("\"host\":\"www\""))
        try stage.gateway.rewrite(stage.configuration(routes, "trusted_proxies 127.0.0.0/8;"))
        try #require(stage.gateway.reload())
        #expect(try stage.gateway.curl("/", told).status == 401)
        #expect(try stage.gateway.curl("/", ["-H", "Host: www", "-H", "Forwarded: for=192.0.2.9;host=admin.example.com"]).status == 401)
        #expect(try stage.gateway.curl("/", ["-H", "Host: www", "-H", "X-Forwarded-Host: a,b,admin.example.com"]).status == 401)
        #expect(try stage.gateway.curl("/", ["-H", "Host: www", "-H", "X-Forwarded-Host: a;b"]).status == 400)
        let passed = try stage.gateway.curl(
            "/", ["-H", "Host: admin.example.com", "-H", "X-Forwarded-Host: www.example.com:8443", "-H", "Forwarded: for=192.0.2.9"])
        #expect(passed.status == 200)
        #expect(passed.body.contains("\"host\":\"www.example.com:8443\""))
        #expect(passed.body.contains("\"xff\":\"192.0.2.9, 127.0.0.1\""))
        #expect(passed.body.contains("host=\\\"www.example.com:8443\\\"") || passed.body.contains("host=\"www.example.com:8443\""))
    }

    @Test(arguments: HTTPVersions.all) func noSecondCredentialGoesWithTheToken(version: String) throws {
        let routes = "route /pub { upstream app; public; } route /** { upstream app; auth sso; }"
        let stage = try Stage(version: version, routes: routes)
        let token = try stage.signer.token()
        let cookie = ["-H", "Cookie: access_token=\(token)"]
        for value in ["Basic x, Bearer B", "Digest a=b, Bearer B", "Bearer B", "DPoP B", "Basic x,bearer B"] {
            for path in ["/", "/pub"] {
                let answer = try stage.gateway.curl(path, cookie + ["-H", "Authorization: \(value)"])
                #expect(answer.status == 200)
                #expect(answer.body.contains("\"authorization\":\"\""), "\(value): \(answer.body)")
            }
        }
        let twice = try stage.gateway.curl("/", cookie + ["-H", "Authorization: Basic eA==", "-H", "Authorization: Bearer B"])
        #expect(twice.body.contains("\"authorization\":\"\""))
        #expect(
            try stage.gateway.curl("/", cookie + ["-H", "Authorization: Basic eA=="]).body.contains("\"authorization\":\"Basic eA==\""))
        // One result, in either order.
        for fields in [["Basic eA==", "Bearer \(token)"], ["Bearer \(token)", "Basic eA=="], ["Bearer \(token)", "Bearer \(token)"]] {
            #expect(try stage.gateway.curl("/", fields.flatMap { ["-H", "Authorization: \($0)"] }).status == 200, "\(fields)")
        }
    }
}
