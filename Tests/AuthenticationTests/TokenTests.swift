@testable import Authentication
import Bytes
import ConfigFile
import HTTP1
import HTTPMessage
import TestSupport
import Testing

@Suite struct JSONReaderTests {
    private func read(_ text: String) throws -> JSONValue { try JSONReader.read([UInt8](text.utf8)) }

    @Test func reads() throws {
        let value = try read(" {\"a\": [1, -2.5e3, true, null, \"x\\u00e9\\ud83d\\ude00\\n\"], \"b\": {}} ")
        #expect(value["b"] == .object([]))
        guard case .array(let elements) = value["a"] else { return #expect(Bool(false)) }
        #expect(elements[1].number?.value == -2_500)
        #expect(elements[4] == .string("xé😀\n"))
    }

    @Test(arguments: [
        "", "{", "}", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}", "[1,]", "[1 2]", "01", "+1", "1.", ".5", "1e", "-", "nul", "truee",
        "\"\\x\"", "\"\\ud800\"",
        "\"\\udc00\\ud800\"", "\"\u{1}\"", "\"unclosed", "{} {}", "'a'", "[1]x",
    ])
    func refuses(text: String) { #expect(throws: JSONError.self) { _ = try read(text) } }

    @Test func refusesDuplicateNames() {
        #expect(throws: JSONError.duplicateName) { _ = try read("{\"a\":1,\"b\":2,\"a\":3}") }
        #expect(throws: JSONError.duplicateName) { _ = try read("{\"a\":1,\"\\u0061\":3}") }
        let many = (0..<30).map { "\"name\($0)\":\($0)" }
        #expect(throws: Never.self) { _ = try read("{\(many.joined(separator: ","))}") }
        for number in 0..<30 {
            #expect(throws: JSONError.duplicateName) { _ = try read("{\((many + ["\"name\(number)\":0"]).joined(separator: ","))}") }
        }
    }

    @Test func boundsDepthAndSize() {
        #expect(throws: JSONError.tooDeep) { _ = try read(String(repeating: "[", count: 100) + String(repeating: "]", count: 100)) }
        #expect(throws: JSONError.tooLarge) { _ = try read("[" + String(repeating: "1,", count: 10_000) + "1]") }
        #expect(throws: JSONError.self) { _ = try JSONReader.read([0x22, 0xFF, 0x22]) }
    }
}

@Suite struct TokenSourceTests {
    private let sources = TokenSources(sources: [.cookie([UInt8]("t".utf8)), .bearer, .field([UInt8]("x-api-key".utf8))])

    private func find(_ lines: String...) throws -> String? {
        let bytes = [UInt8]((["GET / HTTP/1.1", "Host: a"] + lines).joined(separator: "\r\n").utf8) + [13, 10, 13, 10]
        var head = RequestHead()
        var parser = RequestParser()
        _ = try parser.parse(bytes.span, into: &head)
        switch try sources.find(head) {
        case .none: return nil
        case .one(let range, _): return head.bytes.extracting(range).text
        case .cookies(let ranges): return ranges.map { head.bytes.extracting($0).text }.joined(separator: "|")
        case .password(let token, let user): return "\(String(decoding: user, as: UTF8.self)):\(String(decoding: token, as: UTF8.self))"
        }
    }

    @Test func theFirstPlaceThatHasOneDecides() throws {
        #expect(try find("Authorization: Bearer two", "Cookie: t=one") == "one")
        #expect(try find("Authorization: bearer  two ", "X-API-Key: three") == "two")
        #expect(try find("X-Api-Key: three") == "three")
        #expect(try find("Authorization: Basic abc", "X-Api-Key: three") == "three")
        #expect(try find("Cookie: t=; other=x", "Authorization: Bearer two") == "two")
        #expect(try find("Cookie: T=x; tt=y") == nil)
        #expect(try find("Cookie: t=\"quoted\"") == "quoted")
    }

    @Test func twoDifferentTokensAreAmbiguous() throws {
        #expect(try find("Cookie: t=1", "Cookie: t=2; t=1") == "1|2")
        #expect(throws: CredentialError.ambiguous) { _ = try find("Cookie: t=1; t=2; t=3; t=4") }
        #expect(try find("Cookie: t=1; t=1") == "1")
        #expect(try find("Authorization: Bearer a", "Authorization: Bearer a") == "a")
        #expect(try find("Authorization: Basic eA==", "Authorization: Bearer a") == "a")
        #expect(throws: CredentialError.ambiguous) { _ = try find("Authorization: Bearer a", "Authorization: Bearer b") }
        #expect(throws: CredentialError.ambiguous) { _ = try find("X-Api-Key: a", "x-api-key: b") }
    }
}

@Suite struct CompactJWSTests {
    private func token(_ header: String, payload: String = "{}") -> [UInt8] {
        Base64URL.encode([UInt8](header.utf8)) + [0x2E] + Base64URL.encode([UInt8](payload.utf8)) + [0x2E] + Base64URL.encode([1, 2, 3])
    }

