import Bytes
import Forwarding

/// An answer that may go on for as long as both sides like, and how it can be ended in its own terms.
final class LiveStream {
    enum Kind {
        /// A WebSocket: ended by a Close frame between two frames.
        case webSocket
        /// Any other protocol that was changed to.
        case tunnel
        /// Events: the body ends.
        case events
        /// Another body that takes its time: it is broken off.
        case body
        /// gRPC: trailers tell the status.
        case grpc
    }

    let kind: Kind
    /// The frames of a WebSocket, to the client and to the upstream.
    var downward = WebSocketFrames()
    var upward = WebSocketFrames()
    /// The Close frame that goes out behind the frame that is under way.
    var pendingClose: [UInt8]?

    init(_ kind: Kind) { self.kind = kind }

    var isTunnel: Bool { kind == .webSocket || kind == .tunnel }

    /// Bytes for the upstream pass; false when they do not, because the stream is about to end.
    func passUp(_ bytes: Span<UInt8>) -> Bool {
        guard pendingClose == nil else { return false }
        if kind == .webSocket { upward.follow(bytes) }
        return true
    }

    /// Bytes for the client pass.
    ///
    /// - Returns: how many may pass: all, or as many as end the frame behind which the connection closes.
    func passDown(_ bytes: Span<UInt8>) -> Int {
        guard kind == .webSocket else { return bytes.count }
        let end = downward.follow(bytes)
        return pendingClose == nil ? bytes.count : end
    }

    /// Whether the frame that was under way when the Close frame was made has passed.
    var mayClose: Bool { downward.isBetweenFrames }

    static func closeFrame(masked: Bool) -> [UInt8] {
        WebSocketFrames.close(WebSocketFrames.policyViolation, "the access token has expired", masked: masked)
    }

    /// What the upstream is told: nothing where a frame to it is under way.
    var lastWord: [UInt8] { kind == .webSocket && upward.isBetweenFrames ? Self.closeFrame(masked: true) : [] }
}
