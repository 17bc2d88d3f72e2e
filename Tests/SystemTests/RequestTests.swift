import Bytes
import Foundation
import TestSockets
import Testing

@Suite(.serialized) struct RequestTests {
    @Test(arguments: HTTPVersions.all) func letsInWhomTheFileAllowsAndTellsTheUpstreamWhoItIs(version: String) throws {
        let stage = try Stage(version: version)
        let token = try stage.signer.token(subject: "alice")
        let cookie = try stage.gateway.curl(
            "/orders/7?x=1",
            ["-H", "Cookie: theme=dark; access_token=\(token); lang=de", "-H", "X-User-Id: admin", "-H", "x_user_id: admin"])
        #expect(cookie.status == 200)
        #expect(cookie.body.contains("\"user\":\"alice\""))
        #expect(cookie.body.contains("\"uri\":\"/orders/7?x=1\""))
        #expect(cookie.body.contains("\"cookie\":\"theme=dark; lang=de\""))
        #expect(cookie.body.contains("\"xff\":\"127.0.0.1\""))
        #expect(cookie.body.contains("\"proto\":\"https\""))
        let identifier = try #require(cookie["x-request-id"])
        #expect(cookie.body.contains("\"id\":\"\(identifier)\""))
        let bearer = try stage.gateway.curl("/", ["-H", "Authorization: Bearer \(token)"])
        #expect(bearer.status == 200)
        #expect(bearer.body.contains("\"authorization\":\"\""))
        let key = try stage.gateway.curl("/", ["-H", "X-API-KEY: \(token)"])
        #expect(key.status == 200)
        #expect(key.body.contains("\"key\":\"\""))
    }

    @Test(arguments: HTTPVersions.all) func explainsEveryRefusalOfAToken(version: String) throws {
        let stage = try Stage(version: version)
        func get(_ token: String) throws -> Answer { try stage.gateway.curl("/", ["-H", "Authorization: Bearer \(token)"]) }
        func reason(_ answer: Answer) throws -> String {
            let problem = try #require(try JSONSerialization.jsonObject(with: Data(answer.body.utf8)) as? [String: Any])
            for member in ["type", "title", "status", "detail", "instance", "reason", "request_id"] {
                #expect(problem[member] != nil, "no \(member)")
            }
            #expect(problem["status"] as? Int == answer.status)
            #expect(answer["content-type"] == "application/problem+json")
            #expect(problem["request_id"] as? String == answer["x-request-id"])
            return problem["reason"] as? String ?? ""
        }
        let none = try stage.gateway.curl("/")
        #expect(none.status == 401)
        #expect(none["www-authenticate"] == "Bearer realm=\"portcullis\"")
        #expect(try reason(none) == "token_missing")
        let good = try stage.signer.token()
        // One bit of the signature is another.
        var parts = good.split(separator: ".").map(String.init)
        let encoded = Array(parts[2].utf8)
        var signature = Base64URL.decode(encoded.span) ?? []
        try #require(signature.count == 64)
        signature[20] ^= 1
        parts[2] = Credentials.base64URL(Data(signature))
        let forged = parts.joined(separator: ".")
        // The end of a token that the worker has just verified, under another payload.
        #expect(try get(good).status == 200)
        let payload = try stage.signer.token(["sub": "user-2"]).split(separator: ".")[1]
        let goodParts = good.split(separator: ".")
        let swapped = "\(goodParts[0]).\(payload).\(goodParts[2])"
        let other = try Credentials(in: stage.folder, name: "other")
        let cases: [(String, String)] = [
            (forged, "token_signature_invalid"), (swapped, "token_signature_invalid"),
            (try stage.signer.token(expiresIn: -3_600), "token_expired"), (try stage.signer.token(["exp": nil]), "token_expiry_missing"),
            (try stage.signer.token(["iss": "https://evil.example"]), "token_issuer_unknown"),
            (try stage.signer.token(["aud": "other"]), "token_audience_mismatch"),
            (try stage.signer.token(["nbf": Int(Date().timeIntervalSince1970) + 3_600]), "token_not_yet_valid"),
            (try stage.signer.token(["iat": Int(Date().timeIntervalSince1970) + 3_600]), "token_issued_in_future"),
            (try stage.signer.token(["token_type": "refresh"]), "token_claim_unmet"),
            (try stage.signer.token(["exp": "tomorrow"]), "token_claim_malformed"),
            (try stage.signer.token(["exp": 1e300]), "token_claim_malformed"), (try other.token(), "token_key_unknown"),
            ("a.b.c.d.e", "token_encrypted"),
            ("nonsense", "token_malformed"), (String(repeating: "a", count: 17_000), "token_too_large"),
        ]
        for (token, expected) in cases {
            let answer = try get(token)
            #expect(answer.status == 401)
            #expect(try reason(answer) == expected)
            #expect(answer["www-authenticate"]?.contains("error=\"invalid_token\"") == true)
            #expect(!answer.body.contains(token))
        }
        let poor = try get(try stage.signer.token(scopes: ["read:invoices"]))
        #expect(poor.status == 403)
        #expect(try reason(poor) == "scope_missing")
        #expect(poor["www-authenticate"] == "Bearer realm=\"portcullis\", error=\"insufficient_scope\", scope=\"read:orders\"")
        #expect(try get(good).status == 200)
    }