    private func read(_ bytes: [UInt8]) throws(CredentialError) { _ = try CompactJWS(bytes.span) }

    @Test(arguments: ["crit", "b64", "zip", "enc"]) func refusesWhatWouldSayHowItIsChecked(name: String) {
        #expect(throws: CredentialError.forbiddenHeader(name)) { try read(token("{\"alg\":\"EdDSA\",\"\(name)\":[\"x\"]}")) }
    }

    /// Nobody looks at them (RFC 7515 §4).
    @Test(arguments: ["jku", "jwk", "x5u", "x5c", "other"]) func passesOverWhatNamesKeys(name: String) throws {
        try read(token("{\"alg\":\"EdDSA\",\"\(name)\":[\"x\"]}"))
    }

    @Test(arguments: ["none", "None", "HS1", "hs256", "RS1", "", "dir"]) func refusesAlgorithms(name: String) {
        #expect(throws: CredentialError.algorithmUnsupported) { try read(token("{\"alg\":\"\(name)\"}")) }
    }

    @Test(arguments: ["EdDSA", "EDDSA", "Ed25519", "ED25519"]) func takesTheSpellingsOfEd25519(name: String) throws {
        let bytes = token("{\"alg\":\"\(name)\"}")
        #expect(try CompactJWS(bytes.span).algorithm == .edDSA)
    }

    @Test func refusesDuplicatesAndWrongTypes() {
        #expect(throws: CredentialError.malformed) { try read(token("{\"alg\":\"EdDSA\",\"alg\":\"EdDSA\"}")) }
        #expect(throws: CredentialError.malformed) { try read(token("{\"alg\":5}")) }
        #expect(throws: CredentialError.malformed) { try read(token("{\"alg\":\"EdDSA\",\"kid\":5}")) }
        #expect(throws: CredentialError.malformed) { try read(token("[]")) }
        #expect(throws: CredentialError.malformed) { try read([UInt8]("a.b".utf8)) }
        #expect(throws: CredentialError.encrypted) { try read([UInt8]("a.b.c.d.e".utf8)) }
        #expect(throws: CredentialError.malformed) { try read([UInt8]("a.b.c.d".utf8)) }
        #expect(throws: CredentialError.tooLarge) { try read([UInt8](repeating: 0x61, count: 20_000)) }
    }
}

@Suite struct PayloadScanTests {
    private func scan(_ text: String) -> String {
        let bytes = [UInt8](text.utf8)
        let scan = PayloadScan(bytes.span)
        return "\(scan.issuer ?? "-") \(scan.subject ?? "-")"
    }

    @Test func findsMembersOfTheOutermostObjectAlone() {
        #expect(scan("{\"iss\":\"a\",\"sub\":\"b\"}") == "a b")
        #expect(scan(" { \"x\" : [ {\"iss\":\"no\"}, \"iss\" ] , \"iss\" :\n\"a\" }") == "a -")
        #expect(scan("{\"x\":\"iss\",\"y\":{\"sub\":\"no\"},\"sub\":\"b\"}") == "- b")
        #expect(scan("{\"x\":\"\\\",\\\"iss\\\":\\\"no\",\"iss\":\"https:\\/\\/a\"}") == "https://a -")
        #expect(scan("{\"iss\":5,\"sub\":null}") == "- -")
        #expect(scan("{\"iss\":{\"iss\":\"no\"}}") == "- -")
        for text in ["", "{", "{\"iss\"", "{\"iss\":", "{\"iss\":\"a", "]]]", "[\"iss\"", "\\"] { _ = scan(text) }
    }

    /// Of what is JSON it says what the reader says.
    @Test func agreesWithTheReader() throws {
        var random = SystemRandomNumberGenerator()
        let pieces = ["{", "}", "[", "]", ",", ":", "\"iss\"", "\"sub\"", "\"a\"", "1", "\"\\\"\"", " ", "null"]
        var compared = 0
        for _ in 0..<200_000 {
            let text =
                "{\"iss\":" + (0..<Int.random(in: 1...7, using: &random)).compactMap { _ in pieces.randomElement(using: &random) }.joined()
                + "}"
            guard let value = try? JSONReader.read([UInt8](text.utf8)) else { continue }
            compared += 1
            #expect(scan(text) == "\(value["iss"]?.string ?? "-") \(value["sub"]?.string ?? "-")", "\(text)")
        }
        #expect(compared > 1_000)
    }
}

@Suite struct KeySetTests {
    private func issuer(_ types: String = "") -> Issuer {
        Issuer(name: "a", url: "https://a", keys: .file(""), audiences: [], algorithms: [.edDSA])
    }

