import Bytes
import HTTPMessage

/// Why a document is not a key set.
package enum KeySetError: Error, Equatable, Sendable {
    case tooLarge, notJSON(String), notAKeySet

    package var explanation: String {
        switch self {
        case .tooLarge: "it is larger than \(Limits.keySetBytesMax) bytes or has more than \(Limits.keySetKeysMax) keys"
        case .notJSON(let reason): "it is not JSON (\(reason))"
        case .notAKeySet: "it has no array called keys"
        }
    }
}

/// An issuer's public keys (RFC 7517 §5), or the secrets that it shares.
package struct KeySet {
    /// A key that is published but cannot be used.
    package struct UnusableKey: Equatable {
        package let keyID: String?
        package let cause: String

        package var text: String { (keyID.map { "'\($0)'" } ?? "one without kid") + ": \(cause)" }
    }

    package let keys: [VerificationKey]
    package let unusable: [UnusableKey]
    private let secrets: [SharedSecret]

    /// The keys of an issuer that signs with secrets; each of them does.
    package init(_ secrets: [SharedSecret]) {
        keys = []
        unusable = []
        self.secrets = secrets
    }

    /// Reads a JWKS document, or one JWK. A set without a key that can be used is a set: its issuer has no keys.
    package init(_ document: [UInt8]) throws(KeySetError) {
        guard document.count <= Limits.keySetBytesMax else { throw .tooLarge }
        let json: JSONValue
        do {
            // Some servers put a byte order mark before it, which RFC 8259 §8.1 lets a reader pass over.
            json = try JSONReader.read(document.starts(with: [0xEF, 0xBB, 0xBF]) ? Array(document.dropFirst(3)) : document)
        } catch {
            throw .notJSON(error.rawValue)
        }
        guard case .array(let entries) = json["keys"] ?? (json["kty"] != nil ? .array([json]) : .null) else { throw .notAKeySet }
        guard entries.count <= Limits.keySetKeysMax else { throw .tooLarge }
        var keys: [VerificationKey] = []
        var unusable: [UnusableKey] = []
        for entry in entries {
            do {
                keys.append(try VerificationKey.read(entry))
            } catch {
                unusable.append(UnusableKey(keyID: entry["kid"]?.string, cause: error.cause))
            }
        }
        secrets = []
        self.keys = keys
        self.unusable = unusable
    }

    /// Verifies a signature with the key that the header names.
    ///
    /// - Throws: `keyUnknown` when no key has the identifier, `keyAmbiguous` when several different ones fit.
    package func verify(_ jws: CompactJWS, _ token: Span<UInt8>) throws(CredentialError) {
        if !secrets.isEmpty {
            guard jws.algorithm.keyType == .secret else { throw .algorithmNotAllowed }
            let signed = token.extracting(jws.signed)
            for secret in secrets where secret.verify(jws.signature, over: signed, with: jws.algorithm) { return }
            throw .signatureInvalid
        }
        var candidates = keys
        if let keyID = jws.keyID {
            candidates = keys.filter { $0.keyID?.isExactly(keyID) ?? false }
            guard !candidates.isEmpty else {
                if let unusable = unusable.first(where: { $0.keyID?.isExactly(keyID) ?? false }) { throw .keyUnusable(unusable.cause) }
                throw .keyUnknown
            }
        }
        candidates = candidates.filter { $0.fits(jws.algorithm) }
        guard let first = candidates.first else { throw jws.keyID == nil ? .keyUnknown : .algorithmNotAllowed }
        // A set may list a key once for each algorithm that it is used with.
        let exact = candidates.filter { $0.algorithm == jws.algorithm }
        let key = exact.first ?? first
        // Two keys under one name: nobody can say which is meant.
        guard (exact.isEmpty ? candidates : exact).allSatisfy({ $0.isSameKey(as: key) }) else { throw .keyAmbiguous }
        guard key.verify(jws.signature, over: token.extracting(jws.signed), with: jws.algorithm) else { throw .signatureInvalid }
    }
}
