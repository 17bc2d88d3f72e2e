import Bytes
import Forwarding

/// A response that may go on for as long as both sides like, and how it can be ended in its own terms.
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

        /// As the label of a metric.
        var word: String {
            switch self {
            case .webSocket: "websocket"
            case .tunnel: "tunnel"
            case .events: "events"
            case .body: "body"
            case .grpc: "grpc"
            }
        }
    }

    /// Why it ends, if not by itself.
    enum Cause {
        case credentialExpired
        /// Its authorizer says no by now.
        case authorizerRefuses
        /// The process takes leave, and the time for that is over.
        case drained
    }

    let kind: Kind
    /// Why it is being ended; nil while it is open.
    var ending: Cause?
    /// How often in a row its authorizer could not be asked again.
    var failedRechecks = 0
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

    func closeFrame(masked: Bool) -> [UInt8] {
        let code = ending == .drained ? WebSocketFrames.goingAway : WebSocketFrames.policyViolation
        return WebSocketFrames.close(code, explanation, masked: masked)
    }

    var explanation: String {
        switch ending {
        case .drained: "the gateway is restarting"
        case .authorizerRefuses: "you may not use this any more"
        case .credentialExpired, nil: "the access token has expired"
        }
    }
    /// What a call of gRPC ends with: UNAVAILABLE, after which clients try again, or UNAUTHENTICATED.
    var grpcStatus: String { ending == .drained ? "14" : "16" }

    /// What the upstream is told: nothing where a frame to it is under way.
    var lastWord: [UInt8] { kind == .webSocket && upward.isBetweenFrames ? closeFrame(masked: true) : [] }
}
