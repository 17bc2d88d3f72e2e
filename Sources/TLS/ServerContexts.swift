import Bytes
import COpenSSL

/// What a listener needs to speak TLS: one OpenSSL context for each certificate, chosen by server name.
///
/// Protocols and ciphers are those of Mozilla's "intermediate" configuration (version 5.7).
@safe package final class ServerContexts {
    private var certificates: [Certificate]
    private let minimum: TLSVersion
    private let tickets: TicketKeys
    private var contexts: [OpaquePointer] = unsafe []
    /// Names asked for before, and the context that was chosen; bounded.
    private var chosen: [String: Int] = [:]
    private let protocols: [UInt8]

    /// - Parameter protocols: ALPN names in order of preference.
    package init(
        certificates: [Certificate], minimum: TLSVersion, protocols: [String], tickets: TicketKeys
    ) throws(TLSError) {
        precondition(!certificates.isEmpty, "a TLS listener needs a certificate")
        self.certificates = certificates
        self.minimum = minimum
        self.tickets = tickets
        self.protocols = protocols.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) }
        for certificate in certificates { unsafe contexts.append(try makeContext(for: certificate)) }
    }

    /// Puts another certificate in the place of one: connections that come from now on see it.
    package func replace(_ index: Int, with certificate: Certificate) throws(TLSError) {
        guard certificates.indices.contains(index) else { throw TLSError.setup("there is no such certificate") }
        let context = unsafe try makeContext(for: certificate)
        // SAFETY: sessions that use the old context have a count of it.
        unsafe SSL_CTX_free(contexts[index])
        unsafe contexts[index] = unsafe context
        certificates[index] = certificate
        chosen = [:]
    }

    private func makeContext(for certificate: Certificate) throws(TLSError) -> OpaquePointer {
        let context = unsafe try makeContext(minimum)
        guard unsafe certificate.install(in: context) else {
            // SAFETY: it was made above, and nobody else has it.
            unsafe SSL_CTX_free(context)
            throw TLSError.setup("the certificate is not accepted")
        }
        return unsafe context
    }

    deinit {
        // SAFETY: each was made here and is referenced by sessions with a count of its own.
        unsafe contexts.forEach { unsafe SSL_CTX_free($0) }
    }

    /// A session for an accepted connection.
    package func makeSession(_ descriptor: Int32) -> TLSSession? { unsafe TLSSession.accepting(contexts[0], descriptor) }

    private func makeContext(_ minimum: TLSVersion) throws(TLSError) -> OpaquePointer {
        // SAFETY: the context is new and owned here; every callback's argument lives as long as the context.
        guard let context = unsafe SSL_CTX_new(TLS_server_method()) else { throw TLSError.setup(TLSError.takeReason()) }
        unsafe SSLContext.harden(context, minimum)
        unsafe SSL_CTX_set_options(
            context, pc_no_renegotiation_no_compression)
        unsafe pc_SSL_CTX_set_session_cache_mode(context, Int(SSL_SESS_CACHE_OFF))
        unsafe tickets.install(in: context)
        let own = unsafe Unmanaged.passUnretained(self).toOpaque()
        unsafe SSL_CTX_set_client_hello_cb(context, clientHelloCallback, own)
        unsafe pc_SSL_CTX_set_servername(context, serverNameCallback, own)
        unsafe SSL_CTX_set_alpn_select_cb(context, protocolCallback, own)
        return unsafe context
    }

    /// Gives a session the context of its server name, before OpenSSL looks at a ticket: of one that was given out under another
    /// name it then makes nothing.
    fileprivate func choose(for name: String, _ session: OpaquePointer) {
        let index = index(for: name)
        // SAFETY: the session is live; both arguments are copied or counted.
        unsafe SSL_set_SSL_CTX(session, contexts[index])
        var identifier = [UInt8](repeating: 0, count: 32)
        let bound = Array("portcullis \(index) \(name)".utf8)
        unsafe SHA256(bound, bound.count, &identifier)
        unsafe SSL_set_session_id_context(session, identifier, UInt32(identifier.count))
    }

    /// That of the first certificate that names the host exactly, else of the first whose wildcard does.
    private func index(for name: String) -> Int {
        if let index = chosen[name] { return index }
        let index =
            certificates.firstIndex { $0.matches(name, wildcards: false) }
            ?? certificates.firstIndex { $0.matches(name, wildcards: true) } ?? 0
        if chosen.count < namesRemembered { chosen[name] = index }
        return index
    }

    /// Our first protocol that the client offers too (RFC 7301 §3.2).
    fileprivate func select(among offered: UnsafeBufferPointer<UInt8>) -> (start: Int, count: Int)? {
        var own = 0
        while own < protocols.count {
            let count = Int(protocols[own])
            var start = 0
            while start < offered.count {
                let length = Int(unsafe offered[start])
                guard start + 1 + length <= offered.count else { return nil }
                if length == count, (0..<count).allSatisfy({ unsafe offered[start + 1 + $0] == protocols[own + 1 + $0] }) {
                    return (start + 1, length)
                }
                start += 1 + length
            }
            own += 1 + count
        }
        return nil
    }
}

