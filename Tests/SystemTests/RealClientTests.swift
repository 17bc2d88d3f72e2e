import Foundation
import TestSockets
import Testing

/// Programs in use, through the gateway, with what they know of credentials.
@Suite(.serialized) struct RealClientTests {
    /// lighttpd that serves the repositories under `folder`/repos with git's own CGI program.
    private func gitServer(_ port: Int, in folder: TemporaryFolder) throws -> Program {
        let file = try folder.write(
            "lighttpd.conf",
            """
            server.bind = "127.0.0.1"
            server.port = \(port)
            server.document-root = "\(folder.path)"
            server.upload-dirs = ( "\(folder.path)" )
            server.modules = ("mod_alias", "mod_setenv", "mod_cgi")
            alias.url = ( "/git" => "/usr/lib/git-core/git-http-backend" )
            setenv.set-environment = ( "GIT_PROJECT_ROOT" => "\(folder.path)/repos", "GIT_HTTP_EXPORT_ALL" => "1", "REMOTE_USER" => "builder",
              "GIT_CONFIG_COUNT" => "1", "GIT_CONFIG_KEY_0" => "safe.directory", "GIT_CONFIG_VALUE_0" => "*" )
            cgi.assign = ("" => "")
            """)
        let program = try Program("/usr/sbin/lighttpd", ["-D", "-f", file], log: "\(folder.path)/lighttpd.log", stopSignal: SIGKILL)
        guard eventually({ Ports.isOpen(port) }) else { throw StartFailed(log: program.log) }
        return program
    }

    /// Clones and pushes of 9 MB, with a token as the password; none hangs.
    @Test(arguments: HTTPVersions.all) func gitClonesAndPushes(version: String) throws {
        let folder = TemporaryFolder()
        let port = Ports.free()
        let server = try gitServer(port, in: folder)
        let routes = """
            upstream git { server 127.0.0.1:\(port); }
            route /git/** { upstream git; auth sso; max_body_size unlimited; }
            """
        let stage = try Stage(token: "basic_password;", routes: routes)
        let url = "https://builder:\(try stage.signer.token())@127.0.0.1:\(stage.gateway.port)/git/a.git"
        let git = Git(home: folder, version: version)
        try git.repository("a.git")
        try git.run(["clone", "-q", url, "\(folder.path)/checkout"])
        for round in 0..<25 {
            let bytes = try random(9 << 20)
            try bytes.write(to: URL(fileURLWithPath: "\(folder.path)/checkout/data"))
            try git.run(["-C", "\(folder.path)/checkout", "add", "data"])
            try git.run(["-C", "\(folder.path)/checkout", "commit", "-q", "-m", "\(round)"])
            try git.run(["-C", "\(folder.path)/checkout", "push", "-q", "origin", "HEAD"])
            try git.run(["clone", "-q", "--depth", "1", url, "\(folder.path)/copy\(round)"])
            #expect(try Data(contentsOf: URL(fileURLWithPath: "\(folder.path)/copy\(round)/data")) == bytes)
        }
        server.stop()
    }

    /// Bytes that nothing makes smaller.
    private func random(_ count: Int) throws -> Data {
        try #require(try FileHandle(forReadingAtPath: "/dev/urandom")?.read(upToCount: count))
    }

    /// Starts a server and waits until it takes connections.
    private func server(_ program: String, _ arguments: [String], _ port: Int, in folder: TemporaryFolder) throws -> Program {
        let server = try Program(
            program, arguments, log: "\(folder.path)/server.log", environment: ["HOME": folder.path, "PYTHONUNBUFFERED": "1"],
            stopSignal: SIGKILL)
        guard eventually(within: 30, { Ports.isOpen(port) }) else { throw StartFailed(log: server.log) }
        return server
    }

