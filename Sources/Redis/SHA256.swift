import COpenSSL

/// The hash of that name, by OpenSSL. Source: FIPS 180-4.
enum SHA256 {
    static func hash(_ bytes: [UInt8]) -> [UInt8] {
        var digest = [UInt8](repeating: 0, count: Int(SHA256_DIGEST_LENGTH))
        var count: UInt32 = 0
        // SAFETY: both arrays are lent for the call, which writes as many bytes as the digest has.
        let done = unsafe EVP_Digest(bytes, bytes.count, &digest, &count, EVP_sha256(), nil)
        precondition(done == 1 && count == digest.count, "OpenSSL has no SHA-256")
        return digest
    }
}
