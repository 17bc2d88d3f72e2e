import ConfigFile
import Configuration
import Foundation
import Policy
import TestSockets
import TestSupport
import Testing

@Suite(.serialized) struct ExplainTests {
    private static let file = """
        listen 127.0.0.1:1 { plaintext; }
        token { cookie session; header Authorization; }
        issuer usso { url https://sso.example.com; keys https://sso.example.com/keys; audience api; algorithms EdDSA; scope_match usso;
                      require token_type = access; }
        limit per_user { rate 100/minute; key $claim.sub; }
        upstream orders { server 127.0.0.1:2; }
        upstream web { server 127.0.0.1:3; }
        route /api/orders/** {
            upstream orders;
            auth usso;
            method GET  { scope read:orders; }
            method POST { scope create:orders; limit per_user; }
            set_header X-User-Id $claim.sub;
            strip_prefix /api;
        }
        route /api/{tenant}/things { upstream orders; auth usso; require $claim.tenant = $path.tenant; }
        route /** { upstream web; public; }

        """

    private func explain(_ arguments: [String], input: String? = nil, file text: String = file) throws -> Output {
        let folder = TemporaryFolder()
        let file = try folder.write("gateway.conf", text)
        return try run(Executable.portcullis, ["explain", "-c", file] + arguments, input: input)
    }

