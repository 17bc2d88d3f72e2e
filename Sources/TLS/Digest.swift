import COpenSSL

/// Hashes, by OpenSSL.
package enum Digest {
    /// Source: FIPS 180-4.
    package static func sha256(_ bytes: [UInt8]) -> [UInt8] {
        var digest = [UInt8](repeating: 0, count: Int(SHA256_DIGEST_LENGTH))
        var count: UInt32 = 0
        // SAFETY: both arrays are lent for the call, which writes as many bytes as the digest has.
        let done = unsafe EVP_Digest(bytes, bytes.count, &digest, &count, EVP_sha256(), nil)
        precondition(done == 1 && count == digest.count, "OpenSSL has no SHA-256")
        return digest
    }
}
