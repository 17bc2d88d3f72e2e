import Bytes
import HTTPMessage

/// A compact JWS taken apart, not yet verified. Source: RFC 7515 §3.1, §4.
package struct CompactJWS {
    package let algorithm: Algorithm
    package let keyID: String?
    package let type: String?
    /// The bytes that are signed: the first two parts with their dot.
    package let signed: Range<Int>
    package let payload: [UInt8]
    package let signature: [UInt8]

    /// - Throws: what is wrong with the form or the header. Parameters that change what is signed or how it is read are refused; those
    ///   that name keys (`jku`, `jwk`, `x5u`, `x5c`) are not looked at (RFC 7515 §4), so that nothing in the token says which key checks it
    ///   (RFC 8725 §3.1, §3.5, §3.10).
    package init(_ token: Span<UInt8>) throws(CredentialError) {
        guard token.count <= Limits.tokenBytesMax else { throw .tooLarge }
        guard let first = token.firstIndex(of: 0x2E), let second = token.firstIndex(of: 0x2E, from: first + 1) else { throw .malformed }
        if let third = token.firstIndex(of: 0x2E, from: second + 1) {
            guard let fourth = token.firstIndex(of: 0x2E, from: third + 1), token.firstIndex(of: 0x2E, from: fourth + 1) == nil else {
                throw .malformed
            }
            throw .encrypted
        }
        // The payload may be empty; what it has to be is for others to say.
        guard first > 0, token.count > second + 1 else { throw .malformed }
        guard let headerBytes = Base64URL.decode(token.extracting(0..<first)),
            let payload = Base64URL.decode(token.extracting((first + 1)..<second)),
            let signature = Base64URL.decode(token.extracting((second + 1)..<token.count))
        else { throw .malformed }
        let header: JSONValue
        do {
            header = try JSONReader.read(headerBytes)
        } catch {
            throw .malformed
        }
        guard case .object(let members) = header else { throw .malformed }
        var algorithmName: String?
        var keyID: String?
        var type: String?
        for member in members {
            switch member.name {
            case "alg": algorithmName = try Self.text(member)
            case "kid": keyID = try Self.text(member)
            case "typ": type = try Self.text(member)
            case "crit", "b64", "zip", "enc": throw .forbiddenHeader(member.name)
            default: break
            }
        }
        guard let algorithmName else { throw .malformed }
        guard let algorithm = Algorithm(algorithmName) else { throw .algorithmUnsupported }
        self.algorithm = algorithm
        self.keyID = keyID
        self.type = type
        self.signed = 0..<second
        self.payload = payload
        self.signature = signature
    }

    private static func text(_ member: JSONValue.Member) throws(CredentialError) -> String {
        guard let text = member.value.string else { throw .malformed }
        return text
    }
}
