import Bytes
import ConfigFile
import COpenSSL

/// A certificate chain with its private key, as read from PEM.
@safe package final class Certificate {
    package let leaf: OpaquePointer
    private let chain: [OpaquePointer]
    private let key: OpaquePointer

    /// - Throws: ``CertificateError`` that says which part is unusable.
    package init(chainPEM: [UInt8], keyPEM: [UInt8]) throws(CertificateError) {
        var certificates = unsafe PEM.certificates(chainPEM)
        guard unsafe !certificates.isEmpty else { throw .noCertificate }
        unsafe leaf = unsafe certificates.removeFirst()
        unsafe chain = unsafe certificates
        guard let key = unsafe PEM.privateKey(keyPEM) else {
            // SAFETY: each was returned with one reference that this initialiser owns.
            unsafe X509_free(leaf)
            unsafe certificates.forEach { unsafe X509_free($0) }
            throw .noKey
        }
        unsafe self.key = unsafe key
        // SAFETY: both live.
        guard unsafe X509_check_private_key(leaf, key) == 1 else {
            ERR_clear_error()
            throw .keyDoesNotFit
        }
    }

    /// What a chain tells without its key; nil where there is no certificate in it.
    package static func facts(ofChain pem: [UInt8]) -> (name: String, secondsLeft: Int64)? {
        let certificates = unsafe PEM.certificates(pem)
        // SAFETY: each was returned with one reference, which is given back below.
        defer { unsafe certificates.forEach { unsafe X509_free($0) } }
        guard let leaf = unsafe certificates.first else { return nil }
        return unsafe (name(of: leaf), pc_certificate_left(leaf))
    }

    /// Seconds until it is no longer valid; negative once it is not.
    package var secondsLeft: Int64 { unsafe pc_certificate_left(leaf) }

    /// The first of its DNS names, else its common name; empty where there is neither.
    package var name: String { unsafe Self.name(of: leaf) }

    private static func name(of leaf: OpaquePointer) -> String {
        var buffer = [CChar](repeating: 0, count: 256)
        // SAFETY: the certificate lives; the call writes no more than the buffer's count.
        let count = unsafe pc_certificate_name(leaf, &buffer, Int32(buffer.count))
        return String(decoding: buffer.prefix(max(0, Int(count))).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit {
        // SAFETY: this object holds one reference of each.
        unsafe X509_free(leaf)
        unsafe chain.forEach { unsafe X509_free($0) }
        unsafe EVP_PKEY_free(key)
    }

    /// Whether the certificate is for this host name (RFC 6125); wildcards stand for one left-most label.
    func matches(_ name: String, wildcards: Bool) -> Bool {
        let flags = UInt32(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS) | (wildcards ? 0 : UInt32(X509_CHECK_FLAG_NO_WILDCARDS))
        // SAFETY: the name is lent for the call with its length.
        if unsafe X509_check_host(leaf, name, name.utf8.count, flags, nil) == 1 { return true }
        // OpenSSL lets a wildcard stand for no label with a `_`, which names in use do have.
        guard wildcards, let dot = name.firstIndex(of: "."), name[..<dot].contains("_") else { return false }
        let plain = String(name[..<dot].replacing("_", with: "a") + name[dot...])
        // SAFETY: as above.
        return unsafe X509_check_host(leaf, plain, plain.utf8.count, flags, nil) == 1
    }

    /// Puts chain and key into a context, which takes references of its own.
    func install(in context: OpaquePointer) -> Bool {
        // SAFETY: all live; use_certificate and use_PrivateKey count up, add0_chain_cert takes the reference made here.
        guard unsafe SSL_CTX_use_certificate(context, leaf) == 1, unsafe SSL_CTX_use_PrivateKey(context, key) == 1 else {
            ERR_clear_error()
            return false
        }
        for index in unsafe chain.indices {
            let certificate = unsafe chain[index]
            unsafe X509_up_ref(certificate)
            guard unsafe pc_SSL_CTX_add_chain_certificate(context, certificate) == 1 else {
                unsafe X509_free(certificate)
                ERR_clear_error()
                return false
            }
        }
        return true
    }
}

package enum CertificateError: Error {
    case noCertificate, noKey, keyDoesNotFit

    package var explanation: String {
        switch self {
        case .noCertificate: "the file holds no PEM certificate"
        case .noKey: "the file holds no PEM private key that is readable without a passphrase"
        case .keyDoesNotFit: "the private key does not belong to the certificate"
        }
    }
}
