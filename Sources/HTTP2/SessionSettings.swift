import Bytes
import CNghttp2

/// What a session announces, and what it lets its peer do. Source: RFC 9113 §6.5.2.
package struct SessionSettings: Sendable {
    package var streamsMax: UInt32 = 128
    /// Flow-control window of each stream, in bytes.
    package var streamWindow: UInt32 = 65_535
    /// Flow-control window of all streams together; opened again as soon as bytes arrive, so that no stream waits for another.
    package var connectionWindow: Int32 = 16 << 20
    package var headerListBytesMax: UInt32 = 32_768
    /// Frames that go on with a header block.
    package var continuationsMax = 8
    /// Whether extended CONNECT is taken (RFC 8441).
    package var takesTunnels = false

    package init() {}
}

/// Whose session it is.
package enum SessionRole: Sendable {
    case server, client
}
