import Foundation
import TestSockets
import Testing

/// A service that says who may come, as the test scripts it; keeps the heads that it was sent.
final class ScriptedAuthorizer: Sendable {
    private let server: ScriptedServer
    let heads = Box<[String]>([])
    var port: Int { server.port }

    /// - Parameter respond: the response to a head, to its last byte; nil to close.
    init(_ respond: @escaping @Sendable (_ head: String) -> String?) throws {
        server = try ScriptedServer { [heads] client, _ in
            while true {
                let head = client.read(until: "\r\n\r\n", silence: 60_000)
                guard head.contains("\r\n\r\n") else { return }
                heads.change { $0.append(head) }
                guard let response = respond(head) else { return }
                client.send(response)
            }
        }
    }

    static func response(_ status: Int, _ fields: [String] = [], body: String = "") -> String {
        (["HTTP/1.1 \(status) Said", "Content-Length: \(body.utf8.count)"] + fields).joined(separator: "\r\n") + "\r\n\r\n" + body
    }

    /// As a session service does: the cookie `session=NAME` lets NAME in.
    static func session(_ head: String) -> String? {
        guard let range = head.range(of: "session=") else {
            return response(
                401, ["WWW-Authenticate: Session realm=\"x\"", "Set-Cookie: seen=1; Path=/", "Location: https://sso.example/login"])
        }
        let name = head[range.upperBound...].prefix { $0.isLetter || $0.isNumber }
        if name == "banned" { return response(403) }
        return response(
            200,
            ["Remote-User: \(name)", "Remote-Groups: staff, \(name == "root" ? "admins" : "users")", "Remote-Scopes: read:orders"],
            body: "welcome")
    }

    func sent(_ name: String, at index: Int = -1) -> String? {
        let head = index < 0 ? heads.value.last : heads.value[index]
        return head?.components(separatedBy: "\r\n").first { $0.lowercased().hasPrefix(name.lowercased() + ": ") }.map {
            String($0.dropFirst(name.count + 2))
        }
    }
}

/// External authorization: `authorizer`.
@Suite(.serialized) struct AuthorizerTests {
    private func stage(
        _ authorizer: ScriptedAuthorizer, _ version: String = HTTPVersions.two, more: String = "", routes: String? = nil, workers: Int = 2
    ) throws -> Stage {
        try Stage(
            version: version,
            routes: routes
                ?? """
                route /** { upstream app; auth gate; set_header X-User-Id $claim.user; set_header X-Odd $claim.groups; }
                route /admin/** { upstream app; auth gate; require $claim.groups in admins; }
                route /orders/** { upstream app; auth gate; scope read:orders; }
                route /open/** { upstream app; public; }
                route /both/** { upstream app; auth sso gate; set_header X-User-Id '$claim.sub'; }
                route /any/** { upstream app; auth any sso gate; }
                """,
            general: """
                authorizer gate {
                    server 127.0.0.1:\(authorizer.port);
                    path /verify?from=gateway;
                    send X-Tenant $header.x-tenant;
                    claim user Remote-User; claim sub Remote-User; claim groups Remote-Groups list; claim scopes Remote-Scopes list;
                    \(more.contains("timeout") ? "" : "timeout 1s;")
                    \(more)
                }
                access_log @DIR@/access.log; security_log @DIR@/security.log;
                """, workers: workers)
    }

    private func with(_ cookie: String) -> [String] { ["-H", "Cookie: a=b; \(cookie)"] }

