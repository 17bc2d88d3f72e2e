import Foundation
import TestSockets
import Testing

/// Credentials as the neighbours of the gateway take them: shared secrets, tokens in the query or of another scheme.
@Suite(.serialized) struct NeighbourCredentialTests {
    /// A token signed with a secret, by the openssl program.
    private func token(
        _ secret: String, _ algorithm: String = "HS256", in folder: TemporaryFolder, kid: String? = nil, expiresIn seconds: Int = 600
    ) throws -> String {
        let now = Int(Date().timeIntervalSince1970)
        let header = "{\"alg\":\"\(algorithm)\",\"typ\":\"JWT\"\(kid.map { ",\"kid\":\"\($0)\"" } ?? "")}"
        let claims = "{\"iss\":\"https://old.example\",\"sub\":\"ann\",\"exp\":\(now + seconds),\"scope\":\"read\"}"
        let input = [header, claims].map { Credentials.base64URL(Data($0.utf8)) }.joined(separator: ".")
        let file = try folder.write(UUID().uuidString, input)
        _ = try run(
            Executable.openssl,
            ["dgst", "-sha\(algorithm.suffix(3))", "-mac", "HMAC", "-macopt", "key:\(secret)", "-binary", "-out", file + ".mac", file])
        return input + "." + Credentials.base64URL(try Data(contentsOf: URL(fileURLWithPath: file + ".mac")))
    }

    private static let secret = "a secret of more than thirty-two bytes", second = "another secret of more than 32 bytes"

    private func stage(_ version: String, token: String, routes: String) throws -> Stage {
        let stage = try Stage(version: version, token: token)
        try stage.folder.write("secret", Self.secret + "\n")
        try stage.folder.write("second", Data(Self.second.utf8).base64EncodedString())
        try stage.gateway.rewrite(
            stage.configuration(
                routes,
                """
                issuer old { url https://old.example; secret secret; secret second base64; audience any; algorithms HS256 HS512; }
                """))
        #expect(stage.gateway.reload())
        return stage
    }

    @Test(arguments: HTTPVersions.all) func sharedSecretsAreForTheIssuerThatHasThem(version: String) throws {
        let stage = try stage(
            version, token: "header Authorization;",
            routes:
                "route /** { upstream app; auth old; scope read; set_header X-User-Id $claim.sub; set_header X-Odd $token.payload; } route /sso { upstream app; auth sso; }"
        )
        func ask(_ token: String, _ path: String = "/a") throws -> Answer {
            try stage.gateway.curl(path, ["-H", "Authorization: Bearer \(token)"])
        }
        let good = try token(Self.secret, in: stage.folder)
        let answer = try ask(good)
        #expect(answer.status == 200 && answer.echoed("user") == "ann" && answer.echoed("odd") == String(good.split(separator: ".")[1]))
        #expect(try ask(token(Self.second, "HS512", in: stage.folder)).status == 200)
        // A name of a key is nothing to go by, and asks nobody for keys.
        #expect(try ask(token(Self.secret, in: stage.folder, kid: "x")).status == 200)
        #expect(try ask(token(Self.secret + "x", in: stage.folder, kid: "x")).body.contains("token_signature_invalid"))
        #expect(try ask(token(Self.secret, "HS384", in: stage.folder)).body.contains("token_algorithm_not_allowed"))
        #expect(try ask(token(Self.secret, in: stage.folder, expiresIn: -600)).body.contains("token_expired"))
        #expect(try ask(good, "/sso").body.contains("token_issuer_not_accepted"))
        // A public key as the secret: its issuer takes no such algorithm.
        let confused = try String(decoding: Data(contentsOf: URL(fileURLWithPath: stage.signer.keySetFile)), as: UTF8.self)
        let parts = good.split(separator: ".").map(String.init)
        let claims = try JSONSerialization.data(withJSONObject: [
            "iss": "https://sso.example.com", "sub": "root", "aud": "api.example.com", "exp": Int(Date().timeIntervalSince1970) + 600,
        ])
        let input = parts[0] + "." + Credentials.base64URL(claims)
        let file = try stage.folder.write("confused", input)
        _ = try run(
            Executable.openssl,
            [
                "dgst", "-sha256", "-mac", "HMAC", "-macopt", "hexkey:" + confused.utf8.map { String(format: "%02x", $0) }.joined(),
                "-binary", "-out", file + ".mac", file,
            ])
        let forged = input + "." + Credentials.base64URL(try Data(contentsOf: URL(fileURLWithPath: file + ".mac")))
        #expect(try ask(forged, "/sso").body.contains("token_algorithm_not_allowed"))
    }

    @Test(arguments: HTTPVersions.all) func aTokenInTheQueryReachesNoService(version: String) throws {
        let stage = try stage(
            version, token: "header Authorization; query access_token;",
            routes: "route /** { upstream app; auth sso; set_header X-User-Id $claim.sub; } route /open/** { upstream app; public; }")
        let token = try stage.signer.token(subject: "ann")
        func seen(_ path: String) throws -> String? {
            let answer = try stage.gateway.curl(path)
            return answer.status == 200 ? answer.echoed("uri") : "\(answer.status)"
        }
        #expect(try seen("/a?access_token=\(token)") == "/a")
        #expect(try seen("/a?x=1&access_token=\(token)") == "/a?x=1")
        #expect(try seen("/a?access_token=\(token)&x=1&") == "/a?x=1&")
        #expect(try seen("/a?x=1&access%5ftoken=\(token)&y=%26") == "/a?x=1&y=%26")
        // Two that differ are none; a public route does not look, and does not show it.
        #expect(try seen("/a?access_token=\(token)&access_token=x") == "401")
        #expect(try seen("/a?access_tokens=\(token)") == "401" && seen("/a?access_token=") == "401")
        #expect(try seen("/open/a?access_token=secret&x") == "/open/a?x")
    }

    @Test(arguments: HTTPVersions.all) func aTokenOfAnotherScheme(version: String) throws {
        let stage = try stage(
            version, token: "header Authorization scheme Token;",
            routes: "route /** { upstream app; auth sso; set_header X-User-Id $claim.sub; } route /open/** { upstream app; public; }")
        let token = try stage.signer.token(subject: "ann")
        func ask(_ value: String, _ path: String = "/a") throws -> Answer {
            try stage.gateway.curl(path, ["-H", "Authorization: \(value)"])
        }
        let answer = try ask("token \(token)")
        #expect(answer.status == 200 && answer.echoed("user") == "ann" && answer.echoed("authorization") == "")
        #expect(try ask("Bearer \(token)").status == 401 && ask("Tokens \(token)").status == 401 && ask("Token").status == 401)
        #expect(try ask("Token \(token)", "/open/a").echoed("authorization") == "")
        #expect(try ask("Basic YTpi", "/open/a").echoed("authorization") == "Basic YTpi")
    }

    @Test(arguments: [
        ("token { header X-Key scheme Token; }", "this place is not understood"),
        ("token { header Authorization scheme Basic; }", "write basic_password;"),
        ("token { query a; query a; }", "this place stands twice"), ("token { query; }", "'query' has 0 arguments"),
        ("token { query t; } route /s { upstream app; auth sso; sign_in /x?rd=$request.url; }", "may hold a credential"),
        ("route /s { upstream app; public; set_header X $token.payload; }", "no token lets a request in here"),
        ("route /s { upstream app; auth sso; add_response_header X $token.payload; }", "$token.payload stands in set_header alone"),
    ]) func complains(text: String, expected: String) throws {
        let stage = try Stage()
        var configuration = stage.configuration("route /** { upstream app; public; } \(text)")
        if text.hasPrefix("token") {
            configuration = configuration.replacing("token { cookie access_token; header Authorization; header X-Api-Key; }", with: "")
        }
        let output = try stage.check(configuration)
        #expect(output.status == 1 && output.errors.contains(expected), "\(output.errors)")
    }
}
