import Foundation
import TestSockets
import Testing

/// `portcullis import-nginx` beside the nginx that is installed.
@Suite(.serialized) struct ImportNginxTests {
    private static let inputs = [
        "authelia", "oauth2-proxy", "vouch", "authentik", "jwt-service", "gitlab", "grafana", "jupyterhub", "s3", "websockets",
        "several-hosts",
        "snippets/nginx",
    ]

    private func importNginx(_ arguments: [String], input: String? = nil) throws -> Output {
        try run(Executable.portcullis, ["import-nginx"] + arguments, input: input)
    }

    private static func path(_ name: String) -> String { "\(Executable.root)/Tests/ImportTests/Inputs/\(name).conf" }

    @Test(arguments: inputs) func nothingDiffersThatIsNotNoted(_ name: String) throws {
        let output = try importNginx([Self.path(name), "--prove"])
        #expect(output.status == 0 && output.text.hasSuffix("Nothing differs that is not noted.\n"), "\(output.text)\(output.errors)")
        let counts = output.text.split(whereSeparator: { !$0.isNumber }).compactMap { Int($0) }
        #expect(output.text.contains("requests to nginx and to the gateway: ") && counts.contains { $0 >= 60 }, "\(output.text)")
    }

    /// A file that somebody has edited is compared as it is: what it opens, or sends elsewhere, is told.
    @Test func anEditedFileIsCompared() throws {
        let folder = TemporaryFolder()
        let gateway = folder.path + "/gateway.conf"
        // The certificates of the input are not here, so check does not pass; the file is written all the same.
        #expect(try importNginx([Self.path("authelia"), "--output", gateway, "--brief"]).status == 1)
        let text = folder.read("gateway.conf")
        let same = try importNginx([Self.path("authelia"), "--prove", "--against", gateway])
        #expect(same.status == 0, "\(same.text)\(same.errors)")
        for (old, new, message) in [
            ("        auth authelia;\n", "        public;\n", "GET app.example.com/sample by nobody: nginx 302, gateway 200"),
            (
                "        set_header Remote-User $claim.user;\n", "",
                "the service gets remote-user: a-remote-user from nginx, (none) from the gateway"
            ),
            (
                "        hsts 365d subdomains;\n", "",
                "the client gets strict-transport-security: max-age=31536000; includeSubDomains from nginx, (none)"
            ),
            (
                "        upstream service-8081;\n        auth", "        upstream service-8080;\n        auth",
                "nginx asks 127.0.0.1:8081, the gateway 127.0.0.1:8080"
            ),
        ] {
            #expect(text.contains(old), "\(text)")
            var edited = text.replacing(old, with: new)
            // Claims that nobody has any more.
            if new.contains("public") { edited = edited.split(separator: "\n").filter { !$0.contains("$claim") }.joined(separator: "\n") }
            try folder.write("gateway.conf", edited)
            let output = try importNginx([Self.path("authelia"), "--prove", "--against", gateway])
            #expect(
                output.status == 1 && output.text.contains("DIFFERENT") && output.text.contains(message), "\(output.text)\(output.errors)")
        }
    }

    @Test func whatIsWrittenPassesCheck() throws {
        let folder = TemporaryFolder()
        _ = try run(
            "/usr/bin/openssl",
            [
                "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "100", "-subj", "/CN=a",
                "-keyout",
                folder.path + "/a.key", "-out", folder.path + "/a.crt",
            ])
        let nginx = """
            server { listen 443 ssl; server_name a.example; ssl_certificate a.crt; ssl_certificate_key a.key;
              location / { auth_request /q; proxy_pass http://127.0.0.1:8080; }
              location = /q { internal; proxy_pass http://127.0.0.1:9091/api/verify; } }
            """
        try folder.write("nginx.conf", nginx)
        let output = try importNginx([folder.path + "/nginx.conf"])
        #expect(output.status == 0 && output.errors.contains("converted"), "\(output.errors)")
        try folder.write("gateway.conf", output.text)
        #expect(try run(Executable.portcullis, ["check", "-c", folder.path + "/gateway.conf"]).status == 0)
        let tests = try run(Executable.portcullis, ["test", "-c", folder.path + "/gateway.conf", "--fail-on-empty"])
        #expect(tests.status == 0 && tests.text.contains("3 of 3 hold"), "\(tests.text)\(tests.errors)")
        // From standard input, as nginx -T writes it.
        let dump = "# configuration file \(folder.path)/nginx.conf:\n\(nginx)\n"
        #expect(
            try importNginx(["-"], input: dump).text.split(separator: "\n").dropFirst(1) == output.text.split(separator: "\n").dropFirst(1))
    }

    /// A trial that is ended leaves no process, and no folder with its key.
    @Test func anEndedTrialLeavesNothing() throws {
        let folder = TemporaryFolder()
        let program = try Program(
            Executable.portcullis, ["import-nginx", Self.path("several-hosts"), "--prove"], log: folder.path + "/log",
            environment: ["TMPDIR": folder.path])
        func trials() -> [String] {
            ((try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []).filter { $0.hasPrefix("portcullis-trial-") }
        }
        #expect(eventually { trials().contains { FileManager.default.fileExists(atPath: folder.path + "/\($0)/gateway.conf") } })
        program.signal(SIGTERM)
        #expect(eventually { !program.isRunning } && program.exitStatus == 2, "\(program.log)")
        #expect(trials().isEmpty && program.log.contains("the trial was interrupted"))
        // Every process of it has the folder in its command line, or was started by one that has.
        let left = try run("/usr/bin/pgrep", ["-f", folder.path])
        #expect(left.text.isEmpty, "\(left.text)")
    }

    @Test func whatIsWrongEndsWithOne() throws {
        let folder = TemporaryFolder()
        try folder.write("nginx.conf", "server { listen 80; include a.conf; include b.conf; location / { } }")
        let output = try importNginx([folder.path + "/nginx.conf"])
        #expect(output.status == 1 && output.text.isEmpty)
        #expect(
            output.errors.contains("nginx.conf:1: error: \(folder.path)/a.conf cannot be read")
                && output.errors.contains("b.conf cannot be read"), "\(output.errors)")
        try folder.write("nginx.conf", "server { listen 80; location / { js_content a; } }")
        #expect(try importNginx([folder.path + "/nginx.conf"]).status == 0)
        let strict = try importNginx([folder.path + "/nginx.conf", "--strict"])
        #expect(strict.status == 1 && strict.errors.contains("REFUSED  njs is not run"), "\(strict.errors)")
        #expect(try importNginx([folder.path + "/none.conf"]).status == 1)
    }
}
