import Foundation
import Glibc
import TestSockets
import Testing

/// HTTP/2 to upstreams: nginx that speaks it, in clear and under TLS.
@Suite(.serialized) struct UpstreamHTTP2Tests {
    /// nginx that tells which version it was asked in, and on which connection.
    private static func server(_ port: Int, _ more: String) -> String {
        """
        server { listen 127.0.0.1:\(port) \(more); http2_max_concurrent_streams 16;
          location /big { alias @DIR@/big; }
          location /put { client_max_body_size 0; proxy_request_buffering off; proxy_pass http://127.0.0.1:@SINK@; proxy_http_version 1.1; }
          location / { return 200 '{"version":"$server_protocol","connection":"$connection","uri":"$request_uri","host":"$http_host","method":"$request_method","user":"$http_x_user_id","cookie":"$http_cookie","xff":"$http_x_forwarded_for","authorization":"$http_authorization","length":"$http_content_length","evil":"$http_evil"}'; } }
        """
    }

    private func stage(_ version: String = HTTPVersions.two, tls: Bool, more: String = "", workers: Int = 1) throws -> Stage {
        let (port, sink) = (Ports.free(), Ports.free())
        let folder = TemporaryFolder()
        try Credentials.certificate(in: folder, name: "upstream", names: ["localhost"])
        let listen =
            tls ? "ssl http2; ssl_certificate \(folder.path)/upstream.crt; ssl_certificate_key \(folder.path)/upstream.key" : "http2"
        try folder.write("big", String(repeating: "0123456789abcdef", count: 1 << 18))
        let servers =
            Self.server(port, listen).replacingOccurrences(of: "@DIR@", with: folder.path)
            .replacingOccurrences(of: "@SINK@", with: "\(sink)")
            + "server { listen 127.0.0.1:\(sink); location / { return 200 '{\"got\":\"$content_length\"}'; } }"
        kept.change { $0.append(folder) }
        return try Stage(
            version: version,
            routes: """
                route /two/** { upstream two; auth sso; scope read:orders; set_header X-User-Id $claim.sub; strip_prefix /two; }
                route /open/** { upstream two; public; strip_prefix /open; max_body_size unlimited; }
                route /** { upstream app; public; }
                """,
            general: """
                access_log @DIR@/access.log;
                upstream two { server 127.0.0.1:\(port); protocol h2; \(more)
                  \(tls ? "tls { trusted_certificate \(folder.path)/upstream.crt; server_name localhost; }" : "") }
                """, workers: workers, servers: servers, serverPorts: [port])
    }

    private let kept = Box<[TemporaryFolder]>([])

    private func json(_ answer: Answer) -> [String: String] {
        (try? JSONSerialization.jsonObject(with: Data(answer.body.utf8)) as? [String: String]) ?? [:]
    }

    @Test(arguments: HTTPVersions.all, [false, true]) func manyRequestsGoOverFewConnections(version: String, tls: Bool) throws {
        let stage = try stage(version, tls: tls)
        let token = try stage.signer.token(subject: "two")
        let cookie = ["-H", "Cookie: a=1; access_token=\(token); b=2"]
        let answer = try stage.gateway.curl("/two/x?q=1", cookie + ["-H", "X-User-Id: forged", "-H", "Host: shop.example"])
        let seen = json(answer)
        #expect(answer.status == 200, "\(answer.body)")
        #expect(seen["version"] == "HTTP/2.0")
        #expect(seen["uri"] == "/x?q=1")
        #expect(seen["host"] == "shop.example")
        #expect(seen["user"] == "two")
        #expect(seen["cookie"] == "a=1; b=2")
        #expect(seen["xff"] == "127.0.0.1")
        #expect(answer["x-request-id"] != nil)
        // One after the other they share a connection.
        let again = json(try stage.gateway.curl("/two/y", cookie))
        #expect(again["connection"] == seen["connection"])
        #expect(try stage.gateway.load("/two/z", count: 500, parallel: 40, cookie) == [200: 500])
        #expect(try stage.gateway.curl("/two/x", ["-I"] + cookie).status == 200)
        #expect(try stage.gateway.curl("/two/x").status == 401)
    }

