import Authentication
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
        guard let range = try sources.find(head) else { return nil }
        return head.bytes.extracting(range).text
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
        #expect(throws: TokenError.ambiguous) { _ = try find("Cookie: t=1", "Cookie: t=2") }
        #expect(try find("Cookie: t=1; t=1") == "1")
        #expect(throws: TokenError.ambiguous) { _ = try find("Authorization: Bearer a", "Authorization: Bearer a") }
        #expect(throws: TokenError.ambiguous) { _ = try find("X-Api-Key: a", "x-api-key: b") }
    }
}

@Suite struct CompactJWSTests {
    private func token(_ header: String, payload: String = "{}") -> [UInt8] {
        Base64URL.encode([UInt8](header.utf8)) + [0x2E] + Base64URL.encode([UInt8](payload.utf8)) + [0x2E] + Base64URL.encode([1, 2, 3])
    }

    private func read(_ bytes: [UInt8]) throws(TokenError) { _ = try CompactJWS(bytes.span) }

    @Test(arguments: ["crit", "jku", "jwk", "x5u", "x5c", "b64", "zip", "enc"]) func refusesWhatWouldSayHowItIsChecked(name: String) {
        #expect(throws: TokenError.forbiddenHeader(name)) { try read(token("{\"alg\":\"EdDSA\",\"\(name)\":[\"x\"]}")) }
    }

    @Test(arguments: ["none", "None", "HS256", "HS512", "RS1", "", "dir"]) func refusesAlgorithms(name: String) {
        #expect(throws: TokenError.algorithmUnsupported) { try read(token("{\"alg\":\"\(name)\"}")) }
    }

    @Test(arguments: ["EdDSA", "EDDSA", "Ed25519", "ED25519"]) func takesTheSpellingsOfEd25519(name: String) throws {
        let bytes = token("{\"alg\":\"\(name)\"}")
        #expect(try CompactJWS(bytes.span).algorithm == .edDSA)
    }

    @Test func refusesDuplicatesAndWrongTypes() {
        #expect(throws: TokenError.malformed) { try read(token("{\"alg\":\"EdDSA\",\"alg\":\"EdDSA\"}")) }
        #expect(throws: TokenError.malformed) { try read(token("{\"alg\":5}")) }
        #expect(throws: TokenError.malformed) { try read(token("{\"alg\":\"EdDSA\",\"kid\":5}")) }
        #expect(throws: TokenError.malformed) { try read(token("[]")) }
        #expect(throws: TokenError.malformed) { try read([UInt8]("a.b".utf8)) }
        #expect(throws: TokenError.encrypted) { try read([UInt8]("a.b.c.d.e".utf8)) }
        #expect(throws: TokenError.malformed) { try read([UInt8]("a.b.c.d".utf8)) }
        #expect(throws: TokenError.tooLarge) { try read([UInt8](repeating: 0x61, count: 20_000)) }
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

    @Test func textsAreWhatAHeaderCanCarry() throws {
        let claims = try claims("{\"s\":\"x\",\"n\":12345678901234567890,\"b\":true,\"a\":[\"x\",1],\"o\":{},\"m\":[{}],\"z\":null}")
        #expect(claims.texts("s") == ["x"])
        #expect(claims.texts("n") == ["12345678901234567890"])
        #expect(claims.texts("b") == ["true"])
        #expect(claims.texts("a") == ["x", "1"])
        for name in ["o", "m", "z", "absent"] { #expect(claims.texts(name) == nil) }
    }
}