    @Test func tellsEachDemandWithItsLineAndOutcome() throws {
        let output = try explain(["POST", "/api/orders/7", "--claims", #"{"sub":"alice","scopes":["read:orders"]}"#])
        #expect(output.status == 1)
        for line in [
            #/^REFUSED  403 scope_missing$/#, #/^  target +\/api\/orders\/7 +in normal form$/#,
            #/^  route +\/api\/orders\/\*\* +gateway.conf:8 +before \/\*\* \(17\), which is less specific$/#,
            #/^  method +POST +gateway.conf:12$/#,
            #/^  limit +per_user +gateway.conf:5 +would count \$claim.sub = alice; not asked: explain counts nothing$/#,
            #/^  token +issuer usso, subject alice +gateway.conf:10 +claims as given, signature not checked; filled in: iss exp aud token_type$/#,
            #/^  scope +create:orders +gateway.conf:12 +NOT MET, held: read:orders \(usso: read is level 10, create 20\)$/#,
            #/^It passes with create:orders, or in usso a higher level of it.$/#, #/^  403 Forbidden$/#,
            #/^  WWW-Authenticate: Bearer realm="portcullis", error="insufficient_scope", scope="create:orders"$/#,
        ] {
            #expect(output.text.split(separator: "\n").contains { $0.contains(line) }, "\(output.text)")
        }
    }

    @Test func tellsWhatTheUpstreamGetsAndWhatNot() throws {
        let output = try explain([
            "GET", "https://example.com/api/./orders/7?x=1", "--claims", #"{"sub":"alice","scopes":["read:orders"]}"#, "--header",
            "X-User-Id: admin", "--header", "X-Real-IP: 192.0.2.7", "--cookie", "a=b", "--cookie", "session=secret", "--client",
            "192.0.2.9",
        ])
        #expect(output.status == 0, "\(output.errors)")
        for text in [
            "FORWARDED  to orders\n", "the normal form of /api/./orders/7\n", "  GET /orders/7?x=1 HTTP/1.1 ", "  Host: example.com\n",
            "  X-User-Id: alice ", "  Cookie: a=b ", "  X-Forwarded-For: 192.0.2.9 ", "It does not get\n", "  X-Real-IP   it tells",
        ] {
            #expect(output.text.contains(text), "\(text) is not in\n\(output.text)")
        }
        #expect(!output.text.contains("secret") && !output.text.contains("X-User-Id: admin"))
    }

    @Test func speaksJSON() throws {
        let output = try explain(["GET", "/api/b/things", "--claims", #"{"sub":"alice","tenant":"a"}"#, "--json"])
        #expect(output.status == 1)
        let root = try #require(try JSONSerialization.jsonObject(with: Data(output.text.utf8)) as? [String: Any])
        #expect(root["decision"] as? String == "refused" && root["reason"] as? String == "rule_unmet" && root["status"] as? Int == 403)
        #expect((root["policy"] as? String)?.count == 12)
        #expect((root["route"] as? [String: Any])?["line"] as? Int == 16)
        let steps = try #require(root["steps"] as? [[String: Any]])
        #expect(steps.map { $0["step"] as? String } == ["target", "route", "method", "token", "rule"])
        #expect(steps.last?["ok"] as? Bool == false)
        #expect(steps.last?["note"] as? String == "$claim.tenant is a, $path.tenant is b")
    }

    @Test func saysWhoPasses() throws {
        let output = try explain(["--who", "POST", "/api/orders/7"])
        #expect(output.status == 0)
        #expect(output.text.contains("token of   usso   https://sso.example.com   for api, token_type is access\n"))
        #expect(output.text.contains("scope      create:orders   gateway.conf:12\n"))
        #expect(try explain(["--who", "GET", "/x"]).text.contains("Everybody passes"))
        let nobody = try explain(["--who", "DELETE", "/api/orders/7", "--json"])
        #expect(nobody.status == 1 && nobody.text.contains(#""passes":"nobody""#))
    }

    @Test func saysWhichRoutesAreNear() throws {
        let file = Self.file.replacingOccurrences(
            of: "route /** { upstream web; public; }", with: "route /web { upstream web; public; host a.example; }")
        let output = try explain(["GET", "/api/order/7"], file: file)
        #expect(output.text.contains("not /api/orders/** (gateway.conf:8): 'order' is not 'orders'"), "\(output.text)")
        #expect(try explain(["GET", "https://b.example/web"], file: file).text.contains("it is for the host a.example, not for b.example"))
        #expect(try explain(["GET", "/API/orders/7"], file: file).text.contains("whose letters are of another case"))
        #expect(
            try explain(["GET", "/api/x/things/y", "--header", "Host: a.example"], file: file).text.contains("'y' is one segment too many"))
    }

    /// 2 is for the operator's mistakes, 3 for what cannot be known without the keys.
    @Test func itsStatusTellsWhatHappened() throws {
        let folder = TemporaryFolder()
        try folder.write("gateway.conf", Self.file)
        #expect(try explain(["GET", "/x"]).status == 0)
        #expect(try explain(["GET", "/api/orders/7"]).status == 1)
        #expect(try explain(["GET", "/x"], file: "nonsense;").status == 2)
        #expect(try explain(["GET"]).status == 2)
        #expect(try explain(["GET", "/x", "--claims", "[]"]).status == 2)
        #expect(try explain(["GET", "/x", "--client", "here"]).status == 2)
        #expect(try explain(["GET", "/x", "--at", "soon"]).status == 2)
        #expect(try explain(["GET", "/x", "--at", "18446744073709551615", "--claims", "{}"]).status == 2)
        for wrong in ["x", "", "wss://a/x", "/a b"] { #expect(try explain(["GET", wrong]).status == 2, "\(wrong)") }
        for wrong in ["", "G T", "GET / HTTP/1.1\r\nX:"] { #expect(try explain([wrong, "/x"]).status == 2, "\(wrong)") }
        #expect(try explain(["GET", "/x", "--header", "A: b\r\nC: d"]).status == 2)
        let endless = "head -c 2000000 /dev/zero | \(Executable.portcullis) explain -c \(folder.path)/gateway.conf GET /x --token -"
        #expect(try run("/bin/sh", ["-c", endless]).status == 2)
        #expect(try explain(["GET", "/x", "--token", "/nowhere/at/all"]).errors.contains("/nowhere/at/all cannot be read"))
        let token = try Credentials(in: folder).token()
        let output = try explain(["GET", "/api/orders/7", "--token", "-"], input: token)
        #expect(output.status == 3 && output.text.hasPrefix("UNDECIDED"), "\(output.text)")
        #expect(!output.text.contains(token))
    }

    @Test func aRealTokenIsVerifiedAtTheGivenTime() throws {
        let stage = try Stage()
        let configuration = stage.folder.path + "/gateway.conf"
        let file = try stage.folder.write("token.txt", try stage.signer.token(scopes: ["read:orders"], expiresIn: 60) + "\n")
        func explain(_ more: [String]) throws -> Output {
            try run(Executable.portcullis, ["explain", "-c", configuration, "GET", "/x", "--token", file] + more)
        }
        let now = try explain([])
        #expect(now.status == 0 && now.text.contains("signature checked"), "\(now.text)")
        let later = try explain(["--at", "2099-01-31T12:00:00Z"])
        #expect(later.status == 1 && later.text.hasPrefix("REFUSED  401 token_expired"), "\(later.text)")
    }

    /// No token and no value of the environment is printed.
    @Test func noSecretIsPrinted() throws {
        let file = """
            listen 127.0.0.1:1 { plaintext; }
            token { header X-Api-Key; }
            issuer sso { url https://sso.example.com; keys @KEYS@; audience any; algorithms EdDSA; }
            upstream app { server 127.0.0.1:2; }
            limit few { rate 5/minute; key $header.X-Api-Key; }
            route /in { upstream app; auth sso; forward_token bearer; limit few; set_header X-Internal-Key ${INTERNAL_KEY}; }
            route /ruled { upstream app; auth sso; require $header.X-Secret = ${INTERNAL_KEY}; }
            test t { allow nobody GET /in; as a { claim sub a; } allow a GET /in header X-Internal-Key other; }

            """
        let folder = TemporaryFolder()
        let signer = TokenSigner()
        let keys = try folder.write("keys.json", signer.keySet)
        let path = try folder.write("gateway.conf", file.replacingOccurrences(of: "@KEYS@", with: keys))
        let token = String(decoding: signer.token(#"{"iss":"https://sso.example.com","exp":4000000000,"sub":"a"}"#), as: UTF8.self)
        let environment = ["INTERNAL_KEY": "hunter2hunter2"]
        for (arguments, status) in [
            (["explain", "GET", "/in", "--token", "-"], 0), (["explain", "GET", "/in", "--token", "-", "--json"], 0),
            (["explain", "GET", "/in", "--claims", #"{"sub":"a"}"#], 0),
            (["explain", "GET", "/ruled", "--token", "-"], 1), (["explain", "--who", "GET", "/ruled"], 0), (["test"], 1),
            (["test", "--json"], 1),
            (["test", "--junit", "-"], 1), (["check"], 1),
        ] {
            let output = try run(Executable.portcullis, arguments + ["-c", path], input: token, environment: environment)
            let text = output.text + output.errors
            #expect(output.status == status, "\(arguments): \(text)")
            #expect(!text.contains("hunter2") && !text.contains(token.suffix(30)), "\(arguments): \(text)")
            if arguments.contains("--token") || arguments.contains("--claims"), status == 0 {
                #expect(text.contains("Authorization: Bearer (the token)") && text.contains("X-Internal-Key: ${INTERNAL_KEY}"), "\(text)")
            }
        }
    }

    /// As the worker takes a proxy's word for the client, and a listener sends to https.
    @Test func knowsProxiesAndListeners() throws {
        let file = """
            listen 127.0.0.1:8080 { redirect https 8443; }
            listen 127.0.0.1:8081 { plaintext; }
            trusted_proxies 10.0.0.0/8;
            issuer sso { url https://sso.example.com; keys https://sso.example.com/keys; audience any; algorithms EdDSA; }
            upstream app { server 127.0.0.1:2; }
            upstream inner { server 127.0.0.1:3; }
            route /** { upstream app; public; }
            route /ip { upstream app; auth sso; require $client.ip = 2001:db8::1; }
            route /admin { host admin.example.com; upstream inner; public; }

            """
        func explain(_ arguments: [String]) throws -> String { try self.explain(arguments, file: file).text }
        let told = ["--client", "10.0.0.1", "--header", "X-Forwarded-Host: admin.example.com"]
        #expect(try explain(["GET", "/admin"] + told).hasPrefix("FORWARDED  to inner"))
        #expect(try explain(["GET", "/admin", "--client", "192.0.2.1", told[2], told[3]]).hasPrefix("FORWARDED  to app"))
        let address = ["GET", "/ip", "--claims", "{}", "--client"]
        #expect(try explain(address + ["2001:DB8::1"]).hasPrefix("FORWARDED"))
        #expect(try explain(address + ["10.0.0.1", "--header", "X-Forwarded-For: 2001:db8::1"]).hasPrefix("FORWARDED"))
        #expect(try explain(address + ["10.0.0.1"]).contains("$client.ip is 10.0.0.1"))
        let redirect = try explain(["GET", "http://a.example:8080/x?y=1"])
        #expect(
            redirect.hasPrefix("ANSWERED  308 redirect_https") && redirect.contains("Location: https://a.example:8443/x?y=1"), "\(redirect)"
        )
        #expect(redirect.contains("the listener sends every request to https://") && !redirect.contains("NOT MET"), "\(redirect)")
        #expect(try explain(["GET", "http://a.example:8081/x"]).contains("X-Forwarded-Proto: http "))
        #expect(try explain(["POST", "/x"]).contains("  Content-Length: 0"))
    }

    /// 500 random requests through real workers: the status and the reason are those that `explain` tells.
    @Test func theWorkerDecidesAsExplainSays() throws {
        var numbers = Numbers(seed: 500)
        let (one, two) = (TokenSigner(keyID: "one"), TokenSigner(keyID: "two"))
        var (sent, forwarded) = (0, 0)
        while sent < 500 {
            let folder = TemporaryFolder()
            let keys = (try folder.write("one.json", one.keySet), try folder.write("two.json", two.keySet))
            let backendPort = Ports.free()
            let text = RandomDecisions.file(&numbers, listen: "127.0.0.1:@PORT@", upstream: "127.0.0.1:\(backendPort)", keys: keys)
            let diagnostics = Diagnostics()
            let readable = text.replacingOccurrences(of: "@PORT@", with: "1")
            let contents = ["f": readable, keys.0: one.keySet, keys.1: two.keySet]
            let settings = Settings("f", files: MemoryFiles(contents), environment: [:], processors: 1, diagnostics)
            guard diagnostics.isEmpty else { continue }
            let backend = try Nginx(Nginx.echo(backendPort), in: folder, ports: [backendPort])
            defer { backend.stop() }
            let gateway = try Gateway("workers 1;\n" + text, in: folder)
            let now = UInt64(Date().timeIntervalSince1970)
            let tokens = RandomDecisions.tokens(12, &numbers, one, two, now)
            let offline = OfflinePolicy(settings) { contents[$0].map { Array($0.utf8) } }
            for _ in 0..<100 {
                var request = RandomDecisions.request(&numbers, tokens, now)
                request.isHTTPS = false
                request.fields.append(("Connection", "close"))
                let expected: (status: Int, reason: String)
                switch offline.decide(request).decision {
                case .forwarded: expected = (200, "forwarded")
                case .replied(let reply): expected = (reply.status, reply.reason)
                case .refused(let refusal): expected = (refusal.status, refusal.reason)
                case .undecided: continue
                }
                // The upstream would wait for the body.
                if expected.status == 200, request.fields.contains(where: { $0.name == "Content-Length" }) { continue }
                let client = try RawClient(port: gateway.port)
                client.send(request.head(settings.tokenSources))
                let answer = client.read(silence: 10_000)
                let isOfUpstream = answer.contains("\r\nServer: nginx")
                let status = answer.split(separator: " ").dropFirst().first.flatMap { Int($0) }
                let context: Comment = "\(request.method) \(request.target) \(request.fields): \(answer)\n\(text)"
                #expect(isOfUpstream == (expected.reason == "forwarded"), context)
                if !isOfUpstream { #expect(status == expected.status, context) }
                let reason = answer.firstMatch(of: /"reason":"(\w+)"/).map { String($0.1) }
                if request.method != "HEAD", expected.status >= 400 { #expect(reason == expected.reason, "\(answer)") }
                if isOfUpstream { forwarded += 1 }
                sent += 1
            }
        }
        #expect(forwarded > 20)
    }
}
