import Foundation
import TestSockets
import Testing

/// Which pages may use a route: its block `cors`, and `method OPTIONS { public; }` where the service answers preflights itself.
@Suite(.serialized) struct CORSTests {
    private static let routes = """
        route /api/** { upstream app; auth sso; scope read:orders;
          cors { origin https://app.example.com https://*.example.org:8443; methods GET PUT; headers Authorization X-Custom;
                 expose X-Total; credentials; max_age 10m; } }
        route /methods { upstream app; auth sso; method GET { } method PUT { } cors { origin http://localhost:3000; headers *; } }
        route /open { upstream app; public; cors { origin *; } }
        route /** { upstream app; public; }
        """

    /// nginx that allows every page everything, and responses to a Vary of its own.
    private func stage(_ version: String) throws -> Stage {
        let port = Ports.free()
        let server = """
            server { listen 127.0.0.1:\(port); location / {
              add_header Access-Control-Allow-Origin * always; add_header access-control-allow-credentials true always; add_header Vary Accept;
              return 200 'method $request_method'; } }
            """
        return try Stage(
            version: version, token: "cookie access_token; header Authorization; csrf_origins https://app.example.com;",
            routes: Self.routes.replacingOccurrences(of: "upstream app", with: "upstream lax"),
            general: "upstream lax { server 127.0.0.1:\(port); } access_log @DIR@/access.log;", servers: server, serverPorts: [port])
    }

