import Foundation
import TestSockets
import Testing

/// Routes that give their responses themselves: `answer`.
@Suite(.serialized) struct RouteReplyTests {
    private static let routes = """
        route /** { upstream app; public; }
        route /profile { auth sso; answer 302 https://people.example.com/$(claim.sub)/x?from=$client.ip&to=$header.x-to; }
        route /hello { auth sso; scope read:orders; answer 200 'hello $claim.sub'; }
        route /page { public; answer 200 '<p>$header.x-name</p>' 'text/html; charset=utf-8'; }
        route /json/{name} { public; answer 418 '{"name":"$path.name","said":"$header.x-name"}' application/json; }
        route /gone { public; answer 410; }
        route /empty { public; answer 204; }
        route /fine { public; answer 200; }
        route /few { public; limit few; answer 200 ok; }
        route /busy { public; answer 503; }
        route /paged { public; cors { origin https://page.example; } answer 200 'for pages'; }
        route /at/{page} { public; answer 301 https://$request.host/new/$path.page; }
        route /long { public; answer 200 '$header.x-name$header.x-name$header.x-name$header.x-name$header.x-name' application/json; }
        """

    private func stage(_ version: String) throws -> Stage {
        try Stage(
            version: version, routes: Self.routes,
            general: "limit few { rate 1/hour; key $client.ip; } access_log @DIR@/access.log;")
    }

    @Test(arguments: HTTPVersions.all) func theDemandsOfTheRouteComeFirst(version: String) throws {
        let stage = try stage(version)
        #expect(try stage.gateway.curl("/profile").status == 401)
        #expect(try stage.gateway.curl("/hello").status == 401)
        let poor = try ["-H", "Authorization: Bearer \(stage.signer.token(scopes: ["write:orders"]))"]
        #expect(try stage.gateway.curl("/hello", poor).status == 403)
        let good = try ["-H", "Authorization: Bearer \(stage.signer.token(subject: "a b/ü"))"]
        let hello = try stage.gateway.curl("/hello", good)
        #expect(hello.status == 200 && hello.body == "hello a b/ü")
        #expect(hello["content-type"] == "text/plain; charset=utf-8")
        #expect(hello["cache-control"] == "no-store")
        // A value that is missing would move what follows to another place.
        let without = try stage.gateway.curl("/profile", good)
        #expect(without.status == 403 && without.body.contains("answer_unusable"))
        let profile = try stage.gateway.curl("/profile", good + ["-H", "X-To: /a?b=50%&c"])
        #expect(profile.status == 302 && profile.body.isEmpty && profile["cache-control"] == "no-store")
        #expect(profile["location"] == "https://people.example.com/a%20b%2F%C3%BC/x?from=127.0.0.1&to=%2Fa%3Fb%3D50%25%26c")
        // A segment of dots would, too.
        let dots = ["-H", "Authorization: Bearer \(try stage.signer.token(subject: ".."))", "-H", "X-To: a"]
        #expect(try stage.gateway.curl("/profile", dots).status == 403)
        let moved = try stage.gateway.curl("/at/http:evil.com", ["-H", "Host: A.example"])
        #expect(moved.status == 301 && moved["location"] == "https://a.example/new/http%3Aevil.com")
        #expect(try stage.gateway.curl("/few").status == 200)
        #expect(try stage.gateway.curl("/few").status == 429)
    }

    @Test(arguments: HTTPVersions.all) func valuesAreTextAndNothingElse(version: String) throws {
        let stage = try stage(version)
        let evil = ["-H", "X-Name: <script>\"it's\" \\ &</script>"]
        let page = try stage.gateway.curl("/page", evil)
        #expect(page.body == "<p>&#60;script&#62;&#34;it&#39;s&#34; \\ &#38;&#60;/script&#62;</p>")
        #expect(page["x-content-type-options"] == "nosniff" && page["content-type"] == "text/html; charset=utf-8")
        let json = try stage.gateway.curl("/json/n", evil)
        #expect(json.status == 418)
        let object = try JSONSerialization.jsonObject(with: Data(json.body.utf8)) as? [String: String]
        #expect(object == ["name": "n", "said": "<script>\"it's\" \\ &</script>"])
        #expect(!json.body.contains("<") && !json.body.contains("'"))
        // What is no UTF-8 does not make the response malformed.
        let odd = try stage.gateway.curl("/json/%FF")
        #expect(try JSONSerialization.jsonObject(with: Data(odd.body.utf8)) as? [String: String] == ["name": "\u{FFFD}", "said": ""])
        // The body is bounded, whatever a client sends.
        let long = try stage.gateway.curl("/long", ["-H", "X-Name: \(String(repeating: "<", count: 8_000))"])
        #expect(long.status == 403 && long.body.contains("answer_unusable"))
        // A variable without a value is left out.
        #expect(try stage.gateway.curl("/page").body == "<p></p>")
    }

