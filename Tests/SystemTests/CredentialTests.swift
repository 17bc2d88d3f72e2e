import Foundation
import TestSockets
import Testing

/// Where tokens may be, and what a browser may be made to do with those that it sends by itself.
@Suite(.serialized) struct CredentialTests {
    @Test(arguments: HTTPVersions.all) func anotherSitesPageCannotUseTheCookie(version: String) throws {
        let routes =
            "route /ws { upstream app; auth sso; upgrade websocket; } route /** { upstream app; auth sso; set_header X-User-Id $claim.sub; }"
        let stage = try Stage(
            version: version, token: "cookie access_token; header Authorization; csrf_origins https://partner.example.org;", routes: routes)
        let token = try stage.signer.token()
        let cookie = ["-H", "Cookie: access_token=\(token)"]
        func post(_ fields: [String], _ credential: [String]? = nil) throws -> Answer {
            try stage.gateway.curl("/", (credential ?? cookie) + ["-d", "x=1"] + fields.flatMap { ["-H", $0] })
        }
        for fields in [["Sec-Fetch-Site: cross-site"], ["Sec-Fetch-Site: same-site"], ["Origin: https://evil.example"], ["Origin: null"]] {
            let refused = try post(fields)
            #expect(refused.status == 403, "\(fields)")
            #expect(refused.body.contains("\"reason\":\"csrf_refused\""))
            // What a page cannot make a browser send needs no such care.
            #expect(try post(fields, ["-H", "Authorization: Bearer \(token)"]).status == 200, "\(fields)")
            // Reading alone is not refused.
            #expect(try stage.gateway.curl("/", cookie + fields.flatMap { ["-H", $0] }).status == 200, "\(fields)")
        }
        for fields in [
            [], ["Sec-Fetch-Site: same-origin"], ["Sec-Fetch-Site: none"], ["Origin: https://127.0.0.1:\(stage.gateway.port)"],
            ["Sec-Fetch-Site: cross-site", "Origin: https://partner.example.org"],
        ] {
            #expect(try post(fields).status == 200, "\(fields)")
        }
        let upgrade = [
            "-H", "Connection: Upgrade", "-H", "Upgrade: websocket", "-H", "Sec-WebSocket-Version: 13", "-H",
            "Sec-WebSocket-Key: eHh4eHh4eHh4eHh4eHh4eA==",
        ]
        stage.gateway.version = "--http1.1"
        #expect(try stage.gateway.curl("/ws", cookie + upgrade + ["-H", "Origin: https://evil.example"]).body.contains("csrf_refused"))
        #expect(try stage.gateway.curl("/ws", cookie + upgrade + ["-H", "Origin: https://127.0.0.1:\(stage.gateway.port)"]).status == 200)
    }

    @Test func strictRefusesWhoSaysNothing() throws {
        let strict = try Stage(token: "cookie access_token; csrf strict;")
        let cookie = ["-H", "Cookie: access_token=\(try strict.signer.token())"]
        #expect(try strict.gateway.curl("/", cookie + ["-d", "x"]).body.contains("csrf_refused"))
        #expect(try strict.gateway.curl("/", cookie + ["-d", "x", "-H", "Sec-Fetch-Site: same-origin"]).status == 200)
        let off = try Stage(token: "cookie access_token; csrf off;")
        let other = ["-H", "Cookie: access_token=\(try off.signer.token())"]
        #expect(try off.gateway.curl("/", other + ["-d", "x", "-H", "Sec-Fetch-Site: cross-site"]).status == 200)
    }

