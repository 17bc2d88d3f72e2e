import CNghttp2

/// The functions that nghttp2 calls, the same for all sessions: each finds its session and asks that.
@safe struct Callbacks: @unchecked Sendable {
    static let shared = Callbacks()
    // SAFETY: written once before anybody reads it, never freed.
    let pointer: OpaquePointer

    // SAFETY: in all of these, pointers are nghttp2's and valid for the call.
    private init() {
        var made: OpaquePointer?
        unsafe nghttp2_session_callbacks_new(&made)
        unsafe pointer = made!
        unsafe nghttp2_session_callbacks_set_send_callback(pointer) { _, bytes, count, _, user in
            unsafe withSession(user) { unsafe $0.send(UnsafeBufferPointer(start: bytes, count: count)) }
        }
        unsafe nghttp2_session_callbacks_set_send_data_callback(pointer) { _, frame, header, length, _, user in
            unsafe withSession(user) { unsafe $0.sendData(frame!.pointee.hd.stream_id, header!, length) }
        }
        unsafe nghttp2_session_callbacks_set_on_begin_frame_callback(pointer) { _, header, user in
            unsafe withSession(user) { unsafe $0.frameBegan(header!.pointee) }
            return 0
        }
        unsafe nghttp2_session_callbacks_set_on_begin_headers_callback(pointer) { _, frame, user in
            unsafe withSession(user) { unsafe $0.headBegan(frame!) }
            return 0
        }
        unsafe nghttp2_session_callbacks_set_on_header_callback(pointer) { _, frame, name, nameCount, value, valueCount, _, user in
            unsafe withSession(user) {
                unsafe $0.field(
                    frame!.pointee.hd.stream_id, UnsafeBufferPointer(start: name, count: nameCount),
                    UnsafeBufferPointer(start: value, count: valueCount))
            }
        }
        unsafe nghttp2_session_callbacks_set_on_invalid_header_callback(pointer) { _, frame, _, _, _, _, _, user in
            unsafe withSession(user) { unsafe $0.invalidField(frame!.pointee.hd.stream_id) }
            return 0
        }
        unsafe nghttp2_session_callbacks_set_on_frame_recv_callback(pointer) { _, frame, user in
            unsafe withSession(user) { unsafe $0.frameReceived(frame!) }
            return 0
        }
        unsafe nghttp2_session_callbacks_set_on_data_chunk_recv_callback(pointer) { _, _, stream, bytes, count, user in
            unsafe withSession(user) { unsafe $0.bodyReceived(stream, UnsafeBufferPointer(start: bytes, count: count)) }
            return 0
        }
        unsafe nghttp2_session_callbacks_set_on_stream_close_callback(pointer) { _, stream, code, user in
            unsafe withSession(user) { $0.closed(stream, code) }
            return 0
        }
        unsafe nghttp2_session_callbacks_set_on_frame_not_send_callback(pointer) { _, frame, _, user in
            unsafe withSession(user) { unsafe $0.frameNotSent(frame!) }
            return 0
        }
        unsafe nghttp2_session_callbacks_set_on_frame_send_callback(pointer) { _, frame, user in
            unsafe withSession(user) { unsafe $0.frameSent(frame!) }
            return 0
        }
    }

    /// Where the body of a stream comes from.
    static var bodySource: nghttp2_data_provider {
        var provider = unsafe nghttp2_data_provider()
        unsafe provider.read_callback = { _, stream, _, length, flags, _, user in
            unsafe withSession(user) { unsafe $0.readBody(stream, length, flags) }
        }
        return unsafe provider
    }
}

/// Lends the session that a callback belongs to.
@inline(__always) private func withSession<Result>(_ user: UnsafeMutableRawPointer?, _ body: (Session) -> Result) -> Result {
    // SAFETY: every session is made with a pointer to the object that owns it and outlives it; anyone who has the session called
    // holds it meanwhile.
    unsafe Unmanaged<Session>.fromOpaque(user!)._withUnsafeGuaranteedRef(body)
}
