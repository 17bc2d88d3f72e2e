import COpenSSL
package import System

/// One TLS connection over a non-blocking socket, which it reads and writes itself but does not own.
@safe package struct TLSSession: ~Copyable {
    package enum Handshake: Equatable {
        case done
        case wantsRead
        case wantsWrite
        case failed(String)
    }

    private let session: OpaquePointer
    /// Of the ``ClientContext``'s certificate that it was made with.
    private var number: UInt64 = 0

    /// Takes over a new session.
    private init(owning session: OpaquePointer) { unsafe self.session = unsafe session }

    static func accepting(_ context: OpaquePointer, _ descriptor: Int32) -> TLSSession? {
        // SAFETY: the context lives; the session is owned by the value made of it and freed in its deinit.
        guard let session = unsafe SSL_new(context) else { return nil }
        let made = unsafe TLSSession(owning: session)
        guard unsafe SocketBIO.attach(descriptor, to: session) else { return nil }
        unsafe SSL_set_accept_state(session)
        return made
    }

    static func connecting(
        _ context: OpaquePointer, _ descriptor: Int32, host: String, isAddress: Bool, protocols: [String],
        resuming known: ResumableSession?,
        number: UInt64
    ) -> TLSSession? {
        // SAFETY: as above; OpenSSL copies the name.
        guard let session = unsafe SSL_new(context) else { return nil }
        var made = unsafe TLSSession(owning: session)
        made.number = number
        guard unsafe SocketBIO.attach(descriptor, to: session) else { return nil }
        unsafe SSL_set_connect_state(session)
        // SAFETY: OpenSSL takes a reference of its own. What it does not take leads to a whole handshake.
        if let known, unsafe SSL_set_session(session, known.session) != 1 { ERR_clear_error() }
        let isSet =
            isAddress
            ? unsafe X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(session), host) == 1
            : unsafe SSL_set1_host(session, host) == 1 && pc_SSL_set_host_name(session, host) == 1
        let offered = protocols.flatMap { [UInt8(clamping: $0.utf8.count)] + Array($0.utf8) }
        // SAFETY: as above; this one answers 0 where it succeeds.
        guard isSet, unsafe offered.isEmpty || SSL_set_alpn_protos(session, offered, UInt32(offered.count)) == 0 else { return nil }
        return made
    }

    deinit { unsafe SSL_free(session) }

    package mutating func handshake() -> Handshake {
        // SAFETY: the session lives as long as this value; likewise below.
        let result = unsafe SSL_do_handshake(session)
        if result == 1 { return .done }
        switch unsafe SSL_get_error(session, result) {
        case SSL_ERROR_WANT_READ: return .wantsRead
        case SSL_ERROR_WANT_WRITE: return .wantsWrite
        case SSL_ERROR_SSL:
            let verification = unsafe SSL_get_verify_result(session)
            if verification != X509_V_OK, unsafe SSL_is_server(session) == 0 {
                ERR_clear_error()
                let reason = unsafe String(cString: X509_verify_cert_error_string(verification))
                return .failed("certificate verify failed: \(reason)")
            }
            return .failed(TLSError.takeReason())
        default:
            ERR_clear_error()
            return .failed("the peer closed the connection during the handshake")
        }
    }

    /// The protocol that ALPN agreed on (RFC 7301); nil without one.
    package var agreedProtocol: String? {
        mutating get {
            var start: UnsafePointer<UInt8>?
            var count: UInt32 = 0
            // SAFETY: OpenSSL points into the session, which outlives the copy made here.
            unsafe SSL_get0_alpn_selected(session, &start, &count)
            guard count > 0 else { return nil }
            return unsafe String(decoding: UnsafeBufferPointer(start: start, count: Int(count)), as: UTF8.self)
        }
    }

    /// What a handshake that succeeded has come to.
    package struct Agreement {
        /// `TLSv1.3` or `TLSv1.2`.
        package let version: String
        package let isResumed: Bool
    }

    /// What a later connection to the same server may begin with; nil for nothing. There once the server has sent something.
    package var resumable: ResumableSession? {
        mutating get {
            // SAFETY: the reference is given back; the copy, which the end of this connection does not spoil, is owned by the value made of it.
            guard let present = unsafe SSL_get1_session(session) else { return nil }
            defer { unsafe SSL_SESSION_free(present) }
            guard unsafe SSL_SESSION_is_resumable(present) == 1, let copy = unsafe SSL_SESSION_dup(present) else { return nil }
            return unsafe ResumableSession(owning: copy, number: number)
        }
    }

    package var agreement: Agreement {
        mutating get {
            // SAFETY: the session lives as long as this value; OpenSSL's texts live for ever.
            let version = unsafe String(cString: SSL_get_version(session))
            return unsafe Agreement(version: version, isResumed: SSL_session_reused(session) == 1)
        }
    }

    /// Decrypts into `buffer`. `.ended` only after the peer's close_notify: a connection cut short is `.failed`.
    package mutating func receive(into buffer: inout MutableSpan<UInt8>) -> Transfer {
        // SAFETY: the pointer is the span's, valid for its count while the call lasts.
        let count = unsafe buffer.withUnsafeMutableBytes { unsafe SSL_read(session, $0.baseAddress, Int32(clamping: $0.count)) }
        return count > 0 ? .moved(Int(count)) : outcome(count)
    }

    /// Encrypts and sends a part of `bytes`. After `.wouldBlock` the next call must start with the same bytes.
    package mutating func send(_ bytes: Span<UInt8>) -> Transfer {
        if bytes.isEmpty { return .wouldBlock }
        // SAFETY: as above; the call only reads.
        let count = unsafe bytes.withUnsafeBytes { unsafe SSL_write(session, $0.baseAddress, Int32(clamping: $0.count)) }
        return count > 0 ? .moved(Int(count)) : outcome(count)
    }

    /// Whether bytes have been read from the socket that ``receive(into:)`` has not yet handed out.
    package var hasPending: Bool { mutating get { unsafe SSL_has_pending(session) == 1 } }

    /// Sends close_notify, once and without waiting for the peer's.
    package mutating func close() {
        unsafe SSL_shutdown(session)
        ERR_clear_error()
    }

    private func outcome(_ result: Int32) -> Transfer {
        let code = unsafe SSL_get_error(session, result)
        switch code {
        case SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE: return .wouldBlock
        case SSL_ERROR_ZERO_RETURN: return .ended
        default:
            ERR_clear_error()
            return .failed(code)
        }
    }
}
