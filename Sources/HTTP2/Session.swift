package import Bytes
import CNghttp2

/// One HTTP/2 connection's frames, header compression and stream states, by nghttp2. Does no I/O: bytes come in by
/// ``receive(_:)`` and stand in the output after ``fill()``.
@safe package final class Session {
    private var session: OpaquePointer?
    /// Owns this object.
    private unowned let handler: any SessionHandler
    /// Kept for its storage.
    private var vectors: [nghttp2_nv] = unsafe []
    /// Whether the last piece of a head that came was not the head's end.
    package var isHeadOpen: Bool { hasOpenHead }
    private var hasOpenHead = false
    /// What is to be sent. Taken out while it is changed (decision 011).
    private var output = ByteQueue()
    /// Where ``fill()`` stops.
    private let outputBytesMax: Int

    /// - Parameter outputBytesMax: ``fill()`` puts no further frame behind so many bytes.
    package init(_ role: SessionRole, _ settings: SessionSettings, outputBytesMax: Int, handler: any SessionHandler) {
        self.handler = handler
        self.outputBytesMax = outputBytesMax
        var made: OpaquePointer?
        var option: OpaquePointer?
        // SAFETY: the option lives until it is deleted below; the session copies it. The session calls back with a pointer to
        // this object, which deletes the session when it goes.
        unsafe nghttp2_option_new(&option)
        unsafe nghttp2_option_set_no_auto_window_update(option, 1)
        unsafe nghttp2_option_set_no_closed_streams(option, 1)
        unsafe nghttp2_option_set_max_continuations(option, settings.continuationsMax)
        // The handler counts; nghttp2's own limit stands behind it.
        unsafe nghttp2_option_set_stream_reset_rate_limit(option, 10_000, 1_000)
        let user = unsafe Unmanaged.passUnretained(self).toOpaque()
        switch role {
        case .server: unsafe nghttp2_session_server_new2(&made, Callbacks.shared.pointer, user, option)
        case .client: unsafe nghttp2_session_client_new2(&made, Callbacks.shared.pointer, user, option)
        }
        unsafe nghttp2_option_del(option)
        unsafe session = unsafe made
        announce(role, settings)
    }

    deinit { unsafe nghttp2_session_del(session) }

    private func announce(_ role: SessionRole, _ settings: SessionSettings) {
        func entry(_ id: nghttp2_settings_id, _ value: UInt32) -> nghttp2_settings_entry {
            nghttp2_settings_entry(settings_id: Int32(id.rawValue), value: value)
        }
        var entries = [
            entry(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, role == .server ? settings.streamsMax : 0),
            entry(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, settings.streamWindow),
            entry(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, settings.headerListBytesMax),
            entry(NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1),
        ]
        if role == .client { entries.append(entry(NGHTTP2_SETTINGS_ENABLE_PUSH, 0)) }
        if settings.takesTunnels { entries.append(entry(NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1)) }
        // SAFETY: nghttp2 copies the entries.
        unsafe nghttp2_submit_settings(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), entries, entries.count)
        unsafe nghttp2_session_set_local_window_size(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), 0, settings.connectionWindow)
    }

    // MARK: - Bytes

    /// Takes bytes of the peer: all of them, unless the handler has it pause. What was taken is dropped.
    package func receive(_ queue: inout ByteQueue) throws(SessionError) { queue.drop(try receive(queue.readable)) }

    package func receive(_ bytes: Span<UInt8>) throws(SessionError) -> Int {
        // SAFETY: nghttp2 reads the bytes while the call lasts.
        let taken = unsafe bytes.withUnsafeBufferPointer { unsafe nghttp2_session_mem_recv(session, $0.baseAddress, $0.count) }
        guard taken >= 0 else { throw SessionError(reason: unsafe String(cString: nghttp2_strerror(Int32(clamping: taken)))) }
        return taken
    }

    /// How many bytes are to be sent.
    package var outputBytes: Int { output.count }

    /// Lends what is to be sent.
    package func withOutput<Result>(_ use: (inout ByteQueue) -> Result) -> Result {
        var queue = exchange(&output, with: ByteQueue())
        defer { swap(&queue, &output) }
        return use(&queue)
    }

    /// Puts frames that wait into the output, as far as it has room.
    package func fill() throws(SessionError) {
        let result = unsafe nghttp2_session_send(session)
        guard result == 0 else { throw SessionError(reason: unsafe String(cString: nghttp2_strerror(result))) }
    }

    /// Whether the connection goes on: frames are still awaited, or to be sent.
    package var isOpen: Bool { unsafe nghttp2_session_want_read(session) != 0 || nghttp2_session_want_write(session) != 0 }

    package var wantsRead: Bool { unsafe nghttp2_session_want_read(session) != 0 }

    // MARK: - Streams

    /// Sends a head. Without a body it ends our side of the stream; with one, ``SessionHandler/nextBody(_:atMost:)`` is asked.
    package func submit(response block: borrowing FieldBlock, _ stream: StreamID, hasBody: Bool) {
        unsafe withFields(block, hasBody) { fields, count, provider in
            // SAFETY: nghttp2 copies fields and provider.
            _ = unsafe nghttp2_submit_response(session, stream.number, fields, count, provider)
        }
    }

    /// Opens a stream with a request; nil when no more can be opened.
    package func submit(request block: borrowing FieldBlock, hasBody: Bool) -> StreamID? {
        var stream: Int32 = -1
        unsafe withFields(block, hasBody) { fields, count, provider in
            // SAFETY: as above.
            stream = unsafe nghttp2_submit_request(session, nil, fields, count, provider, nil)
        }
        return stream > 0 ? StreamID(stream) : nil
    }

    /// Sends an interim head (1xx).
    package func submit(interim block: borrowing FieldBlock, _ stream: StreamID) {
        // SAFETY: as above.
        unsafe withFields(block, false) { fields, count, _ in
            _ = unsafe nghttp2_submit_headers(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream.number, nil, fields, count, nil)
        }
    }

    /// More of a body has come, or its end.
    package func resume(_ stream: StreamID) { _ = unsafe nghttp2_session_resume_data(session, stream.number) }

    package func reset(_ stream: StreamID, _ code: UInt32) {
        unsafe nghttp2_submit_rst_stream(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream.number, code)
    }

    /// Opens the peer's flow-control window by bytes of a stream's body that have gone on.
    package func consume(_ stream: StreamID, _ count: Int) { _ = unsafe nghttp2_session_consume_stream(session, stream.number, count) }

    /// Lets the peer send more at once on a stream than before; it is told with the next frames.
    package func setWindow(_ stream: StreamID, _ bytes: Int) {
        _ = unsafe nghttp2_session_set_local_window_size(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream.number, Int32(clamping: bytes))
    }

    /// How much the peer lets us send on a stream.
    package func sendWindow(of stream: StreamID) -> Int {
        Int(
            unsafe min(
                nghttp2_session_get_stream_remote_window_size(session, stream.number), nghttp2_session_get_remote_window_size(session)))
    }

    /// How many streams the peer lets us have at once.
    package var peerStreamsMax: Int {
        Int(unsafe nghttp2_session_get_remote_settings(session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS))
    }

    /// Whether a client's session may open another stream: numbers are used up, not given back.
    package var hasStreamsLeft: Bool { unsafe nghttp2_session_get_next_stream_id(session) < 1 << 30 }

    // MARK: - The end

    /// Tells the peer that the end is near; requests that are on their way are still taken. Source: RFC 9113 §6.8.
    package func announceEnd() { unsafe nghttp2_submit_shutdown_notice(session) }

    /// Tells the peer which streams are the last, and refuses later ones.
    package func endAfterOpenStreams(_ code: UInt32 = StreamCode.noError) {
        let last = unsafe nghttp2_session_get_last_proc_stream_id(session)
        unsafe nghttp2_submit_goaway(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), last, code, nil, 0)
    }

    /// Ends the connection with all its streams, after this has been sent.
    package func terminate(_ code: UInt32) { unsafe nghttp2_session_terminate_session(session, code) }

    // MARK: -

    /// Lends the fields as nghttp2 wants them, and where it finds the body.
    private func withFields(
        _ block: borrowing FieldBlock, _ hasBody: Bool,
        _ body: (UnsafePointer<nghttp2_nv>?, Int, UnsafePointer<nghttp2_data_provider>?) -> Void
    ) {
        // SAFETY: the pointers are into `bytes`, which lives and is not changed while it is lent; nghttp2 only reads there.
        unsafe block.bytes.withUnsafeBufferPointer { bytes in
            var fields: [nghttp2_nv] = unsafe []
            unsafe swap(&fields, &vectors)
            defer { unsafe swap(&fields, &vectors) }
            unsafe fields.removeAll(keepingCapacity: true)
            if let base = unsafe UnsafeMutablePointer(mutating: bytes.baseAddress) {
                for field in block.fields {
                    unsafe fields.append(
                        nghttp2_nv(
                            name: base + field.name.lowerBound, value: base + field.value.lowerBound, namelen: field.name.count,
                            valuelen: field.value.count,
                            flags: UInt8((field.isFleeting ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE).rawValue)))
                }
            }
            unsafe fields.withUnsafeBufferPointer { fields in
                guard hasBody else { return unsafe body(fields.baseAddress, fields.count, nil) }
                var provider = unsafe Callbacks.bodySource
                unsafe body(fields.baseAddress, fields.count, &provider)
            }
        }
    }

    // MARK: - What nghttp2 asks

    func readBody(_ stream: Int32, _ length: Int, _ flags: UnsafeMutablePointer<UInt32>?) -> Int {
        switch handler.nextBody(StreamID(stream), atMost: length) {
        case .wait: return failure(NGHTTP2_ERR_DEFERRED)
        case .broken: return failure(NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE)
        case .bytes(let count, let isLast):
            precondition(count >= 0 && count <= length, "more body promised than asked for")
            // SAFETY: the flags are nghttp2's, valid for the call.
            unsafe flags?.pointee |= NGHTTP2_DATA_FLAG_NO_COPY.rawValue | (isLast ? NGHTTP2_DATA_FLAG_EOF.rawValue : 0)
            return count
        case .trailers:
            handler.trailers(StreamID(stream)) { block in
                unsafe withFields(block, false) { fields, count, _ in _ = unsafe nghttp2_submit_trailer(session, stream, fields, count) }
            }
            unsafe flags?.pointee |=
                NGHTTP2_DATA_FLAG_NO_COPY.rawValue | NGHTTP2_DATA_FLAG_EOF.rawValue | NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue
            return 0
        }
    }

    func send(_ bytes: UnsafeBufferPointer<UInt8>) -> Int {
        guard output.count < outputBytesMax else { return failure(NGHTTP2_ERR_WOULDBLOCK) }
        // SAFETY: valid for the call, which copies.
        withOutput { unsafe $0.append(Span(_unsafeElements: bytes)) }
        return bytes.count
    }

    func sendData(_ stream: Int32, _ header: UnsafePointer<UInt8>, _ length: Int) -> Int32 {
        guard output.count < outputBytesMax else { return NGHTTP2_ERR_WOULDBLOCK.rawValue }
        // A header without its payload would have the peer take other frames for it.
        guard length == 0 || handler.holdsBody(StreamID(stream), length) else { return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue }
        // SAFETY: the frame's header has nine bytes (RFC 9113 §4.1).
        withOutput { queue in
            unsafe queue.append(Span(_unsafeStart: header, count: 9))
            if length > 0 { handler.moveBody(StreamID(stream), length, to: &queue) }
        }
        return 0
    }

    func frameBegan(_ header: nghttp2_frame_hd) {
        let type = UInt32(header.type)
        let kind: ControlFrame
        switch type {
        case NGHTTP2_HEADERS.rawValue, NGHTTP2_CONTINUATION.rawValue:
            hasOpenHead = UInt32(header.flags) & NGHTTP2_FLAG_END_HEADERS.rawValue == 0
            return
        case NGHTTP2_GOAWAY.rawValue: return
        case NGHTTP2_DATA.rawValue:
            if header.length > 0 || UInt32(header.flags) & NGHTTP2_FLAG_END_STREAM.rawValue != 0 { return }
            kind = .emptyData
        case NGHTTP2_SETTINGS.rawValue: kind = .settings
        case NGHTTP2_PING.rawValue: kind = .ping
        case NGHTTP2_RST_STREAM.rawValue: kind = .reset
        case NGHTTP2_PRIORITY.rawValue: kind = .priority
        case NGHTTP2_WINDOW_UPDATE.rawValue: kind = .windowUpdate
        default: kind = .other
        }
        handler.received(kind)
    }

    func frameReceived(_ frame: UnsafePointer<nghttp2_frame>) {
        // SAFETY: the frame lives for the callback; `hd` is common to all kinds, the others are read for their kind only.
        let header = unsafe frame.pointee.hd
        let endsStream = UInt32(header.flags) & NGHTTP2_FLAG_END_STREAM.rawValue != 0
        switch UInt32(header.type) {
        case NGHTTP2_HEADERS.rawValue:
            handler.headEnded(StreamID(header.stream_id), isFirst: unsafe isFirstHead(frame), endsStream: endsStream)
        case NGHTTP2_DATA.rawValue: if endsStream { handler.bodyEnded(StreamID(header.stream_id)) }
        case NGHTTP2_SETTINGS.rawValue: if UInt32(header.flags) & NGHTTP2_FLAG_ACK.rawValue == 0 { handler.settingsChanged() }
        case NGHTTP2_GOAWAY.rawValue:
            handler.received(goAway: StreamID(unsafe frame.pointee.goaway.last_stream_id), code: unsafe frame.pointee.goaway.error_code)
        default: break
        }
    }

    private func isFirstHead(_ frame: UnsafePointer<nghttp2_frame>) -> Bool {
        unsafe frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST || frame.pointee.headers.cat == NGHTTP2_HCAT_RESPONSE
    }

    func headBegan(_ frame: UnsafePointer<nghttp2_frame>) {
        guard UInt32(unsafe frame.pointee.hd.type) == NGHTTP2_HEADERS.rawValue else { return }
        handler.headBegan(StreamID(unsafe frame.pointee.hd.stream_id), isFirst: unsafe isFirstHead(frame))
    }

    func frameSent(_ frame: UnsafePointer<nghttp2_frame>) {
        // SAFETY: as in `frameReceived`.
        let header = unsafe frame.pointee.hd
        switch UInt32(header.type) {
        case NGHTTP2_HEADERS.rawValue, NGHTTP2_DATA.rawValue:
            if UInt32(header.flags) & NGHTTP2_FLAG_END_STREAM.rawValue != 0 { handler.sentEnd(StreamID(header.stream_id)) }
        case NGHTTP2_RST_STREAM.rawValue: handler.sentReset(StreamID(header.stream_id), code: unsafe frame.pointee.rst_stream.error_code)
        default: break
        }
    }

    func frameNotSent(_ frame: UnsafePointer<nghttp2_frame>) {
        guard UInt32(unsafe frame.pointee.hd.type) == NGHTTP2_HEADERS.rawValue,
            unsafe frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST
        else { return }
        handler.requestNotSent(StreamID(unsafe frame.pointee.hd.stream_id))
    }

    func bodyReceived(_ stream: Int32, _ bytes: UnsafeBufferPointer<UInt8>) {
        unsafe nghttp2_session_consume_connection(session, bytes.count)
        // SAFETY: valid for the call.
        handler.received(body: unsafe Span(_unsafeElements: bytes), StreamID(stream))
    }

    func field(_ stream: Int32, _ name: UnsafeBufferPointer<UInt8>, _ value: UnsafeBufferPointer<UInt8>) -> Int32 {
        // SAFETY: valid for the call.
        let goesOn = handler.field(unsafe Span(_unsafeElements: name), unsafe Span(_unsafeElements: value), StreamID(stream))
        return goesOn ? 0 : NGHTTP2_ERR_PAUSE.rawValue
    }

    func invalidField(_ stream: Int32) { handler.invalidField(StreamID(stream)) }
    func closed(_ stream: Int32, _ code: UInt32) { handler.closed(StreamID(stream), code: code) }
    private func failure(_ error: nghttp2_error) -> Int { Int(error.rawValue) }
}