    @Test(arguments: HTTPVersions.all) func ofSeveralCookiesOfOneNameTheOneThatVerifiesCounts(version: String) throws {
        let stage = try Stage(version: version, token: "cookie access_token;")
        let (good, other) = (try stage.signer.token(subject: "alice"), try stage.signer.token(subject: "bob"))
        let expired = try stage.signer.token(expiresIn: -3_600)
        for cookies in [
            "access_token=garbage; access_token=\(good)", "access_token=\(good); access_token=garbage",
            "access_token=\(expired); access_token=\(good)",
        ] {
            let answer = try stage.gateway.curl("/", ["-H", "Cookie: \(cookies)"])
            #expect(answer.body.contains("\"user\":\"alice\""), "\(answer.body)")
            #expect(answer.body.contains("\"cookie\":\"\""))
        }
        #expect(
            try stage.gateway.curl("/", ["-H", "Cookie: access_token=\(good); access_token=\(other)"]).body.contains("token_ambiguous"))
        #expect(
            try stage.gateway.curl("/", ["-H", "Cookie: access_token=\(expired); access_token=garbage"]).body.contains("token_expired"))
    }

    @Test(arguments: HTTPVersions.all) func aTokenMayBeThePasswordOfBasic(version: String) throws {
        let routes = """
            route /registry/** { upstream app; auth sso; realm images; challenge 'Bearer realm="https://auth.example.com/token",service="registry"'; }
            route /pub/** { upstream app; public; }
            \(Stage.usualRoute)
            """
        let stage = try Stage(version: version, token: "header Authorization; basic_password;", routes: routes)
        let token = try stage.signer.token(subject: "alice")
        let good = try stage.gateway.curl("/", ["-u", "anybody:\(token)"])
        #expect(good.status == 200)
        #expect(good.body.contains("\"user\":\"alice\""))
        #expect(good.body.contains("\"authorization\":\"\""), "\(good.body)")
        // A token goes to no service, on no route; a password of the service's own does.
        #expect(try stage.gateway.curl("/pub/", ["-u", "anybody:\(token)"]).body.contains("\"authorization\":\"\""))
        #expect(try stage.gateway.curl("/pub/", ["-u", "anybody:own"]).body.contains("\"authorization\":\"Basic "))
        let client = try run(Executable.curl, [version, "-sk", "-D", "-", "-o", "/dev/null", "https://127.0.0.1:\(stage.gateway.port)/"])
            .text
        // Basic is first: Python's urllib and Mercurial look at no other.
        let challenges = client.split(whereSeparator: \.isNewline).filter { $0.lowercased().hasPrefix("www-authenticate: ") }
        #expect(challenges.map { $0.dropFirst(18) } == ["Basic realm=\"portcullis\", charset=\"UTF-8\"", "Bearer realm=\"portcullis\""])
        let registry = try run(
            Executable.curl, [version, "-sk", "-D", "-", "-o", "/dev/null", "https://127.0.0.1:\(stage.gateway.port)/registry/x"]
        ).text
        // A challenge of the route's own comes first.
        let (own, basic) = (
            registry.range(of: "Bearer realm=\"https://auth.example.com/token\",service=\"registry\""),
            registry.range(of: "Basic realm=\"images\"")
        )
        #expect(try #require(own).lowerBound < #require(basic).lowerBound, "\(registry)")
        #expect(try stage.gateway.curl("/", ["-u", "anybody:wrong"]).body.contains("token_malformed"))
        // A browser sends it by itself, too.
        #expect(
            try stage.gateway.curl("/", ["-u", "a:\(token)", "-d", "x", "-H", "Sec-Fetch-Site: cross-site"]).body.contains("csrf_refused"))
    }

    @Test func theUsersNameMayHaveToBeAClaim() throws {
        let stage = try Stage(token: "basic_password sub;")
        let token = try stage.signer.token(subject: "alice")
        #expect(try stage.gateway.curl("/", ["-u", "alice:\(token)"]).status == 200)
        #expect(try stage.gateway.curl("/", ["-u", "bob:\(token)"]).body.contains("token_claim_unmet"))
    }

    /// Whose tokens are made up has them looked at no more for a while; nobody else has to wait.
    @Test(arguments: HTTPVersions.all) func tokensThatAreMadeUpAreLookedAtOnlySoOften(version: String) throws {
        let port = Ports.free()
        let stage = try Stage(
            version: version, general: "listen 127.0.0.1:\(port) { plaintext; } client_limits { failed_tokens 5/1h; }", workers: 1)
        let known = try stage.signer.token()
        func get(_ token: String) throws -> Answer { try stage.gateway.curl("/", ["-H", "Authorization: Bearer \(token)"]) }
        #expect(try get(known).status == 200)
        // A session that has ended is no forgery.
        for _ in 0..<8 { #expect(try get(stage.signer.token(expiresIn: -3_600)).status == 401) }
        let forged = known.dropLast(8) + "AAAAAAAA"
        for number in 0..<5 { #expect(try get("\(forged)").status == 401, "\(number)") }
        let refused = try get("\(forged)")
        #expect(refused.status == 429)
        #expect(refused.body.contains("too_many_failed_tokens"))
        #expect(refused["retry-after"].flatMap { Int($0) } ?? 0 > 600)
        #expect(try get(stage.signer.token(subject: "new")).status == 429)
        // What is known costs nothing to let in.
        #expect(try get(known).status == 200)
        let neighbour = try RawClient(port: port, from: 2)
        neighbour.send(
            "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \(try stage.signer.token(subject: "neighbour"))\r\nConnection: close\r\n\r\n"
        )
        #expect(neighbour.read().hasPrefix("HTTP/1.1 200"))
    }

    @Test func whatIsNoAccessTokenIsRefused() throws {
        let stage = try Stage()
        func reason(_ more: [String: Any?]) throws -> String {
            let answer = try stage.gateway.curl("/", ["-H", "Authorization: Bearer \(try stage.signer.token(more))"])
            guard answer.status == 401 else { return "\(answer.status)" }
            let problem = try JSONSerialization.jsonObject(with: Data(answer.body.utf8)) as? [String: Any]
            return problem?["reason"] as? String ?? ""
        }
        #expect(try reason([:]) == "200")
        #expect(try reason(["events": ["http://schemas.openid.net/event/backchannel-logout": [String: Any]()]]) == "token_not_access_token")
        for claim in ["nonce", "at_hash", "c_hash"] { #expect(try reason([claim: "x"]) == "token_not_access_token") }
        #expect(try reason(["cnf": ["jkt": "x"]]) == "token_bound")
        #expect(try reason(["sub": 5]) == "token_claim_malformed")
        // `scope_match usso` asks for an access token by itself.
        try stage.gateway.rewrite(stage.configuration().replacingOccurrences(of: "require token_type = access; ", with: ""))
        try #require(stage.gateway.reload())
        #expect(try reason(["token_type": "refresh"]) == "token_claim_unmet")
        #expect(try reason(["token_type": nil]) == "token_claim_unmet")
        #expect(try reason(["iat": Int(Date().timeIntervalSince1970)]) == "200")
    }
}
