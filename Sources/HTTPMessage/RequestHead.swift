import Bytes

/// A protocol version that a message of HTTP/1 may name.
package enum HTTPVersion: UInt8, Sendable {
    case http10, http11
}

/// A request's head in its own storage, used again for the next request of the connection.
///
/// The bytes are those of the head as received; `method`, `target` and the fields are ranges of them.
package struct RequestHead: ~Copyable {
    package private(set) var storage: [UInt8] = []
    package var fields = FieldTable()
    package var method = Method.other
    package var methodRange = ByteRange()
    package var targetRange = ByteRange()
    package var version = HTTPVersion.http11

    package init() {}

    package var bytes: Span<UInt8> {
        @_lifetime(borrow self) get { storage.span }
    }

    package mutating func reset() {
        storage.removeAll(keepingCapacity: true)
        fields.removeAll()
        method = .other
    }

    /// Takes the bytes that the ranges index into.
    package mutating func adopt(_ bytes: Span<UInt8>) {
        storage.removeAll(keepingCapacity: true)
        storage.append(bytes)
    }

    /// The value of the first field of this name.
    package func value(_ id: FieldName) -> Range<Int>? { fields.first(id)?.value.range }

    package func text(_ range: ByteRange) -> String { bytes.extracting(range.range).text }

    package func copy(_ range: ByteRange) -> [UInt8] { bytes.extracting(range.range).copied() }

    /// The value of the first field of this name, without regard to case.
    package func field(named name: String) -> [UInt8]? {
        let utf8 = name.utf8
        guard let line = fields.first(named: utf8.span, in: bytes) else { return nil }
        return copy(line.value)
    }

    /// The value of the first cookie of this name.
    package func cookie(named name: String) -> [UInt8]? {
        for line in fields.lines where line.id == .cookie {
            var reader = CookieReader(range: line.value.range)
            while let pair = reader.next(in: bytes) {
                if bytes.extracting(pair.name).equals(name) { return bytes.extracting(pair.value).copied() }
            }
        }
        return nil
    }
}

/// An answer's head in its own storage.
package struct ResponseHead: ~Copyable {
    package private(set) var storage: [UInt8] = []
    package var fields = FieldTable()
    package var status = 0
    package var reasonRange = ByteRange()
    package var version = HTTPVersion.http11

    package init() {}

    package var bytes: Span<UInt8> {
        @_lifetime(borrow self) get { storage.span }
    }

    package mutating func reset() {
        storage.removeAll(keepingCapacity: true)
        fields.removeAll()
        status = 0
    }

    package mutating func adopt(_ bytes: Span<UInt8>) {
        storage.removeAll(keepingCapacity: true)
        storage.append(bytes)
    }
}
