import Bytes
package import HTTPMessage

/// Makes a response's head of the decoded fields of HTTP/2, in the form in which HTTP/1 would have brought it. What could make
/// another line of a field is refused, as in ``RequestHeadBuilder``. Source: RFC 9113 §8.2, §8.3.2.
package struct ResponseHeadBuilder: ~Copyable {
    private var arena: [UInt8] = []
    private var fields: [FieldTable.Line] = []
    private var status: Int?
    /// The first thing that was wrong.
    private var error: MessageError?
    private let bytesMax: Int

    /// - Parameter bytesMax: of all names and values.
    package init(bytesMax: Int = Limits.responseHeadBytesMax) {
        self.bytesMax = bytesMax
        reset()
    }

    package mutating func reset() {
        arena.removeAll(keepingCapacity: true)
        // The status is not known yet.
        arena.append("HTTP/1.1 000 \r\n")
        fields.removeAll(keepingCapacity: true)
        status = nil
        error = nil
    }

    /// Takes the next field of a head.
    package mutating func add(_ name: Span<UInt8>, _ value: Span<UInt8>) {
        guard error == nil else { return }
        do throws(MessageError) {
            guard name.count > 0, name[0] == 0x3A else { return try addRegular(name, value) }
            guard name.equals(":status"), status == nil, fields.isEmpty, value.count == 3, let number = value.decimal(max: 999),
                number >= 100
            else { throw .badPseudoField }
            status = Int(number)
            for index in 0..<3 { arena[9 + index] = value[index] }
        } catch {
            self.error = error
        }
    }

    /// Takes the next trailer: without pseudo-fields.
    package mutating func add(trailer name: Span<UInt8>, _ value: Span<UInt8>) {
        guard error == nil else { return }
        do throws(MessageError) {
            try addRegular(name, value)
        } catch {
            self.error = error
        }
    }

    /// A field that nghttp2 would have passed over in silence.
    package mutating func refuse() { if error == nil { error = .badFieldValue } }

    private mutating func addRegular(_ name: Span<UInt8>, _ value: Span<UInt8>) throws(MessageError) {
        guard fields.count < Limits.responseFieldCountMax else { throw .tooManyFields }
        guard arena.count + name.count + value.count + 4 <= bytesMax else { throw .headTooLarge }
        try FieldCheck.check(name, value)
        let id = FieldName(name)
        switch id {
        case .connection, .keepAlive, .proxyConnection, .transferEncoding, .upgrade: throw .connectionField
        default: break
        }
        let start = arena.count
        let valueStart = start + name.count + 2
        arena.append(field: name, value)
        fields.append(
            FieldTable.Line(id: id, name: ByteRange(start..<start + name.count), value: ByteRange(valueStart..<valueStart + value.count)))
    }

    /// Completes a head.
    package mutating func finish(into head: inout ResponseHead) throws(MessageError) {
        if let error { throw error }
        guard let status else { throw .badPseudoField }
        arena.append("\r\n")
        head.reset()
        head.status = status
        head.reasonRange = ByteRange(13..<13)
        head.version = .http11
        for line in fields { head.fields.append(line) }
        head.adopt(arena.span)
    }

    /// Calls `body` with each trailer.
    package func trailers(_ body: (FieldTable.Line, Span<UInt8>) -> Void) throws(MessageError) {
        if let error { throw error }
        for line in fields { body(line, arena.span) }
    }
}
