import Bytes
import ConfigFile
import COpenSSL

/// PEM text into OpenSSL's objects.
enum PEM {
    /// The certificates in their order; each with one reference for the caller. Stops at the first that is malformed.
    static func certificates(_ text: [UInt8]) -> [OpaquePointer] {
        unsafe withMemoryBIO(text) { bio in
            var found: [OpaquePointer] = unsafe []
            // SAFETY: the BIO lives for the closure; no passphrase is asked for.
            while let certificate = unsafe PEM_read_bio_X509(bio, nil, refusePassphrase, nil) { unsafe found.append(certificate) }
            ERR_clear_error()
            return unsafe found
        }
    }

    static func privateKey(_ text: [UInt8]) -> OpaquePointer? {
        unsafe withMemoryBIO(text) { bio in
            // SAFETY: as above.
            let key = unsafe PEM_read_bio_PrivateKey(bio, nil, refusePassphrase, nil)
            ERR_clear_error()
            return unsafe key
        }
    }

    private static func withMemoryBIO<Result>(_ text: [UInt8], _ body: (OpaquePointer?) -> Result) -> Result {
        // SAFETY: the BIO reads the array in place and is freed before the array is.
        unsafe text.withUnsafeBytes { bytes in
            let bio = unsafe BIO_new_mem_buf(bytes.baseAddress, Int32(clamping: bytes.count))
            defer { unsafe BIO_free(bio) }
            return unsafe body(bio)
        }
    }

    /// Without a callback OpenSSL would ask at the terminal.
    private static let refusePassphrase: @convention(c) (UnsafeMutablePointer<CChar>?, Int32, Int32, UnsafeMutableRawPointer?) -> Int32 = {
        _, _, _, _ in -1
    }
}
