import Foundation
import TestSupport
import Testing

@Suite(.serialized) struct CommandTests {
    @Test func theDemonstrationComesOutAsItShould() throws {
        let output = try run(Executable.portcullis, ["demo", "--self-check"])
        #expect(output.status == 0, "\(output.text)\(output.errors)")
        for row in [
            "no token", "good token in a cookie", "good token in Authorization: Bearer", "token without the scope", "expired token",
            "forged X-User-Id", "429",
        ] {
            #expect(output.text.contains(row))
        }
        #expect(!output.text.contains("WRONG"))
    }

    @Test func checkShowsAllErrorsAtOnceAndChangesNothing() throws {
        let folder = TemporaryFolder()
        let file = try folder.write("bad.conf", "workers many;\nlisten 127.0.0.1:1 { tsl { } }\nroute /x { upstream nowhere; }\n")
        let output = try run(Executable.portcullis, ["check", "-c", file])
        #expect(output.status == 1)
        #expect(
            output.errors.contains("\(file):1:9: error: 'many' is not a number from 1 to 64\n  1 | workers many;\n    |         ^^^^\n"))
        #expect(output.errors.contains("did you mean 'tls'?"))
        #expect(output.errors.contains("there is no upstream 'nowhere'"))
        #expect(output.errors.contains("this route says neither auth nor public"))
        #expect(try run(Executable.portcullis, ["run", "-c", file]).status == 1)
    }

    @Test func checkSummarisesAGoodFile() throws {
        let stage = try Stage(
            routes:
                "route /open { upstream app; public; }\nroute /api/** { upstream app; auth sso; method GET { scope any read:a read:b; } method POST { scope create:a; limit few; } }",
            general: "limit few { rate 5/5m; key $claim.sub; }")
        let output = try run(Executable.portcullis, ["check", "-c", stage.folder.path + "/gateway.conf"])
        #expect(output.status == 0)
        #expect(output.text.contains("/open    all      PUBLIC"))
        #expect(output.text.contains("scope any read:a read:b"))
        #expect(output.text.contains("limit      few  5 requests in 5 minutes for each claim sub; each host counts for itself"))
    }

    @Test func jwsVerifySaysWhatTheSignatureLayerSays() throws {
        let folder = TemporaryFolder()
        let signer = try Credentials(in: folder)
        let token = try signer.token()
        let good = try run(Executable.portcullis, ["jws", "verify", "--keys", signer.keySetFile], input: token + "\n")
        #expect((good.status, good.text) == (0, "valid\n"))
        let bad = try run(
            Executable.portcullis, ["jws", "verify", "--keys", signer.keySetFile], input: String(token.dropLast(8)) + "AAAAAAAA")
        #expect(bad.status == 1)
        #expect(bad.text.hasPrefix("invalid: "))
        let narrow = try run(Executable.portcullis, ["jws", "verify", "--keys", signer.keySetFile, "--algorithms", "ES256"], input: token)
        #expect(narrow.status == 1)
    }

    @Test(.enabled(if: Vectors.areThere, "the vectors are not beside the checkout"))
    func jwsVerifyAgreesWithWycheproof() throws {
        let folder = TemporaryFolder()
        let root = try #require(try Vectors.json("json_web_signature_test.json") as? [String: Any])
        var asked = 0
        // One case of each result of each group: the rest goes through the same layer in the unit tests.
        for group in try #require(root["testGroups"] as? [[String: Any]]) {
            guard let key = group["public"] as? [String: Any], let tests = group["tests"] as? [[String: Any]] else { continue }
            let file = try folder.write("key.json", String(decoding: try JSONSerialization.data(withJSONObject: key), as: UTF8.self))
            for result in ["valid", "invalid"] {
                guard let test = tests.first(where: { $0["result"] as? String == result }), let jws = test["jws"] as? String else {
                    continue
                }
                asked += 1
                #expect(
                    try run(Executable.portcullis, ["jws", "verify", "--keys", file], input: jws).status == (result == "valid" ? 0 : 1))
            }
        }
        #expect(asked > 20)
    }

    @Test func tokenInspectTellsWhatTheGatewayWouldMakeOfIt() throws {
        let stage = try Stage(
            routes: "route /a { upstream app; auth sso; scope read:orders; }\nroute /b { upstream app; auth sso; scope create:orders; }")
        func inspect(_ token: String) throws -> Output {
            try run(Executable.portcullis, ["token", "inspect", "-c", stage.folder.path + "/gateway.conf"], input: token)
        }
        let good = try inspect(try stage.signer.token(subject: "alice"))
        #expect(good.status == 0)
        #expect(good.text.contains("subject    alice"))
        #expect(good.text.contains("allowed  all  /a"))
        #expect(good.text.contains("refused (scope create:orders)  all  /b"))
        let expired = try inspect(try stage.signer.token(expiresIn: -3_600))
        #expect(expired.status == 1)
        #expect(expired.text.contains("token_expired"))
    }

    @Test("check --json tells editors and pipelines what is wrong, and where")
    func checkAsJSON() throws {
        let folder = TemporaryFolder()
        let path = try folder.write("gateway.conf", "listen 127.0.0.1:1 { plaintext; }\nroute /a { public; answer 200 a; bogus; }\n")
        let wrong = try run(Executable.portcullis, ["check", "--json", "-c", path])
        let report = try #require(try JSONSerialization.jsonObject(with: Data(wrong.text.utf8)) as? [String: Any])
        #expect(wrong.status == 1 && report["ok"] as? Bool == false && wrong.errors.isEmpty)
        let first = try #require((report["reports"] as? [[String: Any]])?.first)
        #expect(
            first["line"] as? Int == 2 && first["column"] as? Int == 34 && first["severity"] as? String == "error"
                && first["file"] as? String == path)
        #expect((first["message"] as? String)?.contains("'bogus'") ?? false)
        // Warnings alone are no failure, but for who is strict.
        let doubtful = try folder.write(
            "doubtful.conf", "listen 127.0.0.1:1 { plaintext; }\nupstream u { server 127.0.0.1:2; }\nroute /a { public; answer 200 a; }\n")
        for (arguments, status) in [([], 0), (["--strict"], 1)] as [([String], Int32)] {
            let output = try run(Executable.portcullis, ["check", "--json", "-c", doubtful] + arguments)
            let report = try #require(try JSONSerialization.jsonObject(with: Data(output.text.utf8)) as? [String: Any])
            #expect(output.status == status && report["ok"] as? Bool == (status == 0), "\(output.text)")
        }
    }

    @Test("There is a manual page for each command that users call, and for no other")
    func manual() throws {
        let folder = TemporaryFolder()
        let made = try run("\(Executable.root)/.ci/manual", [Executable.portcullis, "\(folder.path)/man"])
        #expect(made.status == 0, "\(made.errors)")
        let pages = try FileManager.default.contentsOfDirectory(atPath: "\(folder.path)/man").sorted()
        let help = try run(Executable.portcullis, ["--help"]).text
        let commands = help.split(separator: "\n").compactMap { $0.wholeMatch(of: #/ {2}([a-z][a-z-]*) .*/#).map { String($0.1) } }
        #expect(commands.count > 10 && commands.allSatisfy { pages.contains("portcullis.\($0).8") }, "\(pages)")
        #expect(
            pages.allSatisfy { page in page == "portcullis.8" || commands.contains { page.hasPrefix("portcullis.\($0).") } }, "\(pages)")
        let main = folder.read("man/portcullis.8")
        #expect(!main.contains("worker") && !main.contains("control 8") && !main.hasSuffix(",\n"), "\(main)")
    }
}