    @Test(arguments: HTTPVersions.all) func itSaysWhoComes(version: String) throws {
        let authorizer = try ScriptedAuthorizer(ScriptedAuthorizer.session)
        let stage = try stage(authorizer, version)
        let path = "/a/%7Eb/./c?x=1&y=%2F"
        let fields = [
            "-H", "Accept: text/plain", "-A", "tester", "-H", "Authorization: Basic YTpi", "-H", "X-Tenant: t1", "-H", "Remote-User: root",
            "-H", "X-Forwarded-Uri: /open",
        ]
        let allowed = try stage.gateway.curl(path, with("session=ann") + fields)
        #expect(allowed.status == 200)
        #expect(allowed.echoed("user") == "ann" && allowed.echoed("odd") == "staff,users" && allowed.echoed("cookie") == "a=b; session=ann")
        // What it is told: the path that is gone by, the credentials as they came, and no word of the client about itself.
        #expect(
            authorizer.heads.value.last?.hasPrefix("GET /verify?from=gateway HTTP/1.1\r\nHost: 127.0.0.1:\(authorizer.port)\r\n") ?? false)
        let url = "127.0.0.1:\(stage.gateway.port)/a/~b/c?x=1&y=%2F"
        for (name, value) in [
            ("Cookie", "a=b; session=ann"), ("Authorization", "Basic YTpi"), ("Accept", "text/plain"), ("User-Agent", "tester"),
            ("X-Tenant", "t1"), ("X-Original-URL", "https://\(url)"), ("X-Original-URI", "/a/~b/c?x=1&y=%2F"),
            ("X-Forwarded-Uri", "/a/~b/c?x=1&y=%2F"), ("X-Original-Method", "GET"), ("X-Forwarded-Method", "GET"),
            ("X-Forwarded-For", "127.0.0.1"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "127.0.0.1:\(stage.gateway.port)"),
            ("X-Forwarded-Port", "\(stage.gateway.port)"), ("X-Request-Id", allowed.echoed("id") ?? "?"),
        ] { #expect(authorizer.sent(name) == value, "\(name)") }
        #expect(authorizer.sent("Remote-User") == nil)
        // A body is the service's behind, and not the authorizer's.
        #expect(try stage.gateway.curl("/a", with("session=ann") + ["-d", String(repeating: "x", count: 100_000)]).status == 200)
        #expect(authorizer.sent("X-Original-Method") == "POST" && authorizer.sent("Content-Length") == nil)
        #expect(authorizer.heads.value.last?.hasPrefix("GET ") ?? false)
        // Its claims serve as a token's do.
        #expect(try stage.gateway.curl("/admin/x", with("session=ann")).status == 403)
        #expect(try stage.gateway.curl("/admin/x", with("session=root")).status == 200)
        #expect(try stage.gateway.curl("/orders/x", with("session=ann")).status == 200)
        #expect(eventually { stage.folder.read("access.log").contains("\"subject\":\"root\",\"issuer\":\"gate\"") })
        // It is not asked where nobody is.
        let asked = authorizer.heads.value.count
        #expect(try stage.gateway.curl("/open/x").status == 200)
        #expect(authorizer.heads.value.count == asked)
    }

    @Test(arguments: HTTPVersions.all) func itRefuses(version: String) throws {
        let authorizer = try ScriptedAuthorizer(ScriptedAuthorizer.session)
        let stage = try stage(authorizer, version, more: "pass_response Set-Cookie;")
        let missing = try stage.gateway.curl("/a")
        #expect(missing.status == 401 && missing["www-authenticate"] == "Session realm=\"x\"" && missing["set-cookie"] == "seen=1; Path=/")
        #expect(missing["location"] == nil && missing.body.contains("\"reason\":\"authorizer_unauthenticated\""))
        let banned = try stage.gateway.curl("/a", with("session=banned"))
        #expect(banned.status == 403 && banned.body.contains("authorizer_forbidden"))
        #expect(eventually { stage.folder.read("security.log").contains("authorizer_forbidden") })
    }

    @Test(arguments: HTTPVersions.all) func whatItGivesToTheClientArrives(version: String) throws {
        let authorizer = try ScriptedAuthorizer { _ in
            ScriptedAuthorizer.response(200, ["Set-Cookie: fresh=1; HttpOnly", "Remote-User: ann", "X-Secret: no"])
        }
        let stage = try stage(authorizer, version, more: "pass_response Set-Cookie;")
        let answer = try stage.gateway.curl("/a")
        #expect(answer.status == 200 && answer["set-cookie"] == "fresh=1; HttpOnly" && answer["x-secret"] == nil)
        // What was for one response is not in the next.
        #expect(try stage.gateway.curl("/open/x")["set-cookie"] == nil)
    }