    @Test func aPathThatLeadsElsewhereWithoutItsParametersIsRefused() throws {
        let stage = try Stage(routes: "route /admin/** { upstream app; auth sso; } route /** { upstream app; public; }")
        for path in ["/admin;a=1/x", "/admin%3bx/x", "/admin%3Bx/x", "/admin;/x", "/;a/admin/x"] {
            let answer = try stage.gateway.curl(path)
            #expect(answer.status == 400, "\(path)")
        }
        // Where nothing hangs on them they pass as they are.
        #expect(try stage.gateway.curl("/shop;v=1/x;y=2").body.contains("\"uri\":\"/shop;v=1/x;y=2\""))
        #expect(try stage.gateway.curl("/admin/x;y=2").status == 401)
    }

    @Test func noOtherTokenGoesWithTheOneThatWasVerified() throws {
        let stage = try Stage()
        let conf = stage.configuration().replacingOccurrences(of: "header Authorization; header X-Api-Key;", with: "header X-Api-Key;")
        try stage.gateway.rewrite(conf)
        #expect(stage.gateway.reload())
        let answer = try stage.gateway.curl(
            "/",
            ["-H", "Cookie: access_token=\(try stage.signer.token())", "-H", "Authorization: Bearer stolen", "-H", "X_Api_Key: forged"])
        #expect(answer.status == 200)
        #expect(!answer.body.contains("stolen"))
        #expect(!answer.body.contains("forged"))
    }

