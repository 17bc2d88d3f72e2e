import COpenSSL
import Synchronization
import System

/// TLS towards servers: upstreams, Redis, key servers. The server's chain and name are always verified.
///
/// OpenSSL locks its own parts (openssl-threads(7)): sessions may be made from any thread, also while the gateway's certificate is replaced.
@safe package final class ClientContext: Sendable {
    private let trustedPEM: [UInt8]?
    private let minimum: TLSVersion
    private let current: Mutex<Setup>

    /// What sessions are made of. It never changes once it is made.
    @safe private final class Setup: @unchecked Sendable {
        let context: OpaquePointer
        /// Another one for each certificate.
        let number: UInt64

        /// - Parameter context: owned from now on.
        init(owning context: OpaquePointer, number: UInt64) {
            unsafe self.context = unsafe context
            self.number = number
        }

        deinit { unsafe SSL_CTX_free(context) }
    }

    /// - Parameters:
    ///   - trustedPEM: the certificates to trust; nil for the system's trust store.
    ///   - certificate: what the gateway shows of itself, where the server asks (mTLS).
    package init(trustedPEM: [UInt8]?, certificate: Certificate?, minimum: TLSVersion = .tls12) throws(TLSError) {
        self.trustedPEM = trustedPEM
        self.minimum = minimum
        current = Mutex(try Self.setup(trustedPEM, certificate, minimum, number: 0))
    }

    private static func setup(
        _ trustedPEM: [UInt8]?, _ certificate: Certificate?, _ minimum: TLSVersion, number: UInt64
    ) throws(TLSError) -> Setup {
        // SAFETY: the context is new and owned by the setup.
        guard let context = unsafe SSL_CTX_new(TLS_client_method()) else { throw TLSError.setup(TLSError.takeReason()) }
        let setup = unsafe Setup(owning: context, number: number)
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
        return setup
    }

    /// Connections that begin from now on show another certificate.
    package func replace(_ certificate: Certificate) throws(TLSError) {
        let number = current.withLock { $0.number }
        let next = try Self.setup(trustedPEM, certificate, minimum, number: number + 1)
        current.withLock { $0 = next }
    }

    /// A session for a connection to the server called `host`, a name or an IP address.
    ///
    /// - Parameters:
    ///   - protocols: what is offered by ALPN (RFC 7301).
    ///   - known: what an earlier connection to the same server has left, so that the handshake is a shorter one. Not where the certificate is another by now.
    package func makeSession(_ descriptor: Int32, host: String, protocols: [String] = [], resuming known: ResumableSession? = nil)
        -> TLSSession?
    {
        let setup = current.withLock { $0 }
        let isOfThisOne = known?.number == setup.number
        return unsafe TLSSession.connecting(
            setup.context, descriptor, host: host, isAddress: IPAddress(host) != nil, protocols: protocols,
            resuming: isOfThisOne ? known : nil, number: setup.number)
    }
}
