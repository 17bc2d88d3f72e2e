import Foundation
import TestSockets
import Testing

/// Users and passwords of a file: `htpasswd`.
@Suite(.serialized) struct PasswordTests {
    private func stage(_ version: String, more: String = "") throws -> Stage {
        let stage = try Stage(version: version)
        let made = try run(Executable.openssl, ["passwd", "-6", "right:pass"]).text
        try stage.folder.write(
            "users",
            "# people\nann:\(made.trimmingCharacters(in: .newlines))\n\nbob:\(try run(Executable.openssl, ["passwd", "-5", "b"]).text)")
        try stage.gateway.rewrite(
            stage.configuration(
                """
                route /** { upstream app; auth people; set_header X-User-Id $claim.user; }
                route /both/** { upstream app; auth any sso people; set_header X-User-Id $claim.user; }
                route /few/** { upstream app; auth people; }
                """, "htpasswd people users; access_log @DIR@/access.log; \(more)"))
        #expect(stage.gateway.reload())
        return stage
    }

    private func basic(_ text: String) -> [String] { ["-H", "Authorization: Basic \(Data(text.utf8).base64EncodedString())"] }

    @Test(arguments: HTTPVersions.all) func usersComeWithTheirPasswords(version: String) throws {
        let stage = try stage(version)
        let missing = try stage.gateway.curl("/a")
        #expect(missing.status == 401 && missing["www-authenticate"] == "Basic realm=\"portcullis\", charset=\"UTF-8\"")
        for _ in 0..<2 {
            let answer = try stage.gateway.curl("/a", basic("ann:right:pass"))
            // The password is for nobody behind.
            #expect(answer.status == 200 && answer.echoed("user") == "ann" && answer.echoed("authorization") == "")
        }
        #expect(try stage.gateway.curl("/a", basic("bob:b")).echoed("user") == "bob")
        for wrong in ["ann:wrong", "ann:", "ann:right:pas", "eve:right:pass", ":right:pass", "ann:right:pass\u{0}x", "bob:right:pass"] {
            let answer = try stage.gateway.curl("/a", basic(wrong))
            #expect(
                answer.status == 401 && answer["www-authenticate"]?.hasPrefix("Basic ") ?? false && answer.body.contains("password_wrong"),
                "\(wrong)")
        }
        #expect(try stage.gateway.curl("/a", ["-H", "Authorization: Bearer x"]).body.contains("token_missing"))
        // A page of another site may not use what a browser sends by itself.
        #expect(try stage.gateway.curl("/a", basic("ann:right:pass") + ["-d", "x", "-H", "Sec-Fetch-Site: cross-site"]).status == 403)
        // Any of several will do.
        let token = try ["-H", "Authorization: Bearer \(stage.signer.token())"]
        #expect(
            try stage.gateway.curl("/both/a", token).status == 200 && stage.gateway.curl("/both/a", basic("ann:right:pass")).status == 200)
        #expect(try stage.gateway.curl("/both/a", basic("ann:x")).status == 401)
        #expect(eventually { stage.folder.read("access.log").contains("\"subject\":\"ann\",\"issuer\":\"people\"") })
    }

    @Test func manyAtOnceAndManyWrongOnes() throws {
        let stage = try stage(HTTPVersions.two, more: "client_limits { failed_tokens 5/1h; }")
        #expect(try stage.gateway.load("/a", count: 100, parallel: 50, basic("ann:right:pass")) == [200: 100])
        var statuses: Set<Int> = []
        for number in 0..<20 { statuses.insert(try stage.gateway.curl("/few/\(number)", basic("ann:guess\(number)")).status) }
        #expect(statuses == [401, 429])
        // What is known to be right is not asked of.
        #expect(eventually { (try? stage.gateway.curl("/a", basic("ann:right:pass")))?.status == 200 })
    }

    @Test func explainAndTestsKnowThem() throws {
        let stage = try stage(HTTPVersions.one)
        let text = stage.configuration(
            """
            route /** { upstream app; auth people; set_header X-User-Id $claim.user; require $claim.user = ann; }
            test people {
                as ann { htpasswd people; claim user ann; }
                as bob { htpasswd people; claim user bob; }
                allow ann GET /a header X-User-Id ann;
                refuse bob GET /a 403 rule_unmet;
                refuse nobody GET /a 401 token_missing;
            }
            """, "htpasswd people users;")
        let file = try stage.folder.write(
            "tested.conf", text.replacingOccurrences(of: "@DIR@", with: stage.folder.path).replacingOccurrences(of: "@PORT@", with: "1"))
        let checked = try run(Executable.portcullis, ["check", "-c", file])
        #expect(checked.status == 0 && checked.text.contains("password of people"), "\(checked.errors)")
        func explain(_ credentials: String) throws -> Output {
            try run(
                Executable.portcullis,
                ["explain", "-c", file, "GET", "/a", "--header", "Authorization: Basic \(Data(credentials.utf8).base64EncodedString())"])
        }
        #expect(try explain("ann:right:pass").status == 0 && explain("ann:x").text.contains("password_wrong"))
    }

    @Test(arguments: [
        ("ann:$apr1$abc$x", "is of a method that is not safe, or not known here"), ("ann:plain", "is of a method that is not safe"),
        ("ann", "line 1 of users has no user and hash"), ("", "users has no user"), ("ann:$6$x$y\nann:$6$x$y", "'ann' stands twice"),
        ("ann:$9$x$y", "is of a method that is not safe, or not known here"),
    ]) func complains(content: String, expected: String) throws {
        let stage = try Stage()
        try stage.folder.write("users", content)
        let output = try stage.check(stage.configuration("htpasswd people users; route /** { upstream app; auth people; }"))
        #expect(output.status == 1 && output.errors.contains(expected), "\(output.errors)")
    }
}
