import Foundation
import TestSockets
import Testing

/// Routes that give their responses themselves: `answer`.
@Suite(.serialized) struct RouteReplyTests {
    private static let routes = """
        route /** { upstream app; public; }
        route /profile { auth sso; answer 302 https://people.example.com/$claim.sub?from=$client.ip; }
        route /hello { auth sso; scope read:orders; answer 200 'hello $claim.sub'; }
        route /page { public; answer 200 '<p>$header.x-name</p>' 'text/html; charset=utf-8'; }
        route /json/{name} { public; answer 418 '{"name":"$path.name","said":"$header.x-name"}' application/json; }
        route /gone { public; answer 410; }
        route /empty { public; answer 204; }
        route /fine { public; answer 200; }
        route /few { public; limit few; answer 200 ok; }
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
        let profile = try stage.gateway.curl("/profile", good)
        #expect(profile.status == 302 && profile.body.isEmpty)
        #expect(profile["location"] == "https://people.example.com/a%20b/%C3%BC?from=127.0.0.1")
        #expect(try stage.gateway.curl("/few").status == 200)
        #expect(try stage.gateway.curl("/few").status == 429)
    }

    @Test(arguments: HTTPVersions.all) func valuesAreTextAndNothingElse(version: String) throws {
        let stage = try stage(version)
        let evil = ["-H", "X-Name: <script>\"it's\" \\ &</script>"]
        let page = try stage.gateway.curl("/page", evil)
        #expect(page.body == "<p>&lt;script&gt;&quot;it&#39;s&quot; \\ &amp;&lt;/script&gt;</p>")
        #expect(page["x-content-type-options"] == "nosniff" && page["content-type"] == "text/html; charset=utf-8")
        let json = try stage.gateway.curl("/json/n", evil)
        #expect(json.status == 418)
        let object = try JSONSerialization.jsonObject(with: Data(json.body.utf8)) as? [String: String]
        #expect(object == ["name": "n", "said": "<script>\"it's\" \\ &</script>"])
        #expect(!json.body.contains("<"))
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
        let empty = try stage.gateway.curl("/empty")
        #expect(empty.status == 204 && empty.body.isEmpty && empty["content-length"] == nil)
        let fine = try stage.gateway.curl("/fine")
        #expect(fine.status == 200 && fine.body.isEmpty)
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
        #expect(try check("public; answer 200 ok; upstream app;").contains("a route forwards or answers, not both"))
        #expect(try check("public; answer 200 ok; set_header A b;").contains("a route that answers forwards nothing"))
        #expect(try check("public; answer 302;").contains("302 sends the client to another place"))
        #expect(try check("public; answer 302 'https://a b/';").contains("a location is ASCII without spaces"))
        #expect(try check("public; answer 204 text;").contains("a response with 204 has no body"))
        #expect(try check("public; answer 304;").contains("has no body") == false)
        #expect(try check("public; answer 206 part;").contains("206 tells of something that the gateway does not have"))
        #expect(try check("public; answer 100;").contains("'100' is not a status of a response"))
        #expect(try check("public; answer 200 a b;").contains("'b' is not a media type"))
        #expect(try check("public; answer 200 '$claim.sub';").contains("claim"))
        #expect(try check("public; answer 200 '$nothing';").contains("there is no variable"))
        #expect(try check("public;").contains("a route names no upstream"))
    }

    @Test func explainAndTestsKnowOfIt() throws {
        let stage = try stage("--http1.1")
        let config = ["--config", "\(stage.folder.path)/gateway.conf"]
        let answered = try run(
            Executable.portcullis, ["explain", "GET", "https://a/hello", "--claims", #"{"sub":"bob","scopes":["read:orders"]}"#] + config)
        #expect(answered.text.contains("answer 200") && answered.text.contains("hello bob"), "\(answered.text)\(answered.errors)")
        #expect(answered.status == 0)
        let refused = try run(Executable.portcullis, ["explain", "GET", "https://a/hello"] + config)
        #expect(refused.status == 1 && refused.text.contains("token_missing"))
    }
}