    /// The fields of a response, with all values of each.
    private func fields(_ stage: Stage, _ path: String, _ arguments: [String]) throws -> (status: String, [String: [String]]) {
        let lines = try run(
            Executable.curl,
            [stage.gateway.version, "-sk", "-m", "20", "-D", "-", "-o", "/dev/null"]
                + arguments.flatMap {
                    $0.hasPrefix("-") ? $0.split(separator: " ").map(String.init) : ["-H", $0]
                } + ["https://127.0.0.1:\(stage.gateway.port)\(path)"]
        ).text.split(whereSeparator: \.isNewline)
        var fields: [String: [String]] = [:]
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            if parts.count == 2 { fields[parts[0].lowercased(), default: []].append(parts[1].trimmingCharacters(in: .whitespaces)) }
        }
        return (String(lines.first?.split(separator: " ").dropFirst().first ?? ""), fields)
    }

    @Test(arguments: HTTPVersions.all) func preflightsAreAnsweredWithoutAToken(version: String) throws {
        let stage = try stage(version)
        func preflight(_ path: String, _ origin: String, _ method: String = "PUT", _ more: [String] = []) throws -> (
            String, [String: [String]]
        ) {
            try fields(stage, path, ["-X OPTIONS", "Origin: \(origin)", "Access-Control-Request-Method: \(method)"] + more)
        }
        for origin in ["https://app.example.com", "https://a.example.org:8443", "https://b.a.example.org:8443"] {
            let (status, fields) = try preflight("/api/x", origin, "PUT", ["Access-Control-Request-Headers: x-custom"])
            #expect(status == "204")
            #expect(fields["access-control-allow-origin"] == [origin])
            #expect(fields["access-control-allow-methods"] == ["GET, PUT"])
            #expect(fields["access-control-allow-headers"] == ["Authorization, X-Custom"])
            #expect(fields["access-control-allow-credentials"] == ["true"])
            #expect(fields["access-control-max-age"] == ["600"])
            #expect(fields["vary"]?.contains("Origin") ?? false)
            #expect(fields["content-length"] == nil)
        }
        for origin in [
            "https://evil.example", "http://app.example.com", "https://app.example.com:444", "https://example.org:8443", "null",
            "https://a.example.org", "https://xexample.org:8443", "https://app.example.com.evil.example",
        ] {
            let (status, fields) = try preflight("/api/x", origin)
            #expect(status == "403", "\(origin)")
            #expect(fields["access-control-allow-origin"] == nil, "\(origin)")
            #expect(fields["vary"]?.contains("Origin") ?? false)
        }
        let (status, plain) = try preflight("/methods", "http://localhost:3000", "PUT", ["Access-Control-Request-Headers: x-a,x-b"])
        #expect(status == "204")
        #expect(plain["access-control-allow-methods"] == ["GET, PUT"])
        #expect(plain["access-control-allow-headers"] == ["x-a,x-b"])
        #expect(plain["access-control-allow-credentials"] == nil)
        #expect(
            try preflight("/methods", "http://localhost:3000", "PUT", ["Access-Control-Request-Headers: x\\y"]).1[
                "access-control-allow-headers"] == nil)
        let open = try preflight("/open", "https://anybody.example", "DELETE").1
        #expect(open["access-control-allow-origin"] == ["*"])
        #expect(open["access-control-allow-methods"] == ["DELETE"])
        // Not a preflight: a request like others.
        #expect(try fields(stage, "/api/x", ["-X OPTIONS", "Origin: https://app.example.com"]).status == "401")
        // Two origins are none.
        #expect(
            try fields(
                stage, "/api/x",
                ["-X OPTIONS", "Origin: https://app.example.com", "Origin: https://app.example.com", "Access-Control-Request-Method: PUT"]
            ).status == "403")
        for line in [
            "\"decision\":\"answered\",\"reason\":\"preflight\"", "\"reason\":\"cors_refused\",\"detail\":\"https://evil.example\"",
        ] {
            #expect(eventually { stage.folder.read("access.log").contains(line) }, "\(line)")
        }
    }

    @Test(arguments: HTTPVersions.all) func everyResponseSaysWhichPagesMayReadIt(version: String) throws {
        let stage = try stage(version)
        let bearer = "Authorization: Bearer \(try stage.signer.token())"
        let poor = "Authorization: Bearer \(try stage.signer.token(scopes: []))"
        for (more, expected) in [([bearer], "200"), ([], "401"), ([poor], "403"), ([bearer, "-X POST"], "200")] {
            let (status, own) = try fields(stage, "/api/x", ["Origin: https://app.example.com"] + more)
            #expect(status == expected)
            #expect(own["access-control-allow-origin"] == ["https://app.example.com"])
            #expect(own["access-control-allow-credentials"] == ["true"])
            #expect(own["access-control-expose-headers"] == ["X-Total"])
            #expect(own["vary"]?.contains("Origin") ?? false)
            for origin in [["Origin: https://evil.example"], []] {
                let (_, other) = try fields(stage, "/api/x", origin + more)
                #expect(!other.keys.contains { $0.hasPrefix("access-control-") }, "\(other)")
                #expect(other["vary"]?.contains("Origin") ?? false)
            }
        }
        #expect(try fields(stage, "/api/x", ["Origin: https://app.example.com", bearer]).1["vary"]?.contains("Accept") ?? false)
        #expect(try fields(stage, "/open", []).1["access-control-allow-origin"] == ["*"])
        #expect(try fields(stage, "/open", []).1["access-control-allow-credentials"] == nil)
        // Elsewhere the service has the say.
        #expect(try fields(stage, "/else", []).1["access-control-allow-credentials"] == ["true"])
    }

    /// In interim responses, in trailers, and where the protocol changes.
    @Test func whatAnUpstreamSaysOfPagesIsDroppedEverywhere() throws {
        let server = try ScriptedServer { client, _ in
            let head = client.read(until: "\r\n\r\n")
            let says = "Access-Control-Allow-Origin: upstream\r\n"
            if head.lowercased().contains("upgrade: websocket") {
                client.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\(says)X-Kept: 1\r\n\r\n")
            } else {
                client.send("HTTP/1.1 103 Early Hints\r\n\(says)X-Kept: 1\r\n\r\n")
                client.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Kept\r\n\(says)X-Kept: 1\r\n\r\n")
                client.send("2\r\nok\r\n0\r\n\(says)X-Kept: 1\r\n\r\n")
            }
            _ = client.read(silence: 2_000)
        }
        let port = Ports.free()
        let stage = try Stage(
            routes: "route /** { upstream odd; public; upgrade websocket; cors { origin https://app.example.com; } }",
            general: "listen 127.0.0.1:\(port) { plaintext; } upstream odd { server 127.0.0.1:\(server.port); }")
        let host = "Host: a\r\nOrigin: https://app.example.com\r\n"
        for (request, kept) in [
            ("GET / HTTP/1.1\r\n\(host)TE: trailers\r\nConnection: TE, close\r\n\r\n", 3),
            (
                "GET / HTTP/1.1\r\n\(host)Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                    + "Sec-WebSocket-Key: eHh4eHh4eHh4eHh4eHh4eA==\r\n\r\n", 1
            ),
        ] {
            let client = try RawClient(port: port)
            client.send(request)
            let answer = client.read(until: kept == 1 ? "\r\n\r\n" : nil, silence: 15_000).lowercased()
            #expect(answer.components(separatedBy: "x-kept: 1").count - 1 == kept, "\(answer)")
            #expect(!answer.contains("access-control-allow-origin: upstream"), "\(answer)")
            #expect(answer.components(separatedBy: "access-control-allow-origin: https://app.example.com").count - 1 == 1, "\(answer)")
        }
        let output = try run(Executable.nghttp, ["-v", "--no-verify-peer", "https://127.0.0.1:\(stage.gateway.port)/"])
        #expect(output.text.components(separatedBy: "x-kept: 1").count - 1 == 3, "\(output.text)")
        #expect(!output.text.lowercased().contains("access-control-allow-origin: upstream"), "\(output.text)")
    }

    @Test func whatWouldOpenTooMuchIsAnError() throws {
        let stage = try Stage()
        func check(_ cors: String) throws -> String {
            try stage.gateway.rewrite(stage.configuration("route /** { upstream app; auth sso; cors { \(cors) } }"))
            return try run(Executable.portcullis, ["check", "--config", "\(stage.folder.path)/gateway.conf"]).errors
        }
        #expect(try check("origin *; credentials;").contains("any page could read with the user's credentials"))
        #expect(try check("origin https://a.example/path;").contains("is not an origin"))
        #expect(try check("methods GET;").contains("cors names no origin"))
        for origin in ["https://*.com", "https://*.0.0.1", "https://*", "https://*.", "https://*.*.example.com:x"] {
            #expect(try check("origin \(origin);").contains("is not an origin"), "\(origin)")
        }
        #expect(try !check("origin https://*.localhost:8080 https://*.example.com;").contains("is not an origin"))
        #expect(try check("origin https://a.example; headers 'a b';").contains("'a b' is no name"))
        #expect(try check("origin https://a.example; credentials;").contains("warning: pages of these origins may read"))
        #expect(try !check("origin https://a.example;").contains("warning"))
        let wide = try Stage(token: "cookie access_token; csrf_origins https://*.example.com;")
        for (origin, warns) in [
            ("https://app.example.com", false), ("https://*.app.example.com", false), ("https://*.example.com", false),
            ("https://example.com", true), ("http://app.example.com", true), ("https://*.example.com:8443", true),
        ] {
            try wide.gateway.rewrite(wide.configuration("route /** { upstream app; auth sso; cors { origin \(origin); credentials; } }"))
            let output = try run(Executable.portcullis, ["check", "--config", "\(wide.folder.path)/gateway.conf"])
            #expect(output.errors.contains("warning: pages of these origins") == warns, "\(origin): \(output.errors)")
        }
    }
}
