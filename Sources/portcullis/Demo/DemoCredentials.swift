import Bytes
import COpenSSL

/// The certificate, the signing key and the tokens of the demonstration: made in memory, gone with it.
@safe struct DemoCredentials {
    let certificatePEM: [UInt8]
    let privateKeyPEM: [UInt8]
    /// The signing key's public half as a JWKS.
    let keySet: [UInt8]
    private let signingKey: OpaquePointer
    private let keyID: String

    init?() {
        // SAFETY: the keys live as long as the process, which ends with the demonstration; all else is freed below.
        guard let tlsKey = unsafe pc_new_ec_key("P-256"), let signingKey = unsafe pc_new_ed25519_key(), let certificate = unsafe X509_new()
        else { return nil }
        defer {
            unsafe EVP_PKEY_free(tlsKey)
            unsafe X509_free(certificate)
        }
        unsafe X509_set_version(certificate, 2)
        unsafe ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1)
        unsafe X509_gmtime_adj(X509_getm_notBefore(certificate), -3_600)
        unsafe X509_gmtime_adj(X509_getm_notAfter(certificate), 90 * 86_400)
        unsafe X509_set_pubkey(certificate, tlsKey)
        let name = unsafe X509_get_subject_name(certificate)
        unsafe X509_NAME_add_entry_by_txt(name, "CN", pc_mbstring_ascii, "localhost", -1, -1, 0)
        unsafe X509_set_issuer_name(certificate, name)
        for (kind, value) in [(NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1"), (NID_basic_constraints, "critical,CA:TRUE")] {
            let part = unsafe X509V3_EXT_conf_nid(nil, nil, kind, value)
            unsafe X509_add_ext(certificate, part, -1)
            unsafe X509_EXTENSION_free(part)
        }
        guard unsafe X509_sign(certificate, tlsKey, EVP_sha256()) > 0 else { return nil }
        certificatePEM = unsafe Self.text { bio in unsafe PEM_write_bio_X509(bio, certificate) == 1 }
        privateKeyPEM = unsafe Self.text { bio in unsafe PEM_write_bio_PrivateKey(bio, tlsKey, nil, nil, 0, nil, nil) == 1 }
        var publicKey = [UInt8](repeating: 0, count: 32)
        var count = publicKey.count
        guard unsafe EVP_PKEY_get_raw_public_key(signingKey, &publicKey, &count) == 1 else { return nil }
        let x = String(decoding: Base64URL.encode(publicKey), as: UTF8.self)
        keyID = "demo"
        keySet = Array("{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"use\":\"sig\",\"kid\":\"demo\",\"x\":\"\(x)\"}]}".utf8)
        unsafe self.signingKey = unsafe signingKey
    }

    /// A signed access token.
    func token(subject: String, scopes: [String], issuedAt: UInt64, expires: UInt64) -> String {
        let header = "{\"alg\":\"EdDSA\",\"typ\":\"JWT\",\"kid\":\"\(keyID)\"}"
        let list = scopes.map { "\"\($0)\"" }.joined(separator: ",")
        let payload =
            "{\"iss\":\"https://sso.demo.example\",\"aud\":\"api.demo.example\",\"sub\":\"\(subject)\",\"token_type\":\"access\","
            + "\"iat\":\(issuedAt),\"exp\":\(expires),\"scopes\":[\(list)]}"
        let signed = Base64URL.encode(Array(header.utf8)) + [0x2E] + Base64URL.encode(Array(payload.utf8))
        return String(decoding: signed + [0x2E] + Base64URL.encode(sign(signed)), as: UTF8.self)
    }

    private func sign(_ bytes: [UInt8]) -> [UInt8] {
        var signature = [UInt8](repeating: 0, count: 64)
        var count = signature.count
        // SAFETY: the context is freed below; the arrays are lent for the call with their sizes.
        let context = unsafe EVP_MD_CTX_new()
        defer { unsafe EVP_MD_CTX_free(context) }
        let isSigned =
            unsafe EVP_DigestSignInit(context, nil, nil, nil, signingKey) == 1
            && EVP_DigestSign(context, &signature, &count, bytes, bytes.count) == 1
        precondition(isSigned, "a key that was just made does not sign")
        return signature
    }

    /// What `write` puts into a memory buffer.
    private static func text(_ write: (OpaquePointer?) -> Bool) -> [UInt8] {
        // SAFETY: the buffer's content is copied before it is freed.
        let bio = unsafe BIO_new(BIO_s_mem())
        defer { unsafe BIO_free(bio) }
        guard unsafe write(bio) else { return [] }
        var data: UnsafeMutablePointer<CChar>?
        let count = unsafe pc_BIO_contents(bio, &data)
        return unsafe [UInt8](UnsafeRawBufferPointer(start: data, count: Int(count)))
    }
}
