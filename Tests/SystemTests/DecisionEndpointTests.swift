import Foundation
import TestSockets
import Testing

/// Decisions for a proxy that stays in front: `listen … { decisions nginx; }`.
@Suite(.serialized) struct DecisionEndpointTests {
    private static let routes = """
        route /** { upstream app; auth sso; set_header X-User-Id $claim.sub; set_header X-Path $request.path; }
        route /orders/** { upstream app; auth sso; method GET { scope read:orders; } method POST { scope create:orders; } forward_token bearer; }
        route /open/** { upstream app; public; }
        route /said { public; answer 200 said; }
        route /pages/** { upstream app; auth sso; sign_in https://sso.example.com/?rd=$request.url; }
        route /few { upstream app; public; limit few; }
        host secret.example { route /** { upstream app; auth sso; } }
        host open.example { route /** { upstream app; public; } }
        route /paged { upstream app; auth sso; cors { origin https://page.example; } }
        """

    private let nginx = Ports.free()
    private let traefik = Ports.free()
    private let envoy = Ports.free()
    private let front = Ports.free()
    private let behind = Ports.free()

    private func stage() throws -> Stage {
        let listeners = [(nginx, "nginx"), (traefik, "traefik"), (envoy, "envoy")].map {
            "listen 127.0.0.1:\($0.0) { plaintext; decisions \($0.1); }"
        }
        return try Stage(
            routes: Self.routes,
            general: listeners.joined(separator: "\n")
                + " trusted_proxies 127.0.0.1; limit few { rate 2/hour; key $client.ip; } access_log @DIR@/access.log;",
            workers: 1,
            servers: """
                \(Nginx.echo(behind))
                server { listen 127.0.0.1:\(front);
                  location / { auth_request /decide; auth_request_set $user $upstream_http_x_user_id; auth_request_set $location $upstream_http_location;
                    error_page 401 = @sign_in; proxy_set_header X-User-Id $user; proxy_pass http://127.0.0.1:\(behind); }
                  location @sign_in { if ($location) { return 302 $location; } return 401; }
                  location = /decide { internal; proxy_pass http://127.0.0.1:\(nginx); proxy_pass_request_body off; proxy_set_header Content-Length "";
                    proxy_set_header Host $host; proxy_set_header X-Original-Method $request_method; proxy_set_header X-Original-URI $request_uri;
                    proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto https; } }
                """, serverPorts: [front, behind])
    }

    /// A question, as the proxy of that kind asks it.
    private func ask(_ port: Int, _ path: String, _ fields: [String], method: String = "GET") throws -> String {
        let client = try RawClient(port: port)
        client.send("\(method) \(path) HTTP/1.1\r\n" + fields.map { "\($0)\r\n" }.joined() + "Connection: close\r\n\r\n")
        return client.read()
    }

    private func ask(nginx path: String, _ fields: [String] = [], method: String = "GET") throws -> String {
        try ask(
            nginx, "/anything",
            [
                "Host: a.example", "X-Original-Method: \(method)", "X-Original-URI: \(path)", "X-Forwarded-For: 192.0.2.7",
                "X-Forwarded-Proto: https",
            ] + fields)
    }