    @Test(arguments: HTTPVersions.all) func severalCredentialsAreTriedInOrder(version: String) throws {
        let authorizer = try ScriptedAuthorizer(ScriptedAuthorizer.session)
        let stage = try stage(authorizer, version)
        func bearer(_ token: String) -> [String] { ["-H", "Authorization: Bearer \(token)"] }
        let good = try bearer(stage.signer.token(subject: "tok"))
        let old = try bearer(stage.signer.token(expiresIn: -600))
        // A token that is there decides.
        let byToken = try stage.gateway.curl("/both/a", good)
        #expect(byToken.status == 200 && byToken.body.contains("\"user\":\"tok\"") && authorizer.heads.value.isEmpty)
        #expect(try stage.gateway.curl("/both/a", old + with("session=ann")).status == 401 && authorizer.heads.value.isEmpty)
        let bySession = try stage.gateway.curl("/both/a", with("session=ann"))
        #expect(bySession.status == 200 && bySession.body.contains("\"user\":\"ann\""))
        #expect(try stage.gateway.curl("/both/a").body.contains("authorizer_unauthenticated"))
        // With `any` the first that lets in.
        #expect(try stage.gateway.curl("/any/a", good).status == 200)
        #expect(try stage.gateway.curl("/any/a", old + with("session=ann")).status == 200)
        #expect(try stage.gateway.curl("/any/a", old).body.contains("authorizer_unauthenticated"))
        #expect(try stage.gateway.curl("/any/a", old + with("session=banned")).status == 403)
    }

