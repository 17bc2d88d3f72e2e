import Bytes

/// A response's head in its own storage.
package struct ResponseHead: ~Copyable {
    private var own = ByteQueue()
    package var fields = FieldTable()
    package var status = 0
    package var reasonRange = ByteRange()
    package var version = HTTPVersion.http11
    package private(set) var connection = ConnectionOptions()

    package init() {}

    package var bytes: Span<UInt8> {
        @_lifetime(borrow self) @inline(__always) get { own.readable }
    }

    /// Whether the status line, with which the bytes begin, came in the form in which it goes on.
    package var hasPlainStatusLine: Bool {
        let reason = reasonRange.range
        return version == .http11 && reason.lowerBound == 13 && bytes[reason.upperBound] == 0x0D
    }

    package mutating func reset() {
        own.removeAll()
        fields.removeAll()
        status = 0
        reasonRange = ByteRange()
        connection = ConnectionOptions()
    }

    /// As for a request.
    package mutating func adopt(_ bytes: Span<UInt8>) {
        own.replace(with: bytes)
        connection = ConnectionOptions(fields, bytes)
    }
}
