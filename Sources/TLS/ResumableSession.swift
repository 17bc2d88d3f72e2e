import COpenSSL

/// What a connection leaves to the next one to the same server, so that its handshake is a shorter one (RFC 8446 §2.2, RFC 5077).
@safe package final class ResumableSession {
    let session: OpaquePointer
    /// Of the ``ClientContext``'s certificate that the connection was made with.
    let number: UInt64

    /// - Parameter session: owned from now on.
    init(owning session: OpaquePointer, number: UInt64) {
        unsafe self.session = unsafe session
        self.number = number
    }

    // SAFETY: owned by this value, which nobody uses any more.
    deinit { unsafe SSL_SESSION_free(session) }
}