    /// A package is uploaded by one, and installed by the other, with a token as the password.
    @Test func twineUploadsAndPipInstalls() throws {
        let folder = TemporaryFolder()
        let (port, python) = (Ports.free(), "\(Executable.root)/.build/python/bin/python")
        try FileManager.default.createDirectory(atPath: "\(folder.path)/packages", withIntermediateDirectories: true)
        // It has no password of its own: all that comes through the gateway may upload.
        let server = try server(
            python,
            ["-m", "pypiserver", "run", "-i", "127.0.0.1", "-p", "\(port)", "-P", ".", "-a", ".", "--disable-fallback"]
                + ["\(folder.path)/packages"], port, in: folder)
        let stage = try Stage(
            token: "basic_password;",
            routes: """
                route / { upstream registry; auth sso; scope read:packages; max_body_size 64m; method POST { scope create:packages; } }
                route /** { upstream registry; auth sso; scope read:packages; }
                """, general: "upstream registry { server 127.0.0.1:\(port); }")
        let gateway = "https://127.0.0.1:\(stage.gateway.port)"
        let wheel = "\(folder.path)/gatewaydemo-1.0-py3-none-any.whl"
        let built = try run(
            python,
            [
                "-c",
                """
                import sys, zipfile, os
                info = "gatewaydemo-1.0.dist-info/"
                with zipfile.ZipFile(sys.argv[1], "w") as wheel:
                    wheel.writestr("gatewaydemo.py", "data = %r" % os.urandom(2 << 20).hex())
                    wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: gatewaydemo\\nVersion: 1.0\\n")
                    wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
                    wheel.writestr(info + "RECORD", "")
                """, wheel,
            ])
        try #require(built.status == 0, "\(built.errors)")
        // The last of the three wins over the programs' own options.
        let certificate = "\(stage.folder.path)/localhost.crt"
        let environment = ["TWINE_CERT": certificate, "PIP_CERT": certificate, "REQUESTS_CA_BUNDLE": certificate, "HOME": folder.path]
        func twine(_ scopes: [String]) throws -> Output {
            try run(
                python,
                [
                    "-m", "twine", "upload", "--non-interactive", "--disable-progress-bar", "--repository-url", gateway + "/", "-u",
                    "builder",
                    "-p", try stage.signer.token(scopes: scopes), wheel,
                ], environment: environment)
        }
        let refused = try twine(["read:packages"])
        #expect(refused.status != 0)
        #expect((refused.text + refused.errors).contains("403"), "\(refused)")
        let uploaded = try twine(["create:packages"])
        #expect(uploaded.status == 0, "\(uploaded)")
        let index = gateway.replacingOccurrences(of: "//", with: "//builder:\(try stage.signer.token(scopes: ["read:packages"]))@")
        func pip(_ index: String) throws -> Output {
            try run(
                python,
                [
                    "-m", "pip", "--isolated", "--disable-pip-version-check", "install", "--no-input", "--no-deps", "--no-cache-dir", "-q",
                    "--index-url", index + "/simple/", "--target", "\(folder.path)/installed",
                    "gatewaydemo",
                ], environment: environment)
        }
        #expect(try pip(gateway).status != 0)
        let installed = try pip(index)
        #expect(installed.status == 0, "\(installed)")
        #expect(FileManager.default.fileExists(atPath: "\(folder.path)/installed/gatewaydemo.py"))
        server.stop()
    }

    /// A clone and a push, with a token as the password, and with one in a file of cookies.
    @Test func mercurialClonesAndPushes() throws {
        let folder = TemporaryFolder()
        let port = Ports.free()
        func hg(_ arguments: [String]) throws -> Output {
            try run(
                "/usr/bin/timeout", ["60", "hg", "--noninteractive"] + arguments,
                environment: ["HOME": folder.path, "HGRCPATH": "\(folder.path)/hgrc"])
        }
        try folder.write("hgrc", "[ui]\nusername = builder\n")
        let created = try hg(["init", "\(folder.path)/origin"])
        try #require(created.status == 0, "\(created)")
        let server = try server(
            "/usr/bin/hg",
            [
                "-R", "\(folder.path)/origin", "serve", "-a", "127.0.0.1", "-p", "\(port)", "--config", "web.push_ssl=no", "--config",
                "web.allow_push=*",
            ], port, in: folder)
        let stage = try Stage(
            token: "cookie access_token; basic_password;",
            routes: "route /** { upstream hg; auth sso; max_body_size unlimited; }", general: "upstream hg { server 127.0.0.1:\(port); }")
        let token = try stage.signer.token()
        let certificate = try run(
            Executable.openssl, ["x509", "-in", "\(stage.folder.path)/localhost.crt", "-noout", "-fingerprint", "-sha256"])
        try folder.write(
            "hgrc",
            """
            [ui]
            username = builder
            [hostsecurity]
            127.0.0.1:fingerprints = sha256:\(certificate.text.split(separator: "=").last?.trimmingCharacters(in: .newlines) ?? "")

            """)
        let (address, copy) = ("127.0.0.1:\(stage.gateway.port)", "\(folder.path)/copy")
        try #require(hg(["clone", "https://\(address)/", copy]).status != 0)
        let cloned = try hg(["clone", "https://builder:\(token)@\(address)/", copy])
        try #require(cloned.status == 0, "\(cloned)")
        func commitAndPush(_ name: String, _ arguments: [String]) throws -> Output {
            try random(4 << 20).write(to: URL(fileURLWithPath: "\(copy)/\(name)"))
            try #require(hg(["-R", copy, "commit", "-q", "-A", "-m", name]).status == 0)
            return try hg(["-R", copy, "push"] + arguments)
        }
        let pushed = try commitAndPush("one", ["https://builder:\(token)@\(address)/"])
        #expect(pushed.status == 0, "\(pushed)")
        // The file of cookies that browsers' extensions write: domain, whether its hosts too, path, whether over TLS alone, end, name, value.
        try folder.write(
            "cookies.txt", "# Netscape HTTP Cookie File\n127.0.0.1\tFALSE\t/\tTRUE\t4102444800\taccess_token\t\(token)\n")
        let byCookie = try commitAndPush("two", ["--config", "auth.cookiefile=\(folder.path)/cookies.txt", "https://\(address)/"])
        #expect(byCookie.status == 0, "\(byCookie)")
        let heads = try run("/usr/bin/hg", ["-R", "\(folder.path)/origin", "log", "--template", "{desc} "])
        #expect(heads.text == "two one ", "\(heads)")
        server.stop()
    }

