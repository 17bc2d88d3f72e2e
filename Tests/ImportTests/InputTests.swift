import Import
import TestSupport
import Testing

/// The twelve inputs: each is imported, each line of it has an outcome, and the file that is written passes `check` with its own tests.
@Suite struct InputTests {
    @Test(arguments: Importing.names) func isWrittenAndPassesCheck(_ name: String) throws {
        let files = InputFiles()
        let imported = try NginxImport(name + ".conf", files: files)
        #expect(Importing.check(imported, besides: files) == [], "\(imported.text)")
        for entry in imported.record.entries { #expect(!entry.outcomes.isEmpty, "\(entry.directive.summary)") }
        #expect(Importing.routes(imported.gateway).count >= 2 && imported.gateway.contains { $0.name == "test" })
    }

    /// What is closed, and no more than that: folders of files, Lua, FastCGI, counters, and what an expression denies.
    @Test(arguments: [
        ("authelia", 2), ("oauth2-proxy", 0), ("vouch", 0), ("authentik", 0), ("jwt-service", 0), ("gitlab", 0), ("grafana", 1),
        ("jupyterhub", 0),
        ("s3", 0), ("websockets", 0), ("several-hosts", 3), ("snippets/nginx", 1),
    ]) func onlyWhatHasNoCounterpartIsClosed(_ name: String, _ count: Int) throws {
        let imported = try NginxImport(name + ".conf", files: InputFiles())
        let closed = Importing.routes(imported.gateway).filter {
            ($0.block ?? []).contains { $0.words.first == "answer" && $0.words[1] == "501" }
        }
        #expect(closed.count == count, "\(imported.text)")
    }

    /// Every location of a server has a route, and every route a case.
    @Test(arguments: Importing.names) func everyRouteHasACase(_ name: String) throws {
        let imported = try NginxImport(name + ".conf", files: InputFiles())
        let cases = imported.gateway.filter { $0.name == "test" }.flatMap { $0.block ?? [] }.filter {
            ["allow", "refuse", "answer"].contains($0.name)
        }
        #expect(cases.count >= Importing.routes(imported.gateway).count)
        // What a credential guards has a case in which somebody without one is refused.
        let guarded = Importing.routes(imported.gateway).filter { route in (route.block ?? []).contains { $0.name == "auth" } }
        #expect(cases.count { $0.name == "refuse" && $0.words[1] == "nobody" } >= guarded.count)
    }

    @Test func commentsKeepTheirGist() throws {
        let text = try NginxImport("authelia.conf", files: InputFiles()).text
        #expect(text.contains("# Asked by the load balancer, without a session\n"))
        #expect(text.contains("# The application that everybody uses\nhost app.example.com {"))
        #expect(try NginxImport("jupyterhub.conf", files: InputFiles()).text.contains("    # Only the hub itself asks these\n"))
    }

    @Test func theProductIsToldByItsPath() throws {
        for (name, line) in [
            ("authelia", "authorizer authelia {\n    server 127.0.0.1:9091;\n    path /api/authz/auth-request;\n"),
            ("oauth2-proxy", "authorizer oauth2-proxy {\n"), ("vouch", "authorizer vouch {\n"), ("authentik", "authorizer authentik {\n"),
            ("jwt-service", "    cache 10s $cookie.session;\n"),
            ("jwt-service", "limit perip { rate 20/second; burst 41; key $client.ip; }"),
            ("jwt-service", "limit perip-2 { rate 20/second; burst 1; delay 250ms; key $client.ip; }"),
            ("authelia", "    on_refusal follow;\n"), ("authelia", "sign_in https://auth.example.com/?rd=$request.url;"),
            ("authelia", "listen 0.0.0.0:80 { redirect https except /.well-known/acme-challenge/**; }"),
            ("oauth2-proxy", "pass_response Set-Cookie;"), ("oauth2-proxy", "set_header Authorization \"Bearer $claim.token\";"),
            ("oauth2-proxy", "strip_prefix /api;\n        add_prefix /v2;"), ("grafana", "auth any trusted-network people;"),
            ("grafana", "set_header X-WEBAUTH-USER $claim.user;"), ("gitlab", "from 10.0.0.0/8 127.0.0.1;"),
            ("gitlab", "trusted_proxies 10.0.0.0/8;"), ("gitlab", "rewrite_redirects off;"), ("websockets", "upgrade websocket;"),
            ("websockets", "origin https://chat.example.com https://beta.example.com;"), ("jupyterhub", "stream_timeout 20d;"),
            ("several-hosts", "host shop.example.com shop.example.net *.shop.example.net {"),
            ("snippets/nginx", "sign_in https://login.example.com/?next=https://$request.host$request.uri;"),
            ("snippets/nginx", "path /check?site=portal;"),
        ] {
            let text = try NginxImport(name + ".conf", files: InputFiles()).text
            #expect(text.contains(line), "\(name): \(line)\n\(text)")
        }
    }

    /// What `nginx -T` prints comes to the same as the files themselves.
    @Test func aDumpIsReadAsTheFiles() throws {
        let files = InputFiles()
        let names = [
            "snippets/nginx.conf", "snippets/conf.d/app.conf", "snippets/snippets/ssl.conf", "snippets/snippets/auth-location.conf",
            "snippets/snippets/auth.conf", "snippets/snippets/proxy.conf",
        ]
        let dump = try names.map { "# configuration file /\($0):\n" + String(decoding: try files.read($0), as: UTF8.self) + "\n" }.joined()
        let imported = try NginxImport("all.conf", files: MemoryFiles(["all.conf": "nginx: the configuration file is ok\n\n" + dump]))
        let direct = try NginxImport("snippets/nginx.conf", files: files)
        #expect(imported.gateway == direct.gateway)
    }
}
