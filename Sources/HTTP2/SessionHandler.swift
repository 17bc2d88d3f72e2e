package import Bytes
import CNghttp2

/// The side of a session that knows what its streams are for. Called from within ``Session/receive(_:)`` and
/// ``Session/fill()``; it must call neither of them, but may submit.
package protocol SessionHandler: AnyObject {
    /// A header block begins: the first of its stream, or a later one.
    func headBegan(_ stream: StreamID, isFirst: Bool)
    /// False: ``Session/receive(_:)`` returns behind this field, and goes on there when it is called again.
    func field(_ name: Span<UInt8>, _ value: Span<UInt8>, _ stream: StreamID) -> Bool
    /// nghttp2 has found a field that is none.
    func invalidField(_ stream: StreamID)
    func headEnded(_ stream: StreamID, isFirst: Bool, endsStream: Bool)
    /// ``Session/consume(_:_:)`` opens the stream's flow-control window again.
    func received(body: Span<UInt8>, _ stream: StreamID)
    /// The peer has sent all of a body that was not ended by its head.
    func bodyEnded(_ stream: StreamID)
    /// The stream is over, with an error code (RFC 9113 §7) where it was reset.
    func closed(_ stream: StreamID, code: UInt32)
    func nextBody(_ stream: StreamID, atMost: Int) -> BodyStep
    /// Whether what was promised is still there: a stream may have been given up while its frame waited.
    func holdsBody(_ stream: StreamID, _ count: Int) -> Bool
    /// Moves as many bytes as were promised. `output` is lent meanwhile: what the session says of it is not to be asked, and it is
    /// not to be lent again.
    func moveBody(_ stream: StreamID, _ count: Int, to output: inout ByteQueue)
    func trailers(_ stream: StreamID, _ body: (borrowing FieldBlock) -> Void)
    func received(_ frame: ControlFrame)
    /// A request could not be sent: the peer takes leave, or takes no more streams.
    func requestNotSent(_ stream: StreamID)
    /// A frame that ends our side of a stream has gone out.
    func sentEnd(_ stream: StreamID)
    /// A reset has gone out that the stream's peer caused.
    func sentReset(_ stream: StreamID, code: UInt32)
    /// The peer's settings hold, its first ones or others.
    func settingsChanged()
    /// The peer ends the connection after these streams.
    func received(goAway lastStream: StreamID, code: UInt32)
}

/// What the body of a stream has to give now.
package enum BodyStep {
    /// So many bytes wait; `isLast`: the body ends with them.
    case bytes(Int, isLast: Bool)
    /// Nothing yet; ``Session/resume(_:)`` says when.
    case wait
    /// The body has ended, and these fields follow.
    case trailers
    /// There will be no more of it: the stream is reset.
    case broken
}

/// Frames that cost their sender nothing and carry no request.
package enum ControlFrame: Sendable {
    case settings, ping, reset, priority, windowUpdate, emptyData, other
}

/// Why a session cannot go on.
package struct SessionError: Error, Equatable, Sendable {
    package let reason: String
}

/// Error codes of RFC 9113 §7.
package enum StreamCode {
    package static let noError: UInt32 = 0
    package static let protocolError: UInt32 = 1
    package static let internalError: UInt32 = 2
    package static let flowControl: UInt32 = 3
    package static let streamClosed: UInt32 = 5
    package static let refused: UInt32 = 7
    package static let cancel: UInt32 = 8
    package static let enhanceYourCalm: UInt32 = 11
}
