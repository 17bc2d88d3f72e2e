import Bytes
import COpenSSL

/// A secret that an issuer signs its tokens with, and everybody verifies them with who has it: HMAC (RFC 7518 §3.2).
package struct SharedSecret: Sendable {
    private let bytes: [UInt8]

    package static let bytesMin = 32

    /// Reads the content of a file: what stands before the end of its line, or that decoded from Base64.
    ///
    /// - Returns: nil for one that is too short to be a secret, or no Base64.
    package init?(_ content: [UInt8], isBase64: Bool) {
        var bytes = content
        while let last = bytes.last, last == 0x0A || last == 0x0D { bytes.removeLast() }
        if isBase64 {
            guard let decoded = Base64.decode(bytes.span) ?? Base64URL.decode(bytes.span) else { return nil }
            bytes = decoded
        }
        guard bytes.count >= Self.bytesMin, bytes.count <= 4_096 else { return nil }
        self.bytes = bytes
    }

    /// One of a process's own.
    init(random: [UInt8]) { bytes = random }

    /// A digest that nobody without the secret can make, nor compare with another process's.
    package func digest(_ text: [UInt8]) -> [UInt8] {
        guard let digest = code(over: text.span, with: .hs256) else { preconditionFailure("OpenSSL has no SHA-256") }
        return digest
    }

    /// Whether `signature` is this secret's over `signed`.
    func verify(_ signature: [UInt8], over signed: Span<UInt8>, with algorithm: Algorithm) -> Bool {
        guard let code = code(over: signed, with: algorithm) else { return false }
        return equalInConstantTime(code.span, signature.span)
    }

    private func code(over signed: Span<UInt8>, with algorithm: Algorithm) -> [UInt8]? {
        var code = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
        var count: UInt32 = 0
        let digest: OpaquePointer?
        switch algorithm {
        case .hs256: unsafe digest = EVP_sha256()
        case .hs384: unsafe digest = EVP_sha384()
        case .hs512: unsafe digest = EVP_sha512()
        default: return nil
        }
        // SAFETY: secret, text and code are lent for the call, which writes at most as many bytes as the code has.
        let made = unsafe signed.withUnsafeBufferPointer { signed in
            unsafe HMAC(digest, bytes, Int32(bytes.count), signed.baseAddress, signed.count, &code, &count) != nil
        }
        ERR_clear_error()
        guard made, let count = Int(exactly: count), count > 0, count <= code.count else { return nil }
        return Array(code[..<count])
    }
}
