import Bytes
import HTTPMessage

/// Why a document is not a key set.
package enum KeySetError: Error, Equatable, Sendable {
    case tooLarge, notJSON(String), notAKeySet, noUsableKey

    package var explanation: String {
        switch self {
        case .tooLarge: "it is larger than \(Limits.keySetBytesMax) bytes or has more than \(Limits.keySetKeysMax) keys"
        case .notJSON(let reason): "it is not JSON (\(reason))"
        case .notAKeySet: "it has no array called keys"
        case .noUsableKey: "none of its keys is a public RSA, EC or Ed25519 key for signatures"
        }
    }
}

/// An issuer's public keys. Source: RFC 7517 §5.
package struct KeySet {
    package let keys: [VerificationKey]

    /// Reads a JWKS document, or one JWK. Keys of other kinds are passed over (RFC 7517 §5).
    package init(_ document: [UInt8]) throws(KeySetError) {
        guard document.count <= Limits.keySetBytesMax else { throw .tooLarge }
        let json: JSONValue
        do {
            json = try JSONReader.read(document)
        } catch {
            throw .notJSON(error.rawValue)
        }
        guard case .array(let entries) = json["keys"] ?? (json["kty"] != nil ? .array([json]) : .null) else { throw .notAKeySet }
        guard entries.count <= Limits.keySetKeysMax else { throw .tooLarge }
        keys = entries.compactMap { VerificationKey.read($0) }
        guard !keys.isEmpty else { throw .noUsableKey }
    }

    /// Verifies a signature with the key that the header names.
    ///
    /// - Throws: `keyUnknown` when no key has the identifier, `keyAmbiguous` when several fit.
    package func verify(_ jws: CompactJWS, _ token: Span<UInt8>) throws(TokenError) {
        var candidates = keys.filter { $0.fits(jws.algorithm) }
        if let keyID = jws.keyID {
            guard keys.contains(where: { $0.keyID?.isExactly(keyID) ?? false }) else { throw .keyUnknown }
            candidates = candidates.filter { $0.keyID?.isExactly(keyID) ?? false }
            guard !candidates.isEmpty else { throw .algorithmNotAllowed }
            // Two keys under one name: nobody can say which is meant.
            guard candidates.count == 1 else { throw .keyAmbiguous }
        } else {
            guard candidates.count <= 1 else { throw .keyAmbiguous }
            guard !candidates.isEmpty else { throw .keyUnknown }
        }
        guard candidates[0].verify(jws.signature, over: token.extracting(jws.signed), with: jws.algorithm) else { throw .signatureInvalid }
    }
}