    @Test(arguments: HTTPVersions.all) func withoutASayNobodyComesIn(version: String) throws {
        let mode = Box("")
        let authorizer = try ScriptedAuthorizer { head in
            switch mode.value {
            case "hang":
                // Longer than its timeout.
                usleep(3_000_000)
                return nil
            case "fields": return ScriptedAuthorizer.response(200, ["X-Big: \(String(repeating: "x", count: 1_000_000))"])
            case "close": return nil
            case "short": return "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx"
            case "endless":
                return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                    + String(repeating: "400\r\n\(String(repeating: "x", count: 1_024))\r\n", count: 100)
            case "odd": return "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"
            case "two": return ScriptedAuthorizer.response(200, ["Remote-User: ann", "Remote-User: root"])
            case "latin": return "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nRemote-User: \u{FF}\r\n\r\n"
            case let status: return ScriptedAuthorizer.response(Int(status) ?? 500)
            }
        }
        let stage = try stage(authorizer, version)
        for kind in ["hang", "fields", "close", "short", "endless", "odd", "two", "500", "404", "400", "302", "304"] {
            mode.value = kind
            let answer = try stage.gateway.curl("/a", with("session=ann"))
            if kind == "302" {
                #expect(answer.status == 401, "\(kind)")
            } else {
                #expect(
                    answer.status == 503 && answer.body.contains("authorizer_unavailable") && answer["retry-after"] != nil,
                    "\(kind): \(answer.status)")
            }
            // Other routes do not know of it.
            #expect(try stage.gateway.curl("/open/x").status == 200)
        }
        mode.value = "200"
        #expect(try stage.gateway.curl("/a", with("session=ann")).status == 200)
        for detail in [
            "it did not respond within its timeout", "it responded with status 404", "its response has two different fields Remote-User",
        ] {
            #expect(eventually { stage.folder.read("access.log").contains("\"detail\":\"gate: \(detail)\"") }, "\(detail)")
        }
    }

    @Test(arguments: HTTPVersions.all) func itIsDown(version: String) throws {
        let authorizer = try ScriptedAuthorizer(ScriptedAuthorizer.session)
        let stage = try stage(
            authorizer, version,
            routes: """
                authorizer down { server 127.0.0.1:\(Ports.free()); claim user X; }
                authorizer socket { server unix:@DIR@/none.sock; }
                route /down/** { upstream app; auth down; } route /socket/** { upstream app; auth socket; }
                route /either/** { upstream app; auth any down gate; } route /** { upstream app; auth any gate down; }
                """)
        #expect(try stage.gateway.curl("/down/a").status == 503)
        #expect(try stage.gateway.curl("/socket/a").status == 503)
        // Another credential may do; without one nobody knows.
        #expect(try stage.gateway.curl("/either/a", with("session=ann")).status == 200)
        #expect(try stage.gateway.curl("/either/a").status == 503)
        #expect(try stage.gateway.curl("/else", with("session=banned")).status == 503)
    }

    @Test(arguments: HTTPVersions.all) func whatItSaidIsRemembered(version: String) throws {
        let authorizer = try ScriptedAuthorizer { head in
            if head.contains("session=fresh") {
                return ScriptedAuthorizer.response(200, ["Remote-User: fresh", "Cache-Control: private, no-store"])
            }
            if head.contains("session=given") { return ScriptedAuthorizer.response(200, ["Remote-User: given", "Set-Cookie: x=1"]) }
            if head.contains("Basic") { return ScriptedAuthorizer.response(200, ["Remote-User: basic"]) }
            return ScriptedAuthorizer.session(head)
        }
        let stage = try stage(authorizer, version, more: "cache 1h $cookie.session; pass_response Set-Cookie;", workers: 1)
        func ask(_ path: String, _ arguments: [String]) throws -> (user: String?, calls: Int) {
            let before = authorizer.heads.value.count
            let answer = try stage.gateway.curl(path, arguments)
            return (answer.status == 200 ? answer.echoed("user") : "\(answer.status)", authorizer.heads.value.count - before)
        }
        #expect(try ask("/a", with("session=ann")) == ("ann", 1))
        #expect(try ask("/a", with("session=ann")) == ("ann", 0))
        // Another session, path, query, method, tenant or Authorization is another request.
        #expect(try ask("/a", with("session=bob")) == ("bob", 1))
        #expect(try ask("/b", with("session=ann")) == ("ann", 1))
        #expect(try ask("/a?x", with("session=ann")) == ("ann", 1))
        #expect(try ask("/a", with("session=ann") + ["-X", "DELETE"]) == ("ann", 1))
        #expect(try ask("/a", with("session=ann") + ["-H", "X-Tenant: 2"]) == ("ann", 1))
        #expect(try ask("/a", with("session=ann") + ["-H", "Authorization: Basic YTpi"]) == ("basic", 1))
        // Who brings nothing that the file names is not taken for another.
        #expect(try ask("/a", ["-H", "Authorization: Basic YTpi"]) == ("basic", 1))
        #expect(try ask("/a", []).user == "401")
        #expect(try ask("/a", []).calls == 1)
        // One that stands twice with two values is not taken for none.
        #expect(try ask("/a", ["-H", "Cookie: session=ann; session=bob"]).calls == 1)
        #expect(try ask("/a", ["-H", "Cookie: session=ann; session=bob"]).calls == 1)
        // By its own word, and with what is for one client alone, it is not remembered.
        for name in ["fresh", "given"] { for _ in 0..<2 { #expect(try ask("/a", with("session=\(name)")) == (name, 1)) } }
        // A refusal holds for a second at most.
        #expect(try ask("/a", with("session=banned")).user == "403")
        #expect(eventually(within: 20) { (try? ask("/a", with("session=banned")))?.calls == 1 })
    }

    @Test(arguments: HTTPVersions.all) func streamsAreAskedForAgain(version: String) throws {
        let mode = Box("")
        let authorizer = try ScriptedAuthorizer { head in
            switch mode.value {
            case "refuse": ScriptedAuthorizer.response(403)
            case "other": ScriptedAuthorizer.response(200, ["Remote-User: bob"])
            case "away": ScriptedAuthorizer.response(500)
            default: ScriptedAuthorizer.session(head)
            }
        }
        let events = try ScriptedServer { client, _ in
            _ = client.read(until: "\r\n\r\n")
            client.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
            _ = client.read(silence: 60_000)
        }
        let stage = try stage(
            authorizer, version, more: "recheck 1s;",
            routes: "upstream events { server 127.0.0.1:\(events.port); } route /** { upstream events; auth gate; }")
        for ending in ["refuse", "other", "away"] {
            mode.value = ""
            let before = authorizer.heads.value.count
            let listener = try Program(
                Executable.curl, [version, "-skN", "-m", "60", "-H", "Cookie: session=ann", "https://127.0.0.1:\(stage.gateway.port)/x?y"],
                log: "\(stage.folder.path)/\(ending)")
            // It goes on for as long as it may.
            #expect(eventually { listener.log.contains("hello") && authorizer.heads.value.count >= before + 3 })
            #expect(listener.isRunning && authorizer.sent("X-Original-URI") == "/x?y" && authorizer.sent("Cookie") == "session=ann")
            mode.value = ending
            #expect(eventually(within: 30) { !listener.isRunning }, "\(ending)")
        }
        #expect(eventually { stage.folder.read("access.log").components(separatedBy: "authorizer_forbidden").count == 4 })
    }

    @Test func itIsAskedOverEveryKindOfConnection() throws {
        let (folder, ports) = (TemporaryFolder(), (0..<3).map { _ in Ports.free() })
        try Credentials.certificate(in: folder, name: "gate", names: ["gate.example"])
        let location = "location / { add_header Remote-User $http_x_original_method-$server_protocol-$http_cookie; return 204; }"
        let nginx = try Nginx(
            """
            server { listen 127.0.0.1:\(ports[0]); \(location) } server { listen 127.0.0.1:\(ports[1]) http2; \(location) }
            server { listen 127.0.0.1:\(ports[2]) ssl; ssl_certificate \(folder.path)/gate.crt; ssl_certificate_key \(folder.path)/gate.key; \(location) }
            server { listen unix:\(folder.path)/gate.sock; \(location) }
            """, in: folder, ports: ports)
        func route(_ name: String, _ servers: String) -> String {
            "authorizer \(name) { \(servers) claim user Remote-User; } route /\(name)/** { upstream app; auth \(name); set_header X-User-Id $claim.user; }"
        }
        let tls = "tls { trusted_certificate \(folder.path)/gate.crt; server_name gate.example; }"
        let stage = try Stage(
            routes: [
                route("plain", "server 127.0.0.1:\(ports[0]);"), route("two", "server 127.0.0.1:\(ports[1]); protocol h2;"),
                route("secure", "server 127.0.0.1:\(ports[2]); \(tls)"), route("socket", "server unix:\(folder.path)/gate.sock;"),
                "upstream gates { server 127.0.0.1:\(ports[0]); }", route("named", "upstream gates;"),
            ].joined(separator: "\n"))
        for version in HTTPVersions.all {
            stage.gateway.version = version
            for (name, http) in [("plain", "1.1"), ("two", "2.0"), ("secure", "1.1"), ("socket", "1.1"), ("named", "1.1")] {
                // Over HTTP/2 a client may send each cookie in a field of its own.
                let answer = try stage.gateway.curl("/\(name)/a", ["-X", "PUT", "-H", "Cookie: a=1; b=2"])
                #expect(answer.status == 200 && answer.echoed("user") == "PUT-HTTP/\(http)-a=1; b=2", "\(name): \(answer.body)")
            }
        }
        nginx.stop()
        #expect(try stage.gateway.curl("/plain/a").status == 503 && stage.gateway.curl("/two/a").status == 503)
    }

    /// Responses of bytes that were changed, cut off or doubled: nothing of them opens a route, or is remembered for another client.
    @Test func whatAnAuthorizerMakesUpOpensNothing() throws {
        var random = SystemRandomNumberGenerator()
        let evil = Box<String?>(nil)
        let authorizer = try ScriptedAuthorizer { head in head.contains("session=evil") ? evil.value : ScriptedAuthorizer.session(head) }
        let stage = try stage(authorizer, more: "timeout 300ms; cache 1m $cookie.session;")
        let good =
            "HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\nRemote-User: root\r\nRemote-Groups: admins\r\nCache-Control: max-age=60\r\n\r\nhello"
        for _ in 0..<150 {
            var bytes = Array(good.utf8)
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                // The status itself stays what it is, or is no number.
                let place = Int.random(in: 12..<bytes.count, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: bytes[place] = UInt8.random(in: 0...127, using: &random)
                case 1: bytes.remove(at: place)
                case 2: bytes.insert(contentsOf: bytes[place...].prefix(7), at: place)
                default: bytes.removeLast(min(bytes.count - 13, Int.random(in: 0..<30, using: &random)))
                }
                if bytes.count < 14 { break }
            }
            evil.value = String(decoding: bytes, as: UTF8.self)
            let answer = try stage.gateway.curl("/admin/\(Int.random(in: 0..<5, using: &random))", with("session=evil"))
            #expect(answer.status == 403 || answer.status == 503, "\(answer.status) for \(evil.value ?? "")")
        }
        #expect(try stage.gateway.curl("/admin/1", with("session=root")).status == 200)
        #expect(try stage.gateway.curl("/admin/1", with("session=ann")).status == 403)
    }

    /// A variable that everybody has a value for does not make two clients one, nor does waiting for the same answer.
    @Test func whatOneIsToldIsForThatOneAlone() throws {
        let (gate, number) = (Flag(), Box(0))
        let authorizer = try ScriptedAuthorizer { head in
            eventually { gate.isSet }
            let count = number.change { $0 += 1 }
            return ScriptedAuthorizer.response(200, ["Remote-User: u\(count)", "Set-Cookie: state=\(count)"])
        }
        let stage = try stage(
            authorizer, more: "timeout 30s; cache 1m only $cookie.session $request.host; pass_response Set-Cookie;", workers: 1)
        let gateway = stage.gateway!
        let cookies = Box<[String]>([])
        for name in ["one", "two", "three"] {
            Thread {
                let answer = try? gateway.curl("/same", ["-H", "Cookie: session=\(name == "three" ? "x" : "same")"])
                cookies.change { $0.append(answer?["set-cookie"] ?? "none") }
            }.start()
        }
        #expect(eventually { authorizer.heads.value.count >= 2 })
        gate.set()
        #expect(eventually { cookies.value.count == 3 })
        #expect(Set(cookies.value).count == 3 && number.value == 3, "\(cookies.value)")
        // Without the cookie nothing is remembered, whatever else has a value.
        for _ in 0..<2 {
            let before = number.value
            #expect(try gateway.curl("/none").status == 200 && number.value == before + 1)
        }
    }

    @Test func explainKnowsIt() throws {
        let stage = try stage(try ScriptedAuthorizer(ScriptedAuthorizer.session))
        let file = "\(stage.folder.path)/gateway.conf"
        func explain(_ arguments: String...) throws -> Output { try run(Executable.portcullis, ["explain", "-c", file] + arguments) }
        let unknown = try explain("GET", "/admin/x")
        #expect(unknown.status == 3 && unknown.text.contains("UNDECIDED  authorizer gate would be asked"))
        let refused = try explain("GET", "/admin/x", "--authorizer", "gate", "--claims", "{\"user\":\"ann\",\"groups\":[\"users\"]}")
        #expect(refused.status == 1 && refused.text.contains("403 rule_unmet") && refused.text.contains("authorizer gate, subject ann"))
        let allowed = try explain("GET", "/x", "--authorizer", "gate", "--claims", "{\"user\":\"ann\",\"groups\":[\"users\"]}")
        #expect(allowed.status == 0 && allowed.text.contains("X-User-Id: ann") && allowed.text.contains("X-Odd: users"))
        #expect(try explain("--who", "GET", "/admin/x").text.contains("let in by  gate"))
        #expect(try explain("GET", "/x", "--authorizer", "nobody", "--claims", "{}").errors.contains("there is no authorizer 'nobody'"))
    }

    @Test func manyWaitForOneCall() throws {
        let gate = Flag()
        let authorizer = try ScriptedAuthorizer { head in
            eventually { gate.isSet }
            return ScriptedAuthorizer.session(head)
        }
        let stage = try stage(authorizer, more: "timeout 30s; cache 1m only $cookie.session;", workers: 1)
        let (gateway, counts) = (stage.gateway!, Box<[Int: Int]>([:]))
        Thread { counts.value = (try? gateway.load("/one", count: 8, parallel: 8, ["-H", "Cookie: session=ann"])) ?? [:] }.start()
        #expect(eventually { authorizer.heads.value.count == 1 })
        gate.set()
        #expect(eventually { !counts.value.isEmpty })
        #expect(counts.value == [200: 8] && authorizer.heads.value.count == 1)
    }
}

extension Answer {
    /// What nginx says that it got (``Nginx/echo(_:more:)``); values with quotes make it no JSON.
    func echoed(_ name: String) -> String? {
        guard let start = body.range(of: "\"\(name)\":\"")?.upperBound else { return nil }
        return String(body[start...].prefix { $0 != "\"" })
    }
}
