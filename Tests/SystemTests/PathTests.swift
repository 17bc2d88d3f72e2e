import Foundation
import TestSockets
import Testing

/// What of a path is passed, encoded, taken out or refused, and how that is told.
@Suite(.serialized) struct PathTests {
    @Test(arguments: HTTPVersions.all) func everyReadingOfAForwardedPathHasOneDecision(version: String) throws {
        let stage = try Stage(
            version: version,
            routes: """
                route /files/** { upstream app; public; }
                route /files/secret/** { upstream app; auth sso; }
                route /users/{id}/** { upstream app; auth sso; require $path.id = $claim.sub; }
                route /app/** { upstream app; public; strip_prefix /app; }
                route /app/admin/** { upstream app; auth sso; strip_prefix /app; }
                route /legacy/** { upstream app; public; case_insensitive; }
                route /legacy/admin/** { upstream app; auth sso; case_insensitive; }
                """)
        // As a registry of npm, a forge, an object store and a framework's page of a browser have them.
        for (path, upstream) in [
            ("/files/@scope%2fname", "/files/@scope%2Fname"),
            ("/files/group%2Fproject/merge_requests", "/files/group%2Fproject/merge_requests"),
            ("/files//key/with//two", "/files//key/with//two"), ("/files/a\\b", "/files/a%5Cb"), ("/files/./Packages", "/files/Packages"),
            ("/files/100%25", "/files/100%25"), ("/files/[slug]|^`{}", "/files/%5Bslug%5D%7C%5E%60%7B%7D"),
            ("/files/a;v=1/b", "/files/a;v=1/b"),
            ("/LEGACY/x", "/LEGACY/x"),
        ] {
            let answer = try stage.gateway.curl(path, ["-g"])
            #expect(answer.status == 200, "\(path)")
            #expect(answer.body.contains("\"uri\":\"\(upstream)\""), "\(path): \(answer.body)")
        }
        for path in [
            "/files%2fsecret/x", "/files/secret%2fx", "/files/%252e%252e/x", "/files%5csecret/x", "/files//secret/x", "//files/secret/x",
            "/files/secret;a/x", "/files/%2573ecret/x", "/files/s%c0%a5cret/%c0%ae%c0%ae/x", "/files%c0%afsecret/x",
            "/files/%25%32%65%252e/x",
            "/files/..%2fsecret",
        ] {
            let answer = try stage.gateway.curl(path)
            #expect([400, 401, 404].contains(answer.status), "\(path): \(answer.status)")
        }
        #expect(try stage.gateway.curl("/files//secret/x").body.contains("target_ambiguous_path"))
        // What is an authority to some only when the prefix is gone.
        #expect(try stage.gateway.curl("/app/a%2fb").status == 200)
        for path in ["/app/%2fevil/admin/x", "/app/%5cevil/admin/x", "/app/;/evil/admin/x", "/app//evil/admin/x"] {
            #expect(try stage.gateway.curl(path).status == 400, "\(path)")
        }
        #expect(try stage.gateway.curl("/Legacy/ADMIN/x").status == 401)
        let bearer = ["-H", "Authorization: Bearer \(try stage.signer.token(subject: "a/b"))"]
        // The demand looks at this segment, so there must be no doubt about it.
        #expect(try stage.gateway.curl("/users/a%2fb/x", bearer).status == 400)
        let plain = ["-H", "Authorization: Bearer \(try stage.signer.token(subject: "alice"))"]
        #expect(try stage.gateway.curl("/users/alice/a%2fb", plain).status == 200)
    }