    @Test func nginxIsToldWhatItKnows() throws {
        let stage = try stage()
        let token = "Authorization: Bearer \(try stage.signer.token(subject: "ann"))"
        let allowed = try ask(nginx: "/a/%7Eb?x", [token])
        #expect(allowed.hasPrefix("HTTP/1.1 200 ") && allowed.contains("X-User-Id: ann\r\n") && allowed.contains("X-Path: /a/~b\r\n"))
        #expect(allowed.contains("Content-Length: 0\r\n") && allowed.hasSuffix("\r\n\r\n"))
        #expect(try ask(nginx: "/a").hasPrefix("HTTP/1.1 401 ") && ask(nginx: "/a").contains("WWW-Authenticate: Bearer"))
        #expect(try ask(nginx: "/orders/1", [token]).contains("Authorization: Bearer ey"))
        #expect(try ask(nginx: "/orders/1", [token], method: "POST").hasPrefix("HTTP/1.1 403 "))
        #expect(try ask(nginx: "/open/a").hasPrefix("HTTP/1.1 200 "))
        // A question about HEAD has no more body than its own response.
        #expect(try ask(nginx: "/a", [token], method: "HEAD").contains("Content-Length: 0\r\n"))
        // What is neither a yes nor a no that it knows is a no, with the status that is meant.
        for (path, method, status) in [("/orders/1", "DELETE", 405), ("/a%00", "GET", 400), ("/said", "GET", 200)] {
            let answer = try ask(nginx: path, method: method)
            #expect(answer.hasPrefix("HTTP/1.1 403 ") && answer.contains("X-Portcullis-Status: \(status)\r\n"), "\(answer)")
        }
        let preflight = try ask(nginx: "/paged", ["Origin: https://page.example", "Access-Control-Request-Method: GET"], method: "OPTIONS")
        #expect(preflight.hasPrefix("HTTP/1.1 403 "))
        let page = try ask(nginx: "/pages/a", ["Accept: text/html"])
        #expect(
            page.hasPrefix("HTTP/1.1 401 ")
                && page.contains("Location: https://sso.example.com/?rd=https%3A%2F%2Fa.example%2Fpages%2Fa\r\n"))
        // Limits are charged, to the client that the proxy tells.
        for status in [200, 200, 403] { #expect(try ask(nginx: "/few").hasPrefix("HTTP/1.1 \(status) ")) }
        #expect(
            eventually {
                stage.folder.read("access.log").contains(
                    "\"client\":\"192.0.2.7\",\"method\":\"GET\",\"host\":\"a.example\",\"path\":\"/few\"")
            })
        #expect(eventually { stage.folder.read("access.log").contains("\"reason\":\"decision\"") })
        // A question that does not say what it is about is none, nor is one that says it twice.
        for fields in [
            ["Host: a"], ["Host: a", "X-Original-URI: /open/a"],
            ["Host: a", "X-Original-Method: GET", "X-Original-URI: /open/a", "X-Original-URI: /a"],
            ["Host: a", "X-Original-Method: GET", "X-Original-URI: /open/a b"],
            ["Host: a", "X-Original-Method: G ET", "X-Original-URI: /open/a"],
        ] {
            #expect(try !ask(nginx, "/open/a", fields).hasPrefix("HTTP/1.1 200 "), "\(fields)")
        }
    }

    @Test func behindARealNginx() throws {
        let stage = try stage()
        let token = try stage.signer.token(subject: "ann")
        func curl(_ path: String, _ arguments: [String] = []) throws -> Answer {
            try stage.gateway.curl(path, arguments, scheme: "http", port: front)
        }
        #expect(try curl("/a").status == 401)
        let allowed = try curl("/a?x", ["-H", "Authorization: Bearer \(token)", "-H", "X-User-Id: root"])
        #expect(allowed.status == 200 && allowed.echoed("user") == "ann" && allowed.echoed("uri") == "/a?x")
        let page = try curl("/pages/a?x", ["-H", "Accept: text/html", "-H", "Host: app.example"])
        #expect(page.status == 302 && page["location"] == "https://sso.example.com/?rd=https%3A%2F%2Fapp.example%2Fpages%2Fa%3Fx")
        #expect(try curl("/orders/1", ["-X", "POST", "-d", "x", "-H", "Authorization: Bearer \(token)"]).status == 403)
    }

    @Test func otherProxiesAreToldInTheirWords() throws {
        let stage = try stage()
        let token = "Authorization: Bearer \(try stage.signer.token(subject: "ann"))"
        func forward(_ path: String, _ fields: [String] = [], method: String = "GET") throws -> String {
            try ask(
                traefik, "/",
                [
                    "Host: gate", "X-Forwarded-Method: \(method)", "X-Forwarded-Uri: \(path)", "X-Forwarded-Host: app.example",
                    "X-Forwarded-Proto: https", "X-Forwarded-For: 192.0.2.7",
                ] + fields)
        }
        #expect(try forward("/a", [token]).contains("X-User-Id: ann\r\n"))
        let page = try forward("/pages/a", ["Accept: text/html"])
        #expect(page.hasPrefix("HTTP/1.1 302 ") && page.contains("rd=https%3A%2F%2Fapp.example%2Fpages%2Fa\r\n"))
        #expect(
            try forward("/orders/1", [token], method: "DELETE").hasPrefix("HTTP/1.1 405 ") && forward("/said").hasPrefix("HTTP/1.1 403 "))
        #expect(try ask(envoy, "/a?x", ["Host: app.example", "X-Forwarded-For: 192.0.2.7", token]).contains("X-Path: /a\r\n"))
        #expect(
            try ask(envoy, "/orders/1", ["Host: app.example", "X-Forwarded-For: 192.0.2.7", token], method: "POST").hasPrefix(
                "HTTP/1.1 403 "))
        #expect(
            try ask(envoy, "/open/a", ["Host: app.example", "X-Forwarded-For: 192.0.2.7", "Content-Length: 3"]).hasPrefix("HTTP/1.1 200 "))
    }

    /// A client cannot choose what is decided about.
    @Test func theHostIsTheOneThatTheProxyServes() throws {
        let stage = try stage()
        let forged = ["X-Forwarded-Host: open.example", "Forwarded: host=open.example"]
        #expect(
            try ask(
                nginx, "/", ["Host: secret.example", "X-Original-Method: GET", "X-Original-URI: /a", "X-Forwarded-For: 192.0.2.7"] + forged
            ).hasPrefix("HTTP/1.1 401 "))
        #expect(try ask(envoy, "/a", ["Host: secret.example", "X-Forwarded-For: 192.0.2.7"] + forged).hasPrefix("HTTP/1.1 401 "))
        #expect(try ask(envoy, "/a", ["Host: open.example", "X-Forwarded-For: 192.0.2.7"]).hasPrefix("HTTP/1.1 200 "))
        let arguments = forged.flatMap { ["-H", $0] } + ["-H", "Host: secret.example"]
        #expect(try stage.gateway.curl("/a", arguments, scheme: "http", port: front).status == 401)
        // A target with a host of its own, and a question that tells no client, are none.
        #expect(try !ask(nginx: "http://open.example/a").hasPrefix("HTTP/1.1 200 "))
        #expect(try ask(envoy, "/a", ["Host: open.example"]).hasPrefix("HTTP/1.1 400 "))
    }

    /// What is refused before it is known what the question is about is refused too, whatever its form: a call of gRPC is otherwise always 200.
    @Test func noRefusalLooksLikeAYes() throws {
        let port = Ports.free()
        let stage = try Stage(
            routes: "route /** { upstream app; auth sso; }",
            general: """
                listen 127.0.0.1:\(port) { tls { certificate @DIR@/localhost.crt @DIR@/localhost.key; } decisions envoy; } trusted_proxies 127.0.0.1;
                client_limits { fields 20; }
                """)
        let call = ["-H", "Content-Type: application/grpc", "-X", "POST", "-H", "TE: trailers", "-H", "X-Forwarded-For: 192.0.2.7"]
        for more in [[], ["-H", "Expect: something"], (0..<40).flatMap { ["-H", "X-\($0): 1"] }, ["-H", "Forwarded: for=\"x"]] {
            let answer = try stage.gateway.curl("/a.B/C", call + more, port: port)
            #expect(![200, 204].contains(answer.status) && answer["grpc-status"] == nil, "\(more): \(answer.status)")
        }
    }

    /// Questions come over TLS too, in either version of HTTP.
    @Test(arguments: HTTPVersions.all) func questionsComeOverBothVersions(_ version: String) throws {
        let ports = [Ports.free(), Ports.free(), Ports.free()]
        let stage = try Stage(
            version: version, routes: Self.routes,
            general: zip(ports, ["nginx", "traefik", "envoy"]).map { port, kind in
                "listen 127.0.0.1:\(port) { tls { certificate @DIR@/localhost.crt @DIR@/localhost.key; } decisions \(kind); }"
            }.joined(separator: "\n") + " trusted_proxies 127.0.0.1; limit few { rate 2/hour; key $client.ip; }",
            workers: 1)
        let token = ["-H", "Authorization: Bearer \(try stage.signer.token(subject: "ann"))"]
        let client = ["-H", "X-Forwarded-For: 192.0.2.7"]
        func nginx(_ path: String, _ method: String, _ more: [String]) throws -> Answer {
            try stage.gateway.curl(
                "/q", client + ["-H", "X-Original-URI: \(path)", "-H", "X-Original-Method: \(method)"] + more, port: ports[0])
        }
        let allowed = try nginx("/a?x", "GET", token)
        #expect(allowed.status == 200 && allowed["x-user-id"] == "ann" && allowed["x-path"] == "/a")
        #expect(try nginx("/a", "GET", []).status == 401 && nginx("/orders/1", "POST", token).status == 403)
        let page = try nginx("/pages/a", "GET", ["-H", "Accept: text/html"])
        #expect(page.status == 401 && page["location"]?.hasPrefix("https://sso.example.com/?rd=") ?? false)
        for status in [200, 200, 403] { #expect(try nginx("/few", "GET", []).status == status) }
        func traefik(_ path: String, _ more: [String]) throws -> Answer {
            try stage.gateway.curl(
                "/",
                client + [
                    "-H", "X-Forwarded-Uri: \(path)", "-H", "X-Forwarded-Method: GET", "-H", "X-Forwarded-Host: a.example", "-H",
                    "X-Forwarded-Proto: https",
                ] + more,
                port: ports[1])
        }
        #expect(try traefik("/a", token)["x-user-id"] == "ann" && traefik("/a", []).status == 401)
        #expect(try traefik("/pages/a", ["-H", "Accept: text/html"]).status == 302)
        #expect(try stage.gateway.curl("/a?x", client + token, port: ports[2])["x-path"] == "/a")
        #expect(try stage.gateway.curl("/a?x", client, port: ports[2]).status == 401)
        #expect(try stage.gateway.curl("/a?x", token, port: ports[2]).status == 400)
    }

    @Test func strangersAreToldNothing() throws {
        let stage = try stage()
        let client = try RawClient(port: nginx, from: 2)
        client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Original-Method: GET\r\nX-Original-URI: /open/a\r\nConnection: close\r\n\r\n")
        #expect(client.read().hasPrefix("HTTP/1.1 403 "))
        for (listener, expected) in [
            ("plaintext; decisions nginx;", "nobody may ask for decisions"),
            ("redirect https; decisions nginx;", "a listener that redirects decides nothing"),
            ("plaintext; decisions haproxy;", "'decisions' cannot be 'haproxy'"),
        ] {
            let output = try stage.check(stage.configuration("route /** { upstream app; public; }", "listen 127.0.0.1:2 { \(listener) }"))
            #expect(output.status == 1 && output.errors.contains(expected), "\(output.errors)")
        }
    }
}
