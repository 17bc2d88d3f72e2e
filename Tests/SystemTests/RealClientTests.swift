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
        let stage = try Stage()
        let file = stage.configuration(routes + Stage.usualRoute).replacingOccurrences(
            of: "token { cookie access_token; header Authorization; header X-Api-Key; }", with: "token { basic_password; }")
        try stage.gateway.rewrite(file)
        try #require(stage.gateway.reload())
        let url = "https://builder:\(try stage.signer.token())@127.0.0.1:\(stage.gateway.port)/git/a.git"
        func git(_ arguments: String...) throws {
            let output = try run(
                "/usr/bin/timeout",
                ["60", "git", "-c", "http.sslVerify=false", "-c", "http.version=\(version == HTTPVersions.two ? "HTTP/2" : "HTTP/1.1")"] + [
                    "-c", "user.name=builder", "-c", "user.email=builder@example.com", "-c", "init.defaultBranch=main",
                ] + arguments, environment: ["GIT_TERMINAL_PROMPT": "0", "HOME": folder.path])
            try #require(output.status == 0, "\(arguments): \(output.errors)")
        }
        try git("init", "-q", "--bare", "\(folder.path)/repos/a.git")
        try git("-C", "\(folder.path)/repos/a.git", "config", "http.receivepack", "true")
        try git("clone", "-q", url, "\(folder.path)/checkout")
        for round in 0..<5 {
            var generator = SystemRandomNumberGenerator()
            let bytes = Data((0..<(9 << 17)).flatMap { _ in withUnsafeBytes(of: generator.next()) { Array($0) } })
            try bytes.write(to: URL(fileURLWithPath: "\(folder.path)/checkout/data"))
            try git("-C", "\(folder.path)/checkout", "add", "data")
            try git("-C", "\(folder.path)/checkout", "commit", "-q", "-m", "\(round)")
            try git("-C", "\(folder.path)/checkout", "push", "-q", "origin", "HEAD")
            try git("clone", "-q", "--depth", "1", url, "\(folder.path)/copy\(round)")
            #expect(try Data(contentsOf: URL(fileURLWithPath: "\(folder.path)/copy\(round)/data")) == bytes)
        }
        server.stop()
    }
}
