import Foundation
import TestSockets
import Testing

/// Responses that go to clients in a shorter coding, with a real nginx behind and curl before.
@Suite("Compression", .serialized) struct CompressionTests {
    private let port = Ports.free()
    private let site = TemporaryFolder()

    private let plainPort = Ports.free()

    private func stage(_ routes: String = "route /** { public; upstream site; compress br zstd gzip; }", workers: Int = 2) throws -> Stage {
        let page = (0..<40_000).map { "line \($0) of a page that is worth its coding\n" }.joined()
        for name in ["page.txt", "page.events", "page.image"] { _ = try site.write(name, page) }
        _ = try site.write("short.txt", "short")
        return try Stage(
            routes: "upstream site { server 127.0.0.1:\(port); } route /orders { auth sso; upstream app; } \(routes)",
            general: "listen 127.0.0.1:\(plainPort) { plaintext; }", workers: workers,
            servers: """
                server { listen 127.0.0.1:\(port); root \(site.path); default_type text/plain; charset utf-8;
                    location = /cookie { add_header Set-Cookie a=b; try_files /page.txt =404; }
                    location = /private { add_header Cache-Control 'max-age=1, No-Transform'; try_files /page.txt =404; }
                    location = /coded { add_header Content-Encoding x-own; try_files /page.txt =404; }
                    location = /events { default_type text/event-stream; try_files /page.events =404; }
                    location = /image { default_type image/png; try_files /page.image =404; }
                    location = /varies { add_header Vary 'Origin, Accept-Encoding'; try_files /page.txt =404; }
                    location = /error { return 404 '\(String(repeating: "not here ", count: 200))'; }
                }
                """, serverPorts: [port])
    }

    private func fields(_ stage: Stage, _ path: String, _ more: [String]) throws -> (head: String, body: String) {
        let file = "\(stage.folder.path)/head"
        let answer = try stage.gateway.curl(path, ["-D", file] + more)
        return (stage.folder.read("head").lowercased(), answer.body)
    }

    @Test("What a client takes is what it gets, whole, and named", arguments: [HTTPVersions.one, HTTPVersions.two])
    func codings(version: String) throws {
        let stage = try stage()
        stage.gateway.version = version
        let page = site.read("page.txt")
        for coding in ["br", "zstd", "gzip"] {
            let (head, body) = try fields(stage, "/page.txt", ["--compressed", "-H", "Accept-Encoding: \(coding)"])
            #expect(body == page)
            #expect(head.contains("content-encoding: \(coding)\r\n") && head.contains("vary: accept-encoding\r\n"), "\(head)")
            #expect(head.contains("etag: w/\"") && !head.contains("content-length") && !head.contains("accept-ranges"), "\(head)")
        }
        let size = try stage.gateway.curl("/page.txt", ["-H", "Accept-Encoding: br", "-o", "/dev/null", "-w", "%{size_download}"]).body
        #expect(Int(size) ?? .max < page.utf8.count / 4, "\(size)")
        let plain = try fields(stage, "/page.txt", [])
        #expect(plain.body == page && !plain.head.contains("content-encoding") && plain.head.contains("etag: \""))
        #expect(plain.head.contains("vary: accept-encoding\r\n") && plain.head.contains("content-length: \(page.utf8.count)"))
        let error = try fields(stage, "/error", ["--compressed"])
        #expect(error.body.hasPrefix("not here") && error.head.contains("content-encoding: br"))
        // Named once.
        let varies = try fields(stage, "/varies", ["--compressed"])
        #expect(varies.head.components(separatedBy: "vary:").count == 2, "\(varies.head)")
    }

    @Test(
        "What is short, coded, partial, a stream or not to be changed goes on as it is",
        arguments: ["/short.txt", "/coded", "/private", "/events", "/image", "/cookie"])
    func asItIs(path: String) throws {
        let stage = try stage()
        for version in [HTTPVersions.one, HTTPVersions.two] {
            stage.gateway.version = version
            let (head, _) = try fields(stage, path, ["-H", "Accept-Encoding: br, gzip"])
            #expect(!head.contains("content-encoding: br") && !head.contains("content-encoding: gzip"), "\(head)")
            #expect(head.contains("content-length: "), "\(head)")
        }
        let part = try fields(stage, "/page.txt", ["-H", "Accept-Encoding: br", "-H", "Range: bytes=0-2000"])
        #expect(part.head.contains(" 206") && !part.head.contains("content-encoding"))
        let head = try fields(stage, "/page.txt", ["-I", "-H", "Accept-Encoding: br"])
        #expect(head.head.contains("content-length: \(site.read("page.txt").utf8.count)"))
    }

