import Foundation
import FoundationXML
import TestSockets
import Testing

/// The tests that a configuration holds itself to.
@Suite(.serialized) struct PolicyTestTests {
    private static let routes = """
        route /orders/** { upstream app; auth sso; method GET { scope read:orders; } method POST { scope create:orders; } set_header X-User-Id $claim.sub; }
        route /mine/{user} { upstream app; auth sso; require $claim.sub = $path.user; }
        route /form { upstream app; auth sso; }
        route /** { upstream app; public; }

        """
    private static let good = """
        test orders {
            as clerk { scopes read:orders; claim sub clerk; }
            as browser { by cookie; claim sub clerk; }
            as stale { claim sub clerk; claim exp -5m; }
            as nobody;
            allow  clerk   GET  /orders/7 upstream app header x-user-id clerk;
            refuse clerk   POST /orders/7 403 scope_missing;
            refuse nobody  GET  /orders/7 401 token_missing;
            refuse stale   GET  /orders/7 token_expired;
            allow  clerk   GET  /mine/clerk;
            refuse clerk   GET  /mine/boss rule_unmet;
            refuse browser POST /form csrf_refused with Origin https://evil.example;
            allow  browser POST /form with Sec-Fetch-Site same-origin;
            refuse nobody  GET  /orders/../x 400;
            allow  nobody  GET  https://any.example/x client 192.0.2.1;
        }

        """

    private func configuration(_ tests: String, in folder: TemporaryFolder) throws -> String {
        try folder.write(
            "gateway.conf",
            """
            listen 127.0.0.1:1 { plaintext; }
            token { cookie session; header Authorization; }
            issuer sso { url https://sso.example.com; keys https://sso.example.com/keys; audience api; algorithms EdDSA; require token_type = access; }
            upstream app { server 127.0.0.1:2; }
            \(Self.routes)
            """ + tests)
    }

    private func test(_ tests: String, _ arguments: [String] = []) throws -> Output {
        let folder = TemporaryFolder()
        return try run(Executable.portcullis, ["test", "-c", try configuration(tests, in: folder)] + arguments)
    }

