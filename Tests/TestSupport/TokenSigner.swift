import Bytes
import COpenSSL

/// An Ed25519 key that signs tokens within the test's process, fast enough for thousands.
@safe package final class TokenSigner {
    package let keyID: String
    /// The public half, as a JWKS.
    package let keySet: String
    private let key: OpaquePointer

    package init(keyID: String = "test") {
        self.keyID = keyID
        // SAFETY: the key lives as long as the signer; the array is lent for the call with its size.
        let made = unsafe pc_new_ed25519_key()
        guard let key = unsafe made else { preconditionFailure("OpenSSL makes no Ed25519 key") }
        var publicKey = [UInt8](repeating: 0, count: 32)
        var count = publicKey.count
        let isRead = unsafe EVP_PKEY_get_raw_public_key(key, &publicKey, &count) == 1
        precondition(isRead, "a key that was just made cannot be read")
        let x = String(decoding: Base64URL.encode(publicKey), as: UTF8.self)
        keySet = "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"use\":\"sig\",\"kid\":\"\(keyID)\",\"x\":\"\(x)\"}]}"
        unsafe self.key = unsafe key
    }

    // SAFETY: made by this object, used nowhere else.
    deinit { unsafe EVP_PKEY_free(key) }

    /// A token with this payload, which is a JSON object.
    package func token(_ payload: String) -> [UInt8] {
        let header = "{\"alg\":\"EdDSA\",\"typ\":\"JWT\",\"kid\":\"\(keyID)\"}"
        let signed = Base64URL.encode(Array(header.utf8)) + [UInt8(ascii: ".")] + Base64URL.encode(Array(payload.utf8))
        var signature = [UInt8](repeating: 0, count: 64)
        var count = signature.count
        // SAFETY: the context is freed below; the arrays are lent for the call with their sizes.
        let context = unsafe EVP_MD_CTX_new()
        defer { unsafe EVP_MD_CTX_free(context) }
        let isSigned =
            unsafe EVP_DigestSignInit(context, nil, nil, nil, key) == 1
            && EVP_DigestSign(context, &signature, &count, signed, signed.count) == 1
        precondition(isSigned, "a key that was just made does not sign")
        return signed + [UInt8(ascii: ".")] + Base64URL.encode(signature)
    }
}