package enum TLSVersion: Sendable {
    case tls12, tls13

    var code: Int32 { self == .tls12 ? TLS1_2_VERSION : TLS1_3_VERSION }
    package var text: String { self == .tls12 ? "1.2" : "1.3" }
}

package enum TLSError: Error, Equatable {
    case setup(String)

    package var explanation: String {
        switch self {
        case .setup(let reason): reason
        }
    }

    /// OpenSSL's reason for the last failure, with its queue emptied.
    static func takeReason() -> String {
        let code = ERR_peek_error()
        ERR_clear_error()
        // SAFETY: the strings are OpenSSL's constants.
        guard code != 0, let reason = unsafe ERR_reason_error_string(code) else { return "unknown reason" }
        return unsafe String(cString: reason)
    }
}

/// What server and client contexts have in common.
enum SSLContext {
    static func harden(_ context: OpaquePointer, _ minimum: TLSVersion) {
        // SAFETY: the context lives; the strings are literals.
        unsafe _ = pc_SSL_CTX_set_min_proto_version(context, minimum.code)
        unsafe _ = pc_SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION)
        unsafe _ = SSL_CTX_set_cipher_list(context, intermediateCiphers)
        unsafe _ = pc_SSL_CTX_set_groups(context, "X25519:prime256v1:secp384r1")
        unsafe _ = pc_SSL_CTX_set_mode(
            context,
            Int(SSL_MODE_ENABLE_PARTIAL_WRITE) | Int(SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER) | Int(SSL_MODE_RELEASE_BUFFERS))
        unsafe pc_SSL_CTX_set_read_ahead(context, 1)
    }

    private static let intermediateCiphers =
        "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
        + "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
}

private let serverNameCallback: @convention(c) (OpaquePointer?, UnsafeMutablePointer<Int32>?, UnsafeMutableRawPointer?) -> Int32 = {
    session, _, _ in
    // SAFETY: OpenSSL passes a live session. The context is chosen already; here the client is told that its name was heard.
    unsafe SSL_get_servername(session, TLSEXT_NAMETYPE_host_name) == nil ? Int32(SSL_TLSEXT_ERR_NOACK) : Int32(SSL_TLSEXT_ERR_OK)
}

private let clientHelloCallback: @convention(c) (OpaquePointer?, UnsafeMutablePointer<Int32>?, UnsafeMutableRawPointer?) -> Int32 = {
    session, _, own in
    // SAFETY: OpenSSL passes a live session, and lends the extension for the call; `own` is the object that owns the context.
    guard let own = unsafe own, let session = unsafe session else { return SSL_CLIENT_HELLO_ERROR }
    var start: UnsafePointer<UInt8>?
    var count = 0
    var name = ""
    if unsafe SSL_client_hello_get0_ext(session, UInt32(TLSEXT_TYPE_server_name), &start, &count) == 1, let start = unsafe start {
        name = unsafe hostName(UnsafeBufferPointer(start: start, count: count)) ?? ""
    }
    unsafe Unmanaged<ServerContexts>.fromOpaque(own).takeUnretainedValue().choose(for: name, session)
    return SSL_CLIENT_HELLO_SUCCESS
}

/// The host of a server name extension: a list of one name, of the only type there is. Source: RFC 6066 §3.
private func hostName(_ bytes: UnsafeBufferPointer<UInt8>) -> String? {
    // SAFETY: every index is compared with the count before.
    guard bytes.count > 5, unsafe bytes[2] == 0 else { return nil }
    let length = unsafe Int(bytes[3]) << 8 | Int(bytes[4])
    guard bytes.count == 5 + length, length <= 255 else { return nil }
    return unsafe String(decoding: bytes[5...], as: UTF8.self).lowercased()
}

private let protocolCallback:
    @convention(c) (
        OpaquePointer?, UnsafeMutablePointer<UnsafePointer<UInt8>?>?, UnsafeMutablePointer<UInt8>?, UnsafePointer<UInt8>?, UInt32,
        UnsafeMutableRawPointer?
    ) -> Int32 = { _, out, outCount, offered, count, own in
        // SAFETY: OpenSSL passes the client's list with its length, valid for the call, and takes a pointer into it.
        guard let own = unsafe own, let out = unsafe out, let outCount = unsafe outCount, let offered = unsafe offered else {
            return Int32(SSL_TLSEXT_ERR_NOACK)
        }
        let contexts = unsafe Unmanaged<ServerContexts>.fromOpaque(own).takeUnretainedValue()
        guard let found = unsafe contexts.select(among: UnsafeBufferPointer(start: offered, count: Int(count))) else {
            return Int32(SSL_TLSEXT_ERR_ALERT_FATAL)
        }
        unsafe out.pointee = offered + found.start
        unsafe outCount.pointee = UInt8(found.count)
        return Int32(SSL_TLSEXT_ERR_OK)
    }

private let namesRemembered = 1_024
