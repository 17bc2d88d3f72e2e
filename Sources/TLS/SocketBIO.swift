import COpenSSL
import System

/// What OpenSSL reads a connection's socket with, and writes it: `recv` and `send`, which cost some 90 ns less a call than the
/// `read` and `write` of its own, and cause no SIGPIPE.
@safe struct SocketBIO: @unchecked Sendable {
    private static let shared = SocketBIO()
    // SAFETY: written once before anybody reads it, never freed.
    private let method: OpaquePointer

    /// Lets `session` read and write `descriptor`, which it does not own. False when there is no memory.
    static func attach(_ descriptor: Int32, to session: OpaquePointer) -> Bool {
        // SAFETY: the session takes the BIO over and frees it, once for both directions. The descriptor is kept in place of a
        // pointer to data.
        guard let bio = unsafe BIO_new(shared.method) else { return false }
        unsafe BIO_set_data(bio, UnsafeMutableRawPointer(bitPattern: Int(descriptor)))
        unsafe BIO_set_init(bio, 1)
        unsafe SSL_set_bio(session, bio, bio)
        return true
    }

    // SAFETY: in all of these, pointers are OpenSSL's and valid for the call.
    private init() {
        let type = BIO_get_new_index() | BIO_TYPE_SOURCE_SINK
        unsafe method = BIO_meth_new(type, "socket of a connection")!
        unsafe BIO_meth_set_read(method) { bio, bytes, count in
            let buffer = unsafe UnsafeMutableBufferPointer(start: bytes, count: Int(count))
            return unsafe buffer.withMemoryRebound(to: UInt8.self) { unsafe read(bio, $0) }
        }
        unsafe BIO_meth_set_write(method) { bio, bytes, count in
            let buffer = unsafe UnsafeBufferPointer(start: bytes, count: Int(count))
            return unsafe buffer.withMemoryRebound(to: UInt8.self) { unsafe write(bio, $0) }
        }
        unsafe BIO_meth_set_ctrl(method) { bio, command, _, _ in
            switch command {
            // Nothing is held back here.
            case BIO_CTRL_FLUSH: 1
            case BIO_CTRL_EOF: unsafe BIO_test_flags(bio, BIO_FLAGS_IN_EOF) == 0 ? 0 : 1
            default: 0
            }
        }
    }
}

// SAFETY: as above; the spans live no longer than the buffers do.
private func read(_ bio: OpaquePointer?, _ buffer: UnsafeMutableBufferPointer<UInt8>) -> Int32 {
    var span = unsafe MutableSpan(_unsafeElements: buffer)
    let transfer = unsafe SystemIO.receive(descriptor(of: bio), into: &span)
    if case .ended = transfer { unsafe BIO_set_flags(bio, BIO_FLAGS_IN_EOF) }
    return unsafe result(transfer, bio, retry: BIO_FLAGS_READ | BIO_FLAGS_SHOULD_RETRY)
}

private func write(_ bio: OpaquePointer?, _ buffer: UnsafeBufferPointer<UInt8>) -> Int32 {
    let transfer = unsafe SystemIO.send(descriptor(of: bio), Span(_unsafeElements: buffer))
    return unsafe result(transfer, bio, retry: BIO_FLAGS_WRITE | BIO_FLAGS_SHOULD_RETRY)
}

private func result(_ transfer: Transfer, _ bio: OpaquePointer?, retry: Int32) -> Int32 {
    unsafe BIO_clear_flags(bio, BIO_FLAGS_READ | BIO_FLAGS_WRITE | BIO_FLAGS_IO_SPECIAL | BIO_FLAGS_SHOULD_RETRY)
    switch transfer {
    // Of a buffer whose length is an Int32.
    case .moved(let count): return Int32(truncatingIfNeeded: count)
    case .ended: return 0
    case .wouldBlock:
        unsafe BIO_set_flags(bio, retry)
        return -1
    case .failed: return -1
    }
}

private func descriptor(of bio: OpaquePointer?) -> Int32 {
    unsafe Int32(truncatingIfNeeded: Int(bitPattern: BIO_get_data(bio)))
}