    @Test("Where the length could tell a secret, nothing is coded: only a browser's own page has it so with credentials")
    func secrets() throws {
        let stage = try stage(
            "route /** { public; upstream site; compress gzip; } route /in/** { auth sso; upstream site; strip_prefix /in; compress gzip; }"
        )
        func isCoded(_ path: String, _ more: [String]) throws -> Bool {
            try fields(stage, path, ["-H", "Accept-Encoding: gzip", "-o", "/dev/null"] + more).head.contains("content-encoding: gzip")
        }
        let token = try stage.signer.token()
        let (bearer, cookie) = (["-H", "Authorization: Bearer \(token)"], ["-H", "Cookie: access_token=\(token)"])
        #expect(try isCoded("/page.txt", []))
        #expect(try !isCoded("/page.txt", ["-H", "Cookie: session=1"]))
        #expect(try isCoded("/page.txt", ["-H", "Cookie: session=1", "-H", "Sec-Fetch-Site: same-origin"]))
        #expect(try !isCoded("/page.txt", ["-H", "Cookie: session=1", "-H", "Sec-Fetch-Site: cross-site"]))
        #expect(try !isCoded("/page.txt", bearer))
        #expect(try !isCoded("/in/page.txt", bearer))
        #expect(try !isCoded("/in/page.txt", cookie))
        #expect(try isCoded("/in/page.txt", cookie + ["-H", "Sec-Fetch-Site: same-origin"]))
        #expect(try isCoded("/in/page.txt", cookie + ["-H", "Sec-Fetch-Site: none"]))
    }

    @Test("Pieces reach the client as they come, a response that breaks off breaks off, and the next of the connection is whole")
    func pieces() throws {
        for version in ["--http1.1", "--http2"] {
            let released = Flag()
            let server = try ScriptedServer { client, _ in
                while true {
                    let head = client.read(until: "\r\n\r\n")
                    guard !head.isEmpty else { return }
                    client.send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
                    if head.hasPrefix("GET /broken") { return }
                    if head.hasPrefix("GET /slow") { while !released.isSet { usleep(10_000) } }
                    client.send("6\r\nsecond\r\n0\r\n\r\n")
                }
            }
            let stage = try Stage(
                routes: """
                    upstream slow { server 127.0.0.1:\(server.port); }
                    route /** { public; upstream slow; compress gzip; } route /orders { auth sso; upstream app; }
                    """)
            let base = "https://127.0.0.1:\(stage.gateway.port)"
            let program = try Program(
                Executable.curl, [version, "-sk", "--compressed", "-N", "-m", "60", "\(base)/slow"], log: "\(stage.folder.path)/slow.log")
            #expect(eventually { program.log == "first" }, "\(program.log)")
            released.set()
            #expect(eventually { program.log == "firstsecond" })
            let broken = try run(Executable.curl, [version, "-sk", "--compressed", "-m", "20", "\(base)/broken", "\(base)/whole"])
            #expect(broken.text == "firstfirstsecond" || broken.text == "firstsecond", "\(broken.text)")
            let alone = try run(Executable.curl, [version, "-sk", "--compressed", "-m", "20", "\(base)/broken"])
            #expect(alone.status != 0)
        }
    }

    @Test("Slow clients hold no more coders than there may be; others get the page as it is meanwhile, and coded again after")
    func many() throws {
        let endless = try ScriptedServer { client, _ in
            _ = client.read(until: "\r\n\r\n")
            client.send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
            _ = client.isClosedByPeer(within: 60_000)
        }
        let stage = try stage(
            """
            upstream endless { server 127.0.0.1:\(endless.port); } route /endless { public; upstream endless; compress gzip; }
            route /** { public; upstream site; compress gzip; }
            """, workers: 1)
        let page = site.read("page.txt").utf8.count
        func isCoded() throws -> Bool {
            try fields(stage, "/page.txt", ["-H", "Accept-Encoding: gzip", "-o", "/dev/null"]).head.contains("content-encoding: gzip")
        }
        #expect(try isCoded())
        var clients = try (0..<128).map { _ in try RawClient(port: plainPort) }
        for client in clients { client.send("GET /endless HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n") }
        #expect(eventually { (try? isCoded()) == false })
        #expect(try stage.gateway.curl("/page.txt", ["--compressed"]).body.utf8.count == page)
        clients.removeAll()
        #expect(eventually { (try? isCoded()) == true })
    }
}