    @Test(arguments: HTTPVersions.all) func aBareStatusSpeaksTheClientsForm(version: String) throws {
        let stage = try stage(version)
        let problem = try stage.gateway.curl("/gone")
        #expect(problem.status == 410 && problem["content-type"] == "application/problem+json")
        #expect(problem.body.contains("\"reason\":\"route_answer\""))
        let page = try stage.gateway.curl("/gone", ["-H", "Sec-Fetch-Mode: navigate", "-H", "Accept: text/html"])
        #expect(page.status == 410 && page.body.contains("<h1>Gone</h1>"))
        if version == HTTPVersions.two {
            // A call of gRPC has its own status, and the log the file's.
            let call = try stage.gateway.curl("/busy", ["-X", "POST", "-H", "Content-Type: application/grpc"])
            #expect(call.status == 200 && call["grpc-status"] == "14" && call.body.isEmpty)
            #expect(
                eventually {
                    stage.folder.read("access.log").split(separator: "\n").contains {
                        $0.contains("\"path\":\"/busy\"") && $0.contains("\"status\":503")
                    }
                })
        }
        let empty = try stage.gateway.curl("/empty")
        #expect(empty.status == 204 && empty.body.isEmpty && empty["content-length"] == nil)
        let fine = try stage.gateway.curl("/fine")
        #expect(fine.status == 200 && fine.body.isEmpty && fine["cache-control"] == nil)
        let page2 = try stage.gateway.curl("/paged", ["-H", "Origin: https://page.example"])
        #expect(page2.body == "for pages" && page2["access-control-allow-origin"] == "https://page.example")
        // The log names no upstream, though the connection's last request had one.
        let url = "https://127.0.0.1:\(stage.gateway.port)"
        // One is answered, one refused for a missing value.
        _ = try run(
            Executable.curl,
            [version, "-sk", "-m", "20", "-H", "Authorization: Bearer \(try stage.signer.token())", "\(url)/else", "\(url)/fine"]
                + ["\(url)/profile", "-o", "/dev/null", "-o", "/dev/null", "-o", "/dev/null"])
        #expect(
            eventually {
                let lines = stage.folder.read("access.log").split(separator: "\n")
                return lines.contains { $0.contains("\"path\":\"/else\"") && $0.contains("\"upstream\":") }
                    && lines.filter { $0.contains("\"path\":\"/fine\"") }.count == 2 && lines.contains { $0.contains("/profile") }
            })
        #expect(
            stage.folder.read("access.log").split(separator: "\n").allSatisfy { line in
                !["/fine", "/profile"].contains(where: { line.contains($0) }) || !line.contains("\"upstream\":")
            })
        #expect(eventually { stage.folder.read("access.log").contains("\"decision\":\"answered\",\"reason\":\"route_answer\"") })
    }

    @Test(arguments: HTTPVersions.all) func headsAndBodiesAreFramedAsElsewhere(version: String) throws {
        let stage = try stage(version)
        let head = try stage.gateway.curl("/few", ["-I"])
        #expect(head.status == 200 && head["content-length"] == "2")
        // What is sent along is dropped, and the connection serves the next request.
        let url = "https://127.0.0.1:\(stage.gateway.port)"
        let output = try run(
            Executable.curl,
            [
                version, "-sk", "-m", "20", "-w", "%{http_code} %{num_connects};", "-o", "/dev/null", "--data",
                "a=\(String(repeating: "b", count: 3_000))", "\(url)/fine",
            ]
                + ["--next", version, "-sk", "-m", "20", "-w", "%{http_code} %{num_connects};", "-o", "/dev/null", "\(url)/fine"])
        #expect(output.text == "200 1;200 0;", "\(output.text)")
    }

    @Test func whatMakesNoSenseIsAnError() throws {
        let stage = try Stage()
        func check(_ route: String) throws -> String {
            try stage.gateway.rewrite(stage.configuration("route /** { \(route) }"))
            return try run(Executable.portcullis, ["check", "--config", "\(stage.folder.path)/gateway.conf"]).errors
        }
        for (route, message) in [
            ("public; answer 200 ok; upstream app;", "a route forwards or answers, not both"),
            ("public; answer 200 ok; set_header A b;", "a route that answers forwards nothing"),
            ("public; answer 200 ok; upgrade websocket;", "a route that answers forwards nothing"),
            ("auth sso; answer 200 ok; method GET { } method OPTIONS { public; }", "public in a method block lets requests through"),
            ("public; answer 302;", "302 needs a location, and no type"),
            ("public; answer 302 '';", "a location is ASCII without spaces"),
            ("public; answer 302 'https://a b/';", "a location is ASCII without spaces"),
            ("public; answer 302 $header.x;", "a location begins with / or with https://HOST/"),
            ("public; answer 302 //$header.x/;", "a location begins with / or with https://HOST/"),
            ("public; answer 302 https://$header.x/a;", "a location begins with / or with https://HOST/"),
            ("public; answer 302 https://a.example$header.x;", "a location begins with / or with https://HOST/"),
            ("public; answer 302 https:///$header.x;", "a location begins with / or with https://HOST/"),
            ("public; answer 302 https://?$header.x;", "a location begins with / or with https://HOST/"),
            ("public; answer 302 'https://\\\\/$header.x';", "a location begins with / or with https://HOST/"),
            ("public; answer 302 'https://a.example\\\\$header.x/';", "a location begins with / or with https://HOST/"),
            ("public; answer 302 https://a@b.example/$header.x;", "a location begins with / or with https://HOST/"),
            ("public; answer 302 '/\\\\$header.x';", "a location begins with / or with https://HOST/"),
            ("public; answer 302 javascript:a;", "a location begins with / or with https://HOST/"),
            ("public; answer 204 text;", "a response with 204 has no body"),
            ("public; answer 304;", "a route cannot answer 304"),
            ("public; answer 206 part;", "a route cannot answer 206"),
            ("public; answer 100;", "'100' is not a status of a response"),
            ("public; answer 426;", "426 has to name what would do"),
            ("public; answer 401;", "401 has to name what would do"),
            ("public; answer 405 no;", "405 has to name what would do"),
            ("public; answer 200 a b;", "'b' is not a media type"),
            ("public; answer 200 a text/;", "'text/' is not a media type"),
            ("public; answer 200 a 'text/html;';", "'text/html;' is not a media type"),
            ("public; answer 200 a 'text/html; charset';", "is not a media type"),
            ("public; answer 200 a 'text/html; charset=iso-2022-jp';", "is not a media type of UTF-8"),
            ("public; answer 200 '\(String(repeating: "x", count: 70_000))';", "an answer is at most 65536 bytes long"),
            ("auth sso; answer 200 '$claim.sub/x';", "this is the claim 'sub/x'"),
            ("auth sso; answer 200 '$(claim.sub/x';", "'$(' has no ')'"),
            ("public; answer 200 '$client.ip' text/javascript;", "values cannot be kept apart from the text"),
            ("public; answer 200 '$header.authorization';", "may hold a credential"),
            ("public; answer 200 '$header.proxy_authorization';", "may hold a credential"),
            ("public; answer 200 '$claim.sub';", "a public route has no $claim.sub"),
            ("public; answer 200 '$nothing';", "there is no variable $nothing"),
            ("public; answer 200 ok { a; }", "takes no block"),
        ] {
            let errors = try check(route)
            #expect(errors.contains(message), "\(route): \(errors)")
            #expect(errors.contains("error: ") || message.hasPrefix("this is the claim"), "\(route): \(errors)")
        }
        for route in [
            "public; answer 200 'x' text/javascript;", "public; answer 302 /a/$header.x;", "public; answer 302 https://$request.host;",
            "public; answer 302 'https://a.example/?b=$header.x';", "public; answer 418 'I am a teapot';",
            "public; answer 302 'https://a.example?b=$header.x';", "public; answer 302 https://[::1]:8443/$header.x;",
            "public; answer 302 https://www.$request.host:8443/$header.x;",
            "auth sso; answer 200 '$(claim.sub)/x' 'text/html; charset=UTF-8';",
            "public; answer 200 '' text/plain;", "public; answer 200 $cookie.a~b;",
        ] {
            #expect(try !check(route).contains("error: "), "\(route)")
        }
        #expect(try check("public;").contains("a route names no upstream"))
    }

    @Test func explainAndTestsKnowOfIt() throws {
        let stage = try stage("--http1.1")
        let config = ["--config", "\(stage.folder.path)/gateway.conf"]
        let answered = try run(
            Executable.portcullis, ["explain", "GET", "https://a/hello", "--claims", #"{"sub":"bob","scopes":["read:orders"]}"#] + config)
        #expect(answered.text.contains("answer   200") && answered.text.contains("hello bob"), "\(answered.text)\(answered.errors)")
        #expect(answered.status == 0)
        let refused = try run(Executable.portcullis, ["explain", "GET", "https://a/hello"] + config)
        #expect(refused.status == 1 && refused.text.contains("token_missing"))
        let unusable = try run(
            Executable.portcullis, ["explain", "GET", "https://a/profile", "--claims", #"{"sub":"bob"}"#] + config)
        #expect(unusable.status == 1 && unusable.text.contains("$header.x-to has no value that fits in"), "\(unusable.text)")
        let tests = """
            test answers {
              as bob { scopes read:orders; claim sub bob; }
              answer bob GET /hello 200 route_answer;
              refuse nobody GET /hello 401;
              refuse bob GET /profile 403 answer_unusable;
              answer bob GET /profile 302 with X-To /a;
            }
            """
        try stage.gateway.rewrite(stage.configuration(Self.routes, "limit few { rate 1/hour; key $client.ip; } \(tests)"))
        let output = try run(Executable.portcullis, ["test", "--coverage"] + config)
        #expect(output.status == 0 && output.text.contains("4 of 4 hold"), "\(output.text)\(output.errors)")
    }
}