    /// git sends no Origin: with a file of cookies it may push where pages of other sites may not.
    @Test(arguments: HTTPVersions.all) func gitPushesWithAFileOfCookies(version: String) throws {
        let folder = TemporaryFolder()
        let port = Ports.free()
        let server = try gitServer(port, in: folder)
        let stage = try Stage(
            token: "cookie access_token;", routes: "route /git/** { upstream git; auth sso; }",
            general: "upstream git { server 127.0.0.1:\(port); }")
        try folder.write(
            "cookies.txt",
            "# Netscape HTTP Cookie File\n127.0.0.1\tFALSE\t/\tTRUE\t4102444800\taccess_token\t\(try stage.signer.token())\n")
        let git = Git(home: folder, version: version)
        try git.repository("a.git")
        let url = "https://127.0.0.1:\(stage.gateway.port)/git/a.git"
        let cookies = ["-c", "http.cookieFile=\(folder.path)/cookies.txt"]
        try git.run(cookies + ["clone", "-q", url, "\(folder.path)/checkout"])
        try git.run(["-C", "\(folder.path)/checkout", "commit", "-q", "--allow-empty", "-m", "one"])
        #expect(throws: (any Error).self) { try git.run(["-C", "\(folder.path)/checkout", "push", "-q", "origin", "HEAD"]) }
        try git.run(["-C", "\(folder.path)/checkout"] + cookies + ["push", "-q", "origin", "HEAD"])
        #expect(try run("/usr/bin/git", ["-C", "\(folder.path)/repos/a.git", "log", "--all", "--format=%s"]).text == "one\n")
        server.stop()
    }
}

/// git, as the tests call it: with no certificate checked, and nothing asked.
private struct Git {
    let home: TemporaryFolder
    /// curl's word for the version of HTTP.
    let version: String

    /// - Throws: what it complained about.
    func run(_ arguments: [String]) throws {
        let options = [
            "http.sslVerify=false", "http.version=\(version == HTTPVersions.two ? "HTTP/2" : "HTTP/1.1")", "user.name=builder",
            "user.email=builder@example.com", "init.defaultBranch=main", "safe.directory=*", "core.compression=0",
        ]
        let output = try SystemTests.run(
            "/usr/bin/timeout", ["60", "git"] + options.flatMap { ["-c", $0] } + arguments,
            environment: ["GIT_TERMINAL_PROMPT": "0", "HOME": home.path])
        guard output.status == 0 else { throw StartFailed(log: "\(arguments): \(output.errors)") }
    }

    /// Makes a repository that the server gives out and takes pushes for.
    func repository(_ name: String) throws {
        try run(["init", "-q", "--bare", "\(home.path)/repos/\(name)"])
        try run(["-C", "\(home.path)/repos/\(name)", "config", "http.receivepack", "true"])
    }
}