    @Test func bodiesStreamBothWays() throws {
        let stage = try stage(tls: false)
        let down = try run(
            Executable.curl,
            [
                "-sk", "-m", "60", "-o", "/dev/null", "-w", "%{http_code} %{size_download}",
                "https://127.0.0.1:\(stage.gateway.port)/open/big",
            ])
        #expect(down.text == "200 \(16 << 18)")
        let file = try stage.folder.write("up", String(repeating: "x", count: 3_000_000))
        for headers in [[], ["-H", "Transfer-Encoding: chunked"], ["-H", "Expect: 100-continue"]] {
            stage.gateway.version = headers.isEmpty ? HTTPVersions.two : "--http1.1"
            let answer = try stage.gateway.curl("/open/put", ["-X", "POST", "--data-binary", "@\(file)"] + headers)
            #expect(answer.status == 200)
            if headers.isEmpty { #expect(json(answer)["got"] == "3000000") }
        }
    }

    /// A slow client has the gateway pause and go on many times; no part of the window may be lost on the way.
    @Test func aSlowClientGetsAllOfALongResponse() throws {
        let stage = try stage(tls: false)
        for version in HTTPVersions.all {
            let output = try run(
                Executable.curl,
                [
                    version, "-sk", "-m", "60", "--limit-rate", "3M", "-o", "/dev/null", "-w", "%{http_code} %{size_download}",
                    "https://127.0.0.1:\(stage.gateway.port)/open/big",
                ])
            #expect(output.text == "200 \(16 << 18)", "\(version)")
        }
    }

    /// Uploads that are given up in the middle, beside others on the same connection.
    @Test func whatOneClientGivesUpHarmsNoOther() throws {
        let stage = try stage(tls: false)
        let file = try stage.folder.write("up", String(repeating: "x", count: 8_000_000))
        let gateway = stage.gateway!
        let done = Flag()
        Thread {
            for _ in 0..<12 {
                _ = try? run(
                    Executable.curl, ["-sk", "-m", "0.15", "-o", "/dev/null", "-T", file, "https://127.0.0.1:\(gateway.port)/open/put"])
            }
            done.set()
        }.start()
        var results: [Int: Int] = [:]
        while !done.isSet {
            for (status, count) in try gateway.load("/open/x", count: 100, parallel: 10) { results[status, default: 0] += count }
        }
        #expect(results.keys.sorted() == [200], "\(results)")
        #expect(try gateway.curl("/open/put", ["-X", "POST", "--data-binary", "@\(file)"]).status == 200)
    }

    @Test func losesNothingWhenItsServerReloads() throws {
        let stage = try stage(tls: false)
        let results = Box<[Int: Int]>([:])
        let done = Flag()
        let gateway = stage.gateway!
        Thread {
            results.value = (try? gateway.load("/open/x", count: 4_000, parallel: 20)) ?? [:]
            done.set()
        }.start()
        // nginx ends its old connections with GOAWAY.
        for _ in 0..<5 {
            kill(stage.backend.pid, SIGHUP)
            usleep(150_000)
        }
        #expect(eventually(within: 60) { done.isSet })
        #expect(
            results.value == [200: 4_000],
            "\(stage.folder.read("access.log").split(separator: "\n").filter { $0.contains("refused") }.prefix(3))")
    }

    @Test func aServerThatDoesNotAgreeIsToldApart() throws {
        // nginx speaks TLS but not HTTP/2 here.
        let port = Ports.free()
        let folder = TemporaryFolder()
        try Credentials.certificate(in: folder, name: "upstream", names: ["localhost"])
        let stage = try Stage(
            routes: "route /two/** { upstream two; public; } route /x { upstream app; auth sso; }",
            general: """
                access_log @DIR@/access.log;
                upstream two { server 127.0.0.1:\(port); protocol h2; tls { trusted_certificate \(folder.path)/upstream.crt; server_name localhost; } }
                """, workers: 1,
            servers: """
                server { listen 127.0.0.1:\(port) ssl; ssl_certificate \(folder.path)/upstream.crt; ssl_certificate_key \(folder.path)/upstream.key; }
                """, serverPorts: [port])
        #expect(try stage.gateway.curl("/two/x").status == 502)
        #expect(eventually { stage.folder.read("access.log").contains("upstream_tls_failed") })
        // A server of HTTP/1 in clear.
        try stage.gateway.rewrite(
            stage.configuration(
                "route /two/** { upstream two; public; } route /x { upstream app; auth sso; }",
                "upstream two { server 127.0.0.1:\(stage.backendPort); protocol h2; }"))
        #expect(stage.gateway.reload())
        #expect(try stage.gateway.curl("/two/x").status == 502)
    }

    private func peculiar(_ version: String = HTTPVersions.two) throws -> (stage: Stage, server: Program) {
        let folder = TemporaryFolder()
        kept.change { $0.append(folder) }
        let port = Ports.free()
        let server = try Executable.peerServer("http2_server", port, in: folder)
        let stage = try Stage(
            version: version, routes: "route /** { upstream odd; public; } route /in { upstream app; auth sso; }",
            general: "upstream odd { server 127.0.0.1:\(port); protocol h2; max_connections 2; }", workers: 1)
        return (stage, server)
    }

    /// A server that takes ten streams, and says so late, loses none of a hundred requests that cannot be asked twice.
    @Test func requestsWaitUntilTheServerHasSaidHowManyItTakes() throws {
        let (stage, server) = try peculiar()
        let output = try run(
            Executable.h2load,
            [
                "-n", "100", "-c", "10", "-m", "10", "-d", try stage.folder.write("body", "hello"),
                "https://127.0.0.1:\(stage.gateway.port)/few",
            ])
        #expect(output.text.contains("status codes: 100 2xx"), "\(output.text)")
        server.stop()
    }

    /// END_STREAM ends a response, and not a length of zero: what comes with it is the status of a call.
    @Test func anEmptyBodyKeepsItsTrailers() throws {
        let (stage, server) = try peculiar()
        let answer = try Executable.peer("http2", ["exchange", "\(stage.gateway.port)", "POST", "/trailers", "te=trailers", "body=x"])
        #expect(answer["trailers"] as? [String: String] == ["grpc-status": "9", "grpc-message": "not now"], "\(answer)")
        server.stop()
    }

    /// A server that takes leave has done nothing about the streams that it does not name: a short body goes out again.
    @Test(arguments: HTTPVersions.all) func resendsAShortBodyAfterGoAway(version: String) throws {
        let (stage, server) = try peculiar(version)
        let answer = try stage.gateway.curl("/leave", ["-d", "hello"])
        #expect(answer.status == 200 && answer.body == "got hello", "\(answer.status) \(answer.body)")
        server.stop()
    }
}