    @Test(arguments: HTTPVersions.all) func twoDifferentTokensOfOneCookieNameAreRefused(version: String) throws {
        let stage = try Stage(version: version)
        let (first, second) = (try stage.signer.token(subject: "a"), try stage.signer.token(subject: "b"))
        #expect(try stage.gateway.curl("/", ["-H", "Cookie: access_token=\(first); access_token=\(second)"]).status == 401)
        #expect(try stage.gateway.curl("/", ["-H", "Cookie: access_token=\(first); access_token=\(first)"]).status == 200)
        #expect(
            try stage.gateway.curl("/", ["-H", "Authorization: Bearer \(first)", "-H", "Authorization: Bearer \(second)"]).status == 401)
    }

    @Test(arguments: HTTPVersions.all) func findsRoutesByHostPathAndMethod(version: String) throws {
        let stage = try Stage(
            version: version,
            routes: """
                route /api/orders/** { upstream app; public; method GET HEAD { } method POST { } }
                route /api/orders/special { upstream app; auth sso; }
                route /api/{kind}/list { upstream app; auth sso; require $claim.sub = $path.kind; }
                route /only { host api.example.com; upstream app; public; }
                route /both { upstream app; public; }
                """)
        let token = try stage.signer.token(subject: "mine")
        let bearer = ["-H", "Authorization: Bearer \(token)"]
        #expect(try stage.gateway.curl("/api/orders/7").status == 200)
        #expect(try stage.gateway.curl("/api/orders").status == 200)
        #expect(try stage.gateway.curl("/api/orders/special").status == 401)
        #expect(try stage.gateway.curl("/api/orders/special/").status == 401)
        #expect(try stage.gateway.curl("/api/orders/%73pecial").status == 401)
        #expect(try stage.gateway.curl("/api/mine/list", bearer).status == 200)
        #expect(try stage.gateway.curl("/api/yours/list", bearer).status == 403)
        #expect(try stage.gateway.curl("/nothing").status == 404)
        let refused = try stage.gateway.curl("/api/orders/7", ["-X", "DELETE"])
        #expect(refused.status == 405)
        #expect(refused["allow"] == "GET, HEAD, POST")
        #expect(try stage.gateway.curl("/only").status == 404)
        #expect(try stage.gateway.curl("/only", ["-H", "Host: API.example.com:443"]).status == 200)
        for path in ["/api/orders/../x", "/%00", "/a/..;/b", "/%2e%2e/"] { #expect(try stage.gateway.curl(path).status == 400) }
    }

    /// A browser sends no token with a preflight, and its response is the service's to give.
    @Test(arguments: HTTPVersions.all) func preflightsMayBeEverybodys(version: String) throws {
        let stage = try Stage(
            version: version,
            routes: """
                route /** { upstream app; auth sso; scope read:orders; limit per_user; set_header X-User-Id $claim.sub;
                            method GET { } method OPTIONS { public; } }
                """, general: "limit per_user { rate 100/minute; key $claim.sub; }")
        #expect(try stage.gateway.curl("/", ["-X", "OPTIONS", "-H", "X-User-Id: forged"]).body.contains("\"user\":\"\""))
        #expect(try stage.gateway.curl("/").status == 401)
        #expect(try stage.gateway.curl("/", ["-X", "POST"]).status == 405)
        #expect(try stage.gateway.curl("/", ["-H", "Authorization: Bearer \(try stage.signer.token())"]).status == 200)
    }

    @Test(arguments: HTTPVersions.all) func rewritesWhatTheRouteSays(version: String) throws {
        let stage = try Stage(
            version: version,
            routes: """
                route /v1/orders/** { upstream app; auth sso; strip_prefix /v1; add_prefix /internal; forward_host backend.internal;
                                      forward_token bearer; set_header X-User-Id $claim.sub; set_header X-Odd "$path.none$request.method-$client.ip"; }
                route /plain/** { upstream app; public; }
                """.replacingOccurrences(of: "$path.none", with: ""))
        let token = try stage.signer.token(subject: "alice")
        let answer = try stage.gateway.curl("/v1/orders/7/?q=1", ["-H", "Cookie: access_token=\(token)"])
        #expect(answer.status == 200)
        #expect(answer.body.contains("\"uri\":\"/internal/orders/7/?q=1\""))
        #expect(answer.body.contains("\"host\":\"backend.internal\""))
        #expect(answer.body.contains("\"authorization\":\"Bearer \(token)\""))
        #expect(answer.body.contains("\"odd\":\"GET-127.0.0.1\""))
        // What one route sets is taken from requests to every route.
        let plain = try stage.gateway.curl(
            "/plain/",
            [
                "-H", "X-User-Id: admin", "-H", "X.Odd: 1", "-H", "Connection: X-Nominated", "-H", "X-Forwarded-For: 1.2.3.4", "-H",
                "X-Request-Id: mine-mine-mine", "-H", "Authorization: Basic YWxpY2U6eA==",
            ])
        // But for Authorization, which is judged for each route: Basic is no credential for the gateway.
        #expect(plain.body.contains("\"authorization\":\"Basic YWxpY2U6eA==\""))
        #expect(plain.body.contains("\"user\":\"\""))
        #expect(plain.body.contains("\"odd\":\"\""))
        #expect(plain.body.contains("\"xff\":\"127.0.0.1\""))
        #expect(!plain.body.contains("mine-mine-mine"))
        // A value that a header would change on its way is not passed on.
        let spaced = try stage.signer.token(subject: " admin")
        #expect(try stage.gateway.curl("/v1/orders/7", ["-H", "Cookie: access_token=\(spaced)"]).status == 403)
        // Nor is a list of which an element would look like two, whether or not the request takes part in the value.
        for rule in ["$claim.groups", "$request.method-$claim.groups"] {
            try stage.gateway.rewrite(stage.configuration("route /** { upstream app; auth sso; set_header X-Odd \"\(rule)\"; }"))
            #expect(stage.gateway.reload())
            for (groups, status) in [(["a", "b"], 200), (["a", "b,admin"], 403)] {
                let token = try stage.signer.token(["groups": groups])
                #expect(try stage.gateway.curl("/", ["-H", "Authorization: Bearer \(token)"]).status == status)
            }
        }
    }

    /// Connections of one address share what is said of it; over what each came is its own.
    @Test func eachConnectionIsToldByItsOwnWay() throws {
        let (stage, port) = try plainStage(routes: "route /** { upstream app; public; } route /in { upstream app; auth sso; }")
        for _ in 0..<2 {
            let secure = try stage.gateway.curl("/")
            #expect(secure.body.contains("\"proto\":\"https\""))
            #expect(secure.body.contains("\"xff\":\"127.0.0.1\""))
            for host in [UInt8(1), 2] {
                let client = try RawClient(port: port, from: host)
                client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                let clear = client.read(until: "}")
                #expect(clear.contains("\"proto\":\"http\""))
                #expect(clear.contains("\"xff\":\"127.0.0.\(host)\"") && clear.contains("for=127.0.0.\(host);"))
            }
        }
    }

    @Test(arguments: HTTPVersions.all) func believesTrustedProxiesAlone(version: String) throws {
        let stage = try Stage(
            version: version,
            routes: "route /** { upstream app; public; set_header X-Odd $client.ip; } route /in { upstream app; auth sso; }",
            general: "trusted_proxies 127.0.0.0/8 10.0.0.0/8;")
        let answer = try stage.gateway.curl(
            "/", ["-H", "X-Forwarded-For: 6.6.6.6, 203.0.113.9, 10.1.2.3", "-H", "X-Request-Id: abcdefgh-1"])
        #expect(answer.body.contains("\"odd\":\"203.0.113.9\""))
        #expect(answer.body.contains("\"xff\":\"6.6.6.6, 203.0.113.9, 10.1.2.3, 127.0.0.1\""))
        #expect(answer.body.contains("\"id\":\"abcdefgh-1\""))
    }

    @Test(arguments: HTTPVersions.all) func answersBrowsersWithAPage(version: String) throws {
        let stage = try Stage(version: version)
        let page = try stage.gateway.curl("/", ["-H", "Accept: text/html,application/xhtml+xml", "-H", "Sec-Fetch-Mode: navigate"])
        #expect(page.status == 401)
        #expect(page["content-type"] == "text/html; charset=utf-8")
        #expect(page.body.contains("<h1>Unauthorized</h1>"))
    }

    @Test func redirectsToHTTPS() throws {
        let port = Ports.free()
        let stage = try Stage(general: "listen 127.0.0.1:\(port) { redirect https; }")
        let answer = try stage.gateway.curl("/a?b=c", ["-H", "Host: www.example.com:8080"], scheme: "http", port: port)
        #expect(answer.status == 308)
        #expect(answer["location"] == "https://www.example.com:\(stage.gateway.port)/a?b=c")
        let whole = try RawClient(port: port)
        whole.send("GET http://a.example/x?y HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
        #expect(whole.read().contains("\r\nLocation: https://a.example:\(stage.gateway.port)/x?y\r\n"))
        let nameless = try RawClient(port: port)
        nameless.send("GET / HTTP/1.0\r\n\r\n")
        let refused = nameless.read()
        #expect(refused.hasPrefix("HTTP/1.1 400 ") && refused.contains("request_missing_host"))
        for (word, place) in [("443", "https://a.example/"), ("8443", "https://a.example:8443/")] {
            try stage.gateway.rewrite(stage.configuration(Stage.usualRoute, "listen 127.0.0.1:\(port) { redirect https \(word); }"))
            try #require(stage.gateway.reload())
            #expect(try stage.gateway.curl("/", ["-H", "Host: a.example"], scheme: "http", port: port)["location"] == place)
        }
    }

    @Test func someRequestsAreServedInClear() throws {
        let port = Ports.free()
        let stage = try Stage(
            routes: Stage.usualRoute + " route /.well-known/acme-challenge/** { upstream app; public; }",
            general: "listen 127.0.0.1:\(port) { redirect https except /.well-known/acme-challenge/** /x; }")
        func ask(_ path: String) throws -> Answer { try stage.gateway.curl(path, scheme: "http", port: port) }
        let challenge = try ask("/.well-known/acme-challenge/a")
        #expect(
            challenge.status == 200 && challenge.echoed("uri") == "/.well-known/acme-challenge/a" && challenge.echoed("proto") == "http")
        #expect(try ask("/.well-known/acme-challenge/%61").status == 200)
        // What is served in clear is held to its route all the same.
        #expect(try ask("/x").status == 401)
        // Another spelling of a way out of it leads to https, or nowhere.
        for path in ["/", "/y", "/.well-known/other"] {
            #expect(try ask(path).status == 308, "\(path)")
        }
        for path in ["/.well-known/acme-challenge/../y", "/.well-known/acme-challenge/..%2fy", "/.well-known/acme-challenge/%2e%2e;/y"] {
            #expect([308, 400].contains(try ask(path).status), "\(path)")
        }
    }

    @Test(arguments: HTTPVersions.all) func writesALineForEachRequestAndAnotherForRefusals(version: String) throws {
        let folder = TemporaryFolder()
        let stage = try Stage(
            version: version,
            routes: "route /** { upstream app; auth sso; scope read:orders; limit few; }",
            general:
                "access_log \(folder.path)/access.log; security_log \(folder.path)/security.log;\nlimit few { rate 100/minute; key $claim.sub; }"
        )
        let token = try stage.signer.token(subject: "alice")
        let good = try stage.gateway.curl("/a/b?secret=1", ["-H", "Authorization: Bearer \(token)"])
        let refused = try stage.gateway.curl(
            "/x",
            ["-A", "evil\"agent\u{9b}31m", "-H", "Authorization: Bearer \(try stage.signer.token(subject: "mallory", expiresIn: -3_600))"])
        func line(_ name: String, _ answer: Answer) throws -> [String: Any] {
            let identifier = try #require(answer["x-request-id"])
            var found: Substring?
            #expect(
                eventually {
                    found = folder.read(name).split(separator: "\n").first { $0.contains(identifier) }; return found != nil
                })
            let text = try #require(found)
            return try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
        }
        let entry = try line("access.log", good)
        #expect(entry["status"] as? Int == 200)
        #expect(entry["path"] as? String == "/a/b")
        #expect(entry["subject"] as? String == "alice")
        #expect(entry["issuer"] as? String == "sso")
        #expect(entry["decision"] as? String == "forwarded")
        #expect((entry["limits"] as? [[String: Any]])?.first?["name"] as? String == "few")
        for name in [
            "time", "id", "client", "method", "host", "route", "bytes_in", "bytes_out", "ms", "ms_auth", "ms_limit", "ms_upstream",
            "upstream",
        ] { #expect(entry[name] != nil, "no \(name)") }
        #expect((entry["policy"] as? String)?.count == 12)
        #expect(entry["needs"] as? [String] == ["read:orders"] && (entry["held"] as? [String])?.contains("read:orders") ?? false)
        let denial = try line("security.log", refused)
        #expect(denial["policy"] as? String == entry["policy"] as? String)
        #expect(denial["reason"] as? String == "token_expired")
        #expect(denial["claimed_subject"] as? String == "mallory")
        #expect(denial["client"] as? String == "127.0.0.1")
        #expect((denial["user_agent"] as? String)?.contains("agent") == true)
        // No token and no raw control character reaches a log.
        for name in ["access.log", "security.log"] {
            let text = folder.read(name)
            #expect(!text.contains(String(token.suffix(40))))
            #expect(!text.contains("\u{9b}"))
        }
        #expect(!folder.read("access.log").contains("secret=1"))
        // After SIGUSR1 the lines go to a new file.
        try FileManager.default.moveItem(atPath: folder.path + "/access.log", toPath: folder.path + "/access.log.1")
        stage.gateway.program.signal(SIGUSR1)
        #expect(eventually { FileManager.default.fileExists(atPath: folder.path + "/access.log") })
        let later = try stage.gateway.curl("/", ["-H", "Authorization: Bearer \(token)"])
        _ = try line("access.log", later)
    }

    @Test(arguments: HTTPVersions.all) func aRouteMayAskForTheFormOfARequest(version: String) throws {
        let stage = try Stage(
            version: version,
            routes: """
                route /json/** { public; upstream app; require_content_type application/json image/*; max_query 10; max_fields 8; }
                route /** { public; upstream app; }
                """)
        func status(_ path: String, _ arguments: [String] = []) throws -> (Int, String) {
            let answer = try stage.gateway.curl(path, arguments)
            let problem = (try? JSONSerialization.jsonObject(with: Data(answer.body.utf8)) as? [String: Any])?["reason"] as? String
            return (answer.status, problem ?? "")
        }
        func post(_ type: String) throws -> (Int, String) { try status("/json/a", ["-d", "{}", "-H", "Content-Type:\(type)"]) }
        #expect(try status("/json/a") == (200, ""))
        for type in [" application/json", " Application/JSON; charset=utf-8", " image/png"] { #expect(try post(type).0 == 200, "\(type)") }
        for type in [" text/plain", " application/jsonp", " image/", " application/json, text/plain", ""] {
            #expect(try post(type) == (415, "content_type_not_accepted"), "\(type)")
        }
        let twice = ["-d", "{}", "-H", "Content-Type: application/json", "-H", "Content-Type: text/plain"]
        #expect(try status("/json/a", twice) == (415, "content_type_not_accepted"))
        // A body of unknown length is one, too.
        let chunked = ["-d", "{}", "-H", "Transfer-Encoding: chunked", "-H", "Content-Type: text/plain"]
        #expect(try status("/json/a", chunked).0 == 415)
        #expect(try status("/json/a?123456789").0 == 200)
        #expect(try status("/json/a?12345678901") == (414, "query_too_long"))
        let many = (0..<12).flatMap { ["-H", "X-\($0): a"] }
        #expect(try status("/json/a", many) == (431, "too_many_fields"))
        #expect(try status("/other?12345678901", many + ["-d", "{}", "-H", "Content-Type: text/plain"]).0 == 200)
        let explained = try run(
            Executable.portcullis,
            [
                "explain", "-c", "\(stage.folder.path)/gateway.conf", "GET", "https://127.0.0.1/json/a?12345678901",
            ])
        #expect(explained.text.contains("content type application/json image/*, query of 10 bytes"), "\(explained.text)\(explained.errors)")
    }
}