    @Test func theyHoldOrSayWhatTheyGot() throws {
        let output = try test(Self.good)
        #expect(output.status == 0 && output.text == "10 of 10 hold.\n", "\(output.text)\(output.errors)")
        let wrong = try test(
            Self.good.replacingOccurrences(of: "POST /orders/7 403 scope_missing", with: "GET /orders/7 403 scope_missing")
                .replacingOccurrences(of: "x-user-id clerk", with: "x-user-id boss"))
        #expect(wrong.status == 1)
        #expect(wrong.text.contains("8 of 10 hold."))
        #expect(
            wrong.text.contains(
                "   refuse clerk GET /orders/7 403 scope_missing\n      got: forwarded to app (route /orders/**, gateway.conf:"))
        #expect(wrong.text.contains(", scope read:orders), with X-User-Id: clerk\n"), "\(wrong.text)")
    }

    @Test func coverageNamesTheDemandsWithoutBothCases() throws {
        let output = try test(Self.good, ["--coverage"])
        // Of the tokens of four rules, two scopes and one rule, what /orders/** POST demands was never met, and so on.
        #expect(output.text.contains("Demands with an allowed and a refused case: 2 of 7; not:"), "\(output.text)")
        #expect(output.text.contains("/orders/** POST   scope create:orders   none allowed\n"))
        #expect(output.text.contains("/mine/{user}   token   none refused by it\n"))
        #expect(try test(Self.good, ["--coverage=20"]).status == 0)
        let low = try test(Self.good, ["--coverage=90"])
        #expect(low.status == 1 && low.errors.contains("28 % of the demands are covered, and --coverage asks for 90 %"), "\(low.errors)")
    }

    @Test func programsReadTheOutcome() throws {
        let wrong = Self.good.replacingOccurrences(of: "401 token_missing", with: "403 \"<&>\"").replacingOccurrences(
            of: "\"<&>\"", with: "")
        let json = try test(wrong, ["--json"])
        let root = try #require(try JSONSerialization.jsonObject(with: Data(json.text.utf8)) as? [String: Any])
        #expect(root["cases"] as? Int == 10 && root["failed"] as? Int == 1)
        let results = try #require(root["results"] as? [[String: Any]])
        #expect(results.filter { $0["ok"] as? Bool == false }.map { $0["case"] as? String } == ["refuse nobody GET /orders/7 403"])
        let junit = try test(wrong, ["--junit", "-"])
        #expect(junit.status == 1)
        let document = try XMLDocument(xmlString: junit.text)
        #expect(try document.nodes(forXPath: "//testcase").count == 10)
        #expect(try document.nodes(forXPath: "//testcase/failure").count == 1)
        #expect(try document.nodes(forXPath: "/testsuites/testsuite[@name='orders'][@failures='1']").count == 1)
    }

    @Test func itsStatusTellsWhatHappened() throws {
        #expect(try test("").status == 0)
        #expect(try test("", ["--fail-on-empty"]).status == 4)
        #expect(try test(Self.good, ["orders"]).text == "10 of 10 hold.\n")
        #expect(try test(Self.good, ["others"]).status == 4)
        #expect(try test("test x { allow someone GET /x; }").errors.contains("there is no persona 'someone' in this test"))
        #expect(try test("test x { as a { issuer ssso; } }").errors.contains("did you mean 'sso'?"))
        #expect(try test("test x { allow nobody GET /x upstreem app; }").status == 2)
        #expect(try test("test x { invariant { } }").errors.contains("'invariant' is not available yet"))
        #expect(try test(Self.good, ["--nonsense"]).status == 2)
    }

    /// A malformed request does not satisfy a test that expects a refusal.
    @Test func aMalformedRequestProvesNothing() throws {
        for wrong in ["GET orders", "\"GE T\" /orders", "GET \"/orders#x\"", "GET https:/orders", "GET /orders with \"Bad Name\" v"] {
            let output = try test("test t { refuse nobody \(wrong); }")
            #expect(output.status == 2, "\(wrong): \(output.text)")
        }
        let output = try test("test t { refuse nobody GET /orders/../x; refuse nobody GET /orders/../x 400; }")
        #expect(output.status == 1 && output.text.contains("a test that means that says so: 400") && output.text.contains("1 of 2 hold"))
        #expect(try test("test t { as a { claim sub a; claim sub b; } }").errors.contains("the claim 'sub' stands twice"))
        #expect(try test("test t { as a { claim exp 4000000000; } }").errors.contains("will not hold any more"))
        let accents = "test t { as a { scopes read:orders; claim sub \"e\u{301}\"; } allow a GET /orders/1 header X-User-Id \"\u{e9}\"; }"
        #expect(try test(accents).status == 1)
    }

    @Test func testsNestedClaimsAndOwnResponses() throws {
        let folder = TemporaryFolder()
        let file = try folder.write(
            "gateway.conf",
            """
            listen 127.0.0.1:1 { plaintext; }
            issuer kc { url https://kc.example; keys https://kc.example/keys; audience any; algorithms RS256; scope_claims /realm_access/roles; require /client/name = app; }
            upstream app { server 127.0.0.1:2; }
            route /a { upstream app; auth kc; scope admin; require $claim./org/id = o1; cors { origin https://app.example; } }
            test t {
                as adm { scopes admin; claim /org/id o1; }
                as other { scopes admin; claim /org/id o2; claim /client/name web; }
                allow  adm   GET /a;
                refuse other GET /a token_claim_unmet;
                answer nobody OPTIONS /a 204 preflight with Origin https://app.example with Access-Control-Request-Method GET;
                answer nobody OPTIONS * 200;
            }

            """)
        let output = try run(Executable.portcullis, ["test", "-c", file])
        #expect(output.text == "4 of 4 hold.\n", "\(output.text)\(output.errors)")
    }

    @Test func theyMayStandInFilesOfTheirOwn() throws {
        let folder = TemporaryFolder()
        try folder.write("orders.tests", Self.good)
        try folder.write("more.tests", "test more { allow nobody GET /x; }\n")
        let file = try configuration("tests *.tests;\n", in: folder)
        #expect(try run(Executable.portcullis, ["test", "-c", file]).text == "11 of 11 hold.\n")
        #expect(try run(Executable.portcullis, ["check", "-c", file]).text.contains("tests      11 cases in 2 tests hold\n"))
        let empty = try configuration("tests none/*.tests;\n", in: folder)
        #expect(try run(Executable.portcullis, ["check", "-c", empty]).status == 1)
        _ = try configuration("tests *.tests;\n", in: folder)
        try folder.write("more.tests", "route /secret/** { upstream app; public; }\n")
        let output = try run(Executable.portcullis, ["check", "-c", file])
        #expect(output.status == 1 && output.errors.contains("a file of tests holds test blocks alone, and this is 'route'"))
    }

    /// There is no way around a test: not at the start, not at a reload, not for a new version of the program.
    @Test func aFileWhoseTestsFailIsNotUsed() throws {
        let stage = try Stage(routes: "route /** { upstream app; public; }\ntest open { allow nobody GET /x; }\n")
        #expect(try stage.gateway.curl("/x").status == 200)
        let wrong = stage.configuration("route /** { upstream app; auth sso; }\ntest open { allow nobody GET /x; }\n")
        try stage.gateway.rewrite(wrong)
        kill(stage.gateway.supervisor, SIGHUP)
        let refused = "the configuration is not reloaded, the one before stays in force"
        #expect(eventually { stage.gateway.log.contains(refused) })
        #expect(stage.gateway.log.contains("error: the test 'open' does not hold"))
        #expect(stage.gateway.log.contains("= got: refused 401 token_missing (route /**, gateway.conf:"))
        #expect(try stage.gateway.curl("/x").status == 200)
        let before = stage.gateway.supervisor
        kill(before, SIGUSR2)
        #expect(eventually(within: 30) { stage.gateway.log.contains("this one goes on") }, "\(stage.gateway.log)")
        #expect(Program.isAlive(before))
        #expect(try stage.gateway.curl("/x").status == 200)
        let start = try run(Executable.portcullis, ["run", "-c", stage.folder.path + "/gateway.conf"])
        #expect(start.status == 1 && start.errors.contains("error: the test 'open' does not hold"))
        let check = try run(Executable.portcullis, ["check", "-c", stage.folder.path + "/gateway.conf"])
        #expect(check.status == 1 && check.errors.contains("error: the test 'open' does not hold"))
        // What is wrong is told all the same.
        #expect(try run(Executable.portcullis, ["explain", "-c", stage.folder.path + "/gateway.conf", "GET", "/x"]).status == 1)
    }
}
