package import Bytes

/// A protocol version that a message of HTTP/1 may name.
package enum HTTPVersion: UInt8, Sendable {
    case http10, http11

    // Written out, as for FieldName.
    package static func == (left: HTTPVersion, right: HTTPVersion) -> Bool { left.rawValue == right.rawValue }
}

/// A request's head in its own storage, used again for the next request of the connection.
///
/// The bytes are those of the head as received; `method`, `target` and the fields are ranges of them.
package struct RequestHead: ~Copyable {
    private var own = ByteQueue()
    package var fields = FieldTable()
    package var method = Method.other
    package var methodRange = ByteRange()
    package var targetRange = ByteRange()
    package var version = HTTPVersion.http11
    package private(set) var connection = ConnectionOptions()

    package init() {}

    package var bytes: Span<UInt8> {
        @_lifetime(borrow self) @inline(__always) get { own.readable }
    }

    package mutating func reset() {
        own.removeAll()
        fields.removeAll()
        method = .other
        methodRange = ByteRange()
        targetRange = ByteRange()
        connection = ConnectionOptions()
    }

    /// Takes the bytes that the ranges index into; the fields are there.
    package mutating func adopt(_ bytes: Span<UInt8>) {
        own.replace(with: bytes)
        connection = ConnectionOptions(fields, bytes)
    }

    /// Takes bytes and fields as they are, and leaves its own storage for the next ones.
    package mutating func adopt(_ bytes: inout ByteQueue, _ fields: inout FieldTable) {
        swap(&own, &bytes)
        swap(&self.fields, &fields)
        connection = ConnectionOptions(self.fields, self.bytes)
    }

    /// Becomes what is known of a head that was refused: no more than method, target, cut to a bound, and media type, by which the form of
    /// the refusal goes.
    package mutating func adoptRefused(method: Span<UInt8>, target: Span<UInt8>, contentType: Span<UInt8> = Span()) {
        reset()
        let target = target.extracting(0..<min(target.count, refusedTargetBytesMax))
        own.append(method)
        own.append(target)
        self.method = Method(method)
        methodRange = ByteRange(0..<method.count)
        targetRange = ByteRange(method.count..<own.count)
        guard !contentType.isEmpty else { return }
        let start = own.count
        let valueStart = own.append(field: FieldName.contentType.text.utf8.span, contentType)
        fields.append(
            FieldTable.Line(
                id: .contentType, name: ByteRange(start..<start + FieldName.contentType.text.utf8.count),
                value: ByteRange(valueStart..<valueStart + contentType.count)))
    }

    /// How much storage the head holds on to.
    package var capacity: Int { own.capacity }

    /// The value of the first field of this name.
    package func value(_ id: FieldName) -> Range<Int>? { fields.first(id)?.value.range }

    package func text(_ range: ByteRange) -> String { bytes.extracting(range.range).text }

    package func copy(_ range: ByteRange) -> [UInt8] { bytes.extracting(range.range).copied() }

    /// The value of the field of this name or another spelling of it (``FieldIdentity``); nil too when several have different values, because an
    /// upstream might take another one of them.
    package func field(named name: String) -> [UInt8]? {
        let folded = FieldIdentity.fold(name)
        var found: ByteRange?
        for line in fields.lines
        where Int(line.name.count) == folded.count && FieldIdentity.fold(bytes.extracting(line.name.range)) == folded {
            if let found, !bytes.extracting(found.range).equals(bytes.extracting(line.value.range)) { return nil }
            found = line.value
        }
        guard let found else { return nil }
        return copy(found)
    }

    /// Whether a field of this name, or of another spelling of it, is there, whatever its values.
    package func hasField(named name: String) -> Bool {
        let folded = FieldIdentity.fold(name)
        for line in fields.lines where Int(line.name.count) == folded.count {
            if FieldIdentity.fold(bytes.extracting(line.name.range)) == folded { return true }
        }
        return false
    }

    /// Whether a cookie of this name is there, whatever its values.
    package func hasCookie(named name: String) -> Bool {
        for line in fields.lines where line.id == .cookie {
            var reader = CookieReader(range: line.value.range)
            while let pair = reader.next(in: bytes) { if bytes.extracting(pair.name).equals(name) { return true } }
        }
        return false
    }

    /// Whether the request is one of gRPC, whose clients read the status of a response in trailers. `application/grpc-web` is not.
    package var isGRPC: Bool {
        guard let range = value(.contentType) else { return false }
        let type = bytes.extracting(range)
        return type.count >= 16 && type.extracting(0..<16).equalsIgnoringCase("application/grpc")
            && (type.count == 16 || type[16] == 0x2B || type[16] == 0x3B)
    }

    /// The value of the cookie of this name; nil too when several have different values.
    package func cookie(named name: String) -> [UInt8]? {
        var found: Range<Int>?
        for line in fields.lines where line.id == .cookie {
            var reader = CookieReader(range: line.value.range)
            while let pair = reader.next(in: bytes) {
                guard bytes.extracting(pair.name).equals(name) else { continue }
                if let found, !bytes.extracting(found).equals(bytes.extracting(pair.value)) { return nil }
                found = pair.value
            }
        }
        guard let found else { return nil }
        return bytes.extracting(found).copied()
    }
}

/// One byte more than a log line takes, so that it shows the cut.
private let refusedTargetBytesMax = 1_025