    private func refusal(_ claims: String) -> String {
        guard let value = try? JSONReader.read([UInt8]("{\"exp\":2000,\(claims)}".utf8)) else { return "unreadable" }
        do {
            _ = try issuer().check(Claims(value), at: 1_000)
            return ""
        } catch {
            return error.reason
        }
    }

    @Test func onlyAccessTokensAreTaken() {
        #expect(refusal("\"sub\":\"a\"") == "")
        for claim in ["events", "nonce", "at_hash", "c_hash"] { #expect(refusal("\"\(claim)\":\"x\"") == "token_not_access_token") }
        #expect(refusal("\"events\":{\"http://schemas.openid.net/event/backchannel-logout\":{}}") == "token_not_access_token")
        #expect(refusal("\"token_use\":\"id\"") == "token_not_access_token")
        #expect(refusal("\"token_use\":\"access\"") == "")
        #expect(refusal("\"cnf\":{\"jkt\":\"x\"}") == "token_bound")
        for subject in ["5", "null", "[\"a\"]", "{}"] { #expect(refusal("\"sub\":\(subject)") == "token_claim_malformed") }
    }

    @Test func theTypesOfAccessTokensAreTakenAndNoOthers() {
        for type in [nil, "JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "application/jwt"] { #expect(issuer().takes(type: type)) }
        for type in ["logout+jwt", "dpop+jwt", "secevent+jwt", "x", "", "id_token"] { #expect(issuer().takes(type: type) == type.isEmpty) }
    }

    @Test func aSetSaysWhichKeysCannotBeUsedAndWhy() throws {
        let set = try KeySet(
            [UInt8](
                """
                {"keys":[{"kty":"OKP","crv":"Ed25519","kid":"good","x":"nJe8HKPHLcjY6KHTFCVUqLA2dG_SpobW2dcuYQ-WAM4"},
                {"kty":"OKP","crv":"Ed25519","kid":"enc","use":"enc","x":"nJe8HKPHLcjY6KHTFCVUqLA2dG_SpobW2dcuYQ-WAM4"},
                {"kty":"oct","kid":"secret","k":"AAAA"},{"kty":"RSA","n":"AQAB","e":"AQAB"},
                {"kty":"OKP","crv":"Ed25519","kid":"alg","alg":"RS256","x":"nJe8HKPHLcjY6KHTFCVUqLA2dG_SpobW2dcuYQ-WAM4"}]}
                """.utf8))
        #expect(set.keys.count == 1)
        #expect(
            set.unusable.map(\.text) == [
                "'enc': its use is enc, not sig", "'secret': its kty is oct, which is not supported",
                "one without kid: its n and e are no RSA key of 2048 to 8192 bits", "'alg': its alg RS256 is not for keys of its type",
            ])
        // A set without keys is one; with a byte order mark too.
        #expect(try KeySet([UInt8]("{\"keys\":[]}".utf8)).keys.isEmpty)
        #expect(try KeySet([0xEF, 0xBB, 0xBF] + [UInt8]("{\"keys\":[]}".utf8)).keys.isEmpty)
        #expect(throws: KeySetError.notAKeySet) { _ = try KeySet([UInt8]("{}".utf8)) }
    }

    @Test func aProxyIsNamedInTheFileOrTheEnvironment() {
        #expect(KeyProxy("http://proxy:3128")?.port == 3_128)
        #expect(KeyProxy("http://u:p@proxy/")?.authorization == "Basic dTpw")
        #expect(KeyProxy("https://proxy") == nil)
        let environment = ["HTTPS_PROXY": "http://proxy:8080", "no_proxy": "localhost, .internal,example.org"]
        #expect(KeyProxy(for: "sso.example.com", environment: environment)?.host == "proxy")
        for host in ["localhost", "sso.internal", "EXAMPLE.org", "a.example.org"] {
            #expect(KeyProxy(for: host, environment: environment) == nil)
        }
        #expect(KeyProxy(for: "notexample.org", environment: environment) != nil)
        #expect(KeyProxy(for: "a", environment: [:]) == nil)
    }
}

@Suite struct CrossOriginRuleTests {
    private func allows(_ mode: CrossOriginRule.Mode, _ method: String, _ lines: String..., isUpgrade: Bool = false) throws -> Bool {
        let head = try Heads.request((["\(method) / HTTP/1.1", "Host: app.example.com"] + lines).joined(separator: "\r\n"))
        return CrossOriginRule(mode, allowed: ["https://good.example.org", "http://dev.local:8080"]).allows(
            head, isUpgrade: isUpgrade, authority: head.fields.first(.host)?.value, isHTTPS: true)
    }

    @Test func followsTheRuleOfGo() throws {
        for method in ["GET", "HEAD", "OPTIONS"] {
            #expect(try allows(.strict, method, "Sec-Fetch-Site: cross-site", "Origin: https://evil"))
        }
        for method in ["POST", "PUT", "DELETE", "PATCH", "PROPFIND"] {
            #expect(try allows(.strict, method, "Sec-Fetch-Site: same-origin"))
            #expect(try allows(.strict, method, "Sec-Fetch-Site: none"))
            for site in ["cross-site", "same-site", "", "Same-Origin", "x"] {
                #expect(try !allows(.on, method, "Sec-Fetch-Site: \(site)", "Origin: https://app.example.com"), "\(site)")
                #expect(try allows(.on, method, "Sec-Fetch-Site: \(site)", "Origin: https://good.example.org"), "\(site)")
            }
            #expect(try !allows(.on, method, "Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site"))
            for origin in ["https://app.example.com", "https://APP.example.com:443", "https://good.example.org", "http://dev.local:8080"] {
                #expect(try allows(.strict, method, "Origin: \(origin)"), "\(origin)")
            }
            for origin in [
                "http://app.example.com", "https://app.example.com:8443", "null", "https://evil", "https://app.example.com.evil",
                "app.example.com", "",
            ] {
                #expect(try !allows(.on, method, "Origin: \(origin)"), "\(origin)")
            }
            #expect(try !allows(.on, method, "Origin: https://app.example.com", "Origin: https://evil"))
            #expect(try allows(.on, method))
            #expect(try !allows(.strict, method))
            #expect(try allows(.off, method, "Sec-Fetch-Site: cross-site"))
        }
        #expect(try !allows(.on, "GET", "Origin: https://evil", isUpgrade: true))
        #expect(try !allows(.on, "GET", "Sec-Fetch-Site: cross-site", isUpgrade: true))
        #expect(try allows(.on, "GET", "Origin: https://app.example.com", isUpgrade: true))
    }
}

@Suite struct ClaimsTests {
    private func claims(_ text: String) throws -> Claims { Claims(try JSONReader.read([UInt8](text.utf8))) }

    @Test func scopesAreAnArrayOrOneString() throws {
        #expect(try claims("{\"scopes\":[\"a\",\"b c\"]}").scopes(["scopes", "scope"]) == ["a", "b c"])
        #expect(try claims("{\"scope\":\"a b\"}").scopes(["scopes", "scope"]) == ["a", "b"])
        #expect(try claims("{\"scopes\":[1],\"scope\":\"a\"}").scopes(["scopes", "scope"]) == [])
        #expect(try claims("{}").scopes(["scopes"]) == [])
    }

    @Test func aPointerReachesNestedClaims() throws {
        let claims = try claims("{\"realm_access\":{\"roles\":[\"a\",\"b\"]},\"a/b\":{\"m~n\":1},\"\":5,\"l\":[[\"x\"]]}")
        #expect(claims.texts("/realm_access/roles") == ["a", "b"])
        #expect(claims.scopes(["/realm_access/none", "/realm_access/roles"]) == ["a", "b"])
        #expect(claims.texts("/realm_access/roles/1") == ["b"])
        #expect(claims.texts("/a~1b/m~0n") == ["1"])
        #expect(claims.texts("/") == ["5"])
        #expect(claims.texts("/l/0/0") == ["x"])
        for name in [
            "/realm_access", "/realm_access/roles/2", "/realm_access/roles/01", "/realm_access/roles/-", "/realm_access/roles/x",
            "realm_access.roles",
        ] {
            #expect(claims.texts(name) == nil, "\(name)")
        }
    }

    @Test func textsAreWhatAHeaderCanCarry() throws {
        let claims = try claims("{\"s\":\"x\",\"n\":12345678901234567890,\"b\":true,\"a\":[\"x\",1],\"o\":{},\"m\":[{}],\"z\":null}")
        #expect(claims.texts("s") == ["x"])
        #expect(claims.texts("n") == ["12345678901234567890"])
        #expect(claims.texts("b") == ["true"])
        #expect(claims.texts("a") == ["x", "1"])
        for name in ["o", "m", "z", "absent"] { #expect(claims.texts(name) == nil) }
    }
}
