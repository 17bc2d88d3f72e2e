import COpenSSL

/// The library that TLS and signatures come from.
package enum TLSLibrary {
    /// Of the library that runs, such as `3.0.17`.
    package static var version: String {
        // SAFETY: the text is OpenSSL's and lives for ever.
        unsafe String(cString: OpenSSL_version(OPENSSL_VERSION_STRING))
    }
}