    /// A limit of one path is not passed by spelling the path otherwise: the request is refused, or counted as what it is.
    @Test(arguments: HTTPVersions.all) func noSpellingOfAPathHasAQuotaOfItsOwn(version: String) throws {
        let stage = try Stage(
            version: version,
            routes: """
                route /login { upstream app; public; limit one; }
                route /login/** { upstream app; public; limit one; }
                route /** { upstream app; public; }
                route /in { upstream app; auth sso; }
                """, general: "limit one { rate 2/1h; key $client.ip; }")
        for _ in 0..<2 { #expect(try stage.gateway.curl("/login").status == 200) }
        for path in [
            "/login", "/login?a=1", "/%6cogin", "/%6C%6F%67%69%6E", "/./login", "/x/../login", "/x/%2e%2e/login", "//login", "/login/",
            "/login//",
            "/login;x", "/login;x=1/", "/login%2f", "/login%2F..%2Flogin", "/%2flogin", "/login%00", "/login/.", "/login%3bx", "/;/login",
            "///login",
            "/login%20", "/login\\", "/login%5c",
        ] {
            let answer = try stage.gateway.curl(path)
            // What another route takes must be another path to the upstream as well.
            let isOther = answer.status == 200 && ["/login%20"].contains(path)
            #expect([400, 404, 429].contains(answer.status) || isOther, "\(path): \(answer.status) \(answer.body)")
        }
    }

    @Test(arguments: HTTPVersions.all) func theLogHasThePathOfWhatIsRefusedForItsSize(version: String) throws {
        let stage = try Stage(
            version: version, routes: "route /** { upstream app; public; }",
            general: "client_limits { target_size 1k; segments 4; head_size 4k; fields 20; } access_log @DIR@/access.log;")
        let fields = (0..<30).flatMap { ["-H", "X-\($0): 1"] }
        for (path, arguments, status) in [
            ("/long/" + String(repeating: "a", count: 1_100), [], 414), ("/a/b/c/d/e", [], 400), ("/many", fields, 431),
            ("/large", ["-H", "X-Large: " + String(repeating: "b", count: 5_000)], 431), ("/a/b/c/d", [], 200),
        ] as [(String, [String], Int)] {
            let answer = try stage.gateway.curl(path, arguments)
            #expect(answer.status == status, "\(path.prefix(20))")
            let identifier = try #require(answer["x-request-id"])
            var line = ""
            #expect(
                eventually {
                    line = stage.folder.read("access.log").split(separator: "\n").first { $0.contains(identifier) }.map(String.init) ?? ""
                    return !line.isEmpty
                })
            #expect(line.contains("\"method\":\"GET\"") && line.contains("\"path\":\"\(path.prefix(12))"), "\(line.prefix(300))")
        }
    }

    /// A repository without a folder for each distribution, whose files apt asks for as `/./Packages`.
    @Test func aptReadsAFlatRepository() throws {
        let folder = TemporaryFolder()
        let port = Ports.free()
        try FileManager.default.createDirectory(atPath: "\(folder.path)/repo", withIntermediateDirectories: true)
        try folder.write("repo/Packages", "Package: hello\nVersion: 1\nArchitecture: all\nFilename: ./hello.deb\nSize: 1\nDescription: x\n")
        let nginx = try Nginx(
            "server { listen 127.0.0.1:\(port); location / { root \(folder.path); } }", in: folder, name: "files", ports: [port])
        let routes = "upstream files { server 127.0.0.1:\(port); } route /repo/** { upstream files; auth sso; }"
        let stage = try Stage(token: "basic_password;", routes: routes)
        let token = try stage.signer.token(subject: "builder")
        for name in ["state/lists/partial", "cache/archives/partial", "etc/apt.conf.d", "etc/preferences.d", "etc/trusted.gpg.d"] {
            try FileManager.default.createDirectory(atPath: "\(folder.path)/apt/\(name)", withIntermediateDirectories: true)
        }
        try folder.write("apt/status", "")
        try folder.write("apt/etc/sources.list", "deb [trusted=yes] https://127.0.0.1:\(stage.gateway.port)/repo ./\n")
        try folder.write("apt/etc/auth.conf", "machine https://127.0.0.1:\(stage.gateway.port)/repo login builder password \(token)\n")
        let output = try run(
            "/usr/bin/apt-get",
            [
                "-o", "Dir::State=\(folder.path)/apt/state", "-o", "Dir::State::status=\(folder.path)/apt/status",
                "-o", "Dir::Cache=\(folder.path)/apt/cache", "-o", "Dir::Etc=\(folder.path)/apt/etc",
                "-o", "Dir::Etc::netrc=\(folder.path)/apt/etc/auth.conf", "-o", "Dir::Etc::netrcparts=\(folder.path)/apt/none",
                "-o", "Acquire::https::Verify-Peer=false", "-o", "Acquire::https::Verify-Host=false", "-o", "APT::Sandbox::User=root",
                "-o", "Acquire::Retries=0", "update",
            ])
        #expect(output.status == 0, "\(output.text)")
        let lists = try FileManager.default.contentsOfDirectory(atPath: "\(folder.path)/apt/state/lists")
        #expect(lists.contains { $0.contains("_repo_._Packages") }, "\(lists) \(output.text)")
        nginx.stop()
    }
}
