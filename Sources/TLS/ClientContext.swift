import COpenSSL
import System

/// TLS towards servers: upstreams, Redis, key servers. The server's chain and name are always verified.
///
/// It never changes once it is made, and OpenSSL locks its own parts (openssl-threads(7)): sessions may be made from any thread.
@safe package final class ClientContext: @unchecked Sendable {
    private let context: OpaquePointer

    /// - Parameters:
    ///   - trustedPEM: the certificates to trust; nil for the system's trust store.
    ///   - certificate: what the gateway shows of itself, where the server asks (mTLS).
    package init(trustedPEM: [UInt8]?, certificate: Certificate?, minimum: TLSVersion = .tls12) throws(TLSError) {
        // SAFETY: the context is new and owned here.
        guard let context = unsafe SSL_CTX_new(TLS_client_method()) else { throw TLSError.setup(TLSError.takeReason()) }
        unsafe self.context = unsafe context
        unsafe SSLContext.harden(context, minimum)
        unsafe SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nil)
        if let trustedPEM {
            let trusted = unsafe PEM.certificates(trustedPEM)
            guard unsafe !trusted.isEmpty else { throw TLSError.setup("the trusted_certificate file holds no PEM certificate") }
            let store = unsafe SSL_CTX_get_cert_store(context)
            for index in unsafe trusted.indices {
                let certificate = unsafe trusted[index]
                // SAFETY: the store takes a reference of its own; the one from reading is given back.
                unsafe X509_STORE_add_cert(store, certificate)
                unsafe X509_free(certificate)
            }
            ERR_clear_error()
        } else {
            guard unsafe SSL_CTX_set_default_verify_paths(context) == 1 else { throw TLSError.setup(TLSError.takeReason()) }
        }
        if let certificate, unsafe !certificate.install(in: context) { throw TLSError.setup("the client certificate is not accepted") }
    }

    deinit { unsafe SSL_CTX_free(context) }

    /// A session for a connection to the server called `host`, a name or an IP address.
    ///
    /// - Parameter protocols: what is offered by ALPN (RFC 7301).
    package func makeSession(_ descriptor: Int32, host: String, protocols: [String] = []) -> TLSSession? {
        unsafe TLSSession.connecting(context, descriptor, host: host, isAddress: IPAddress(host) != nil, protocols: protocols)
    }
}
