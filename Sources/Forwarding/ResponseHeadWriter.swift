package import Bytes
package import HTTP1
package import HTTPMessage

/// Writes the head of an upstream's answer as an HTTP/1 client gets it.
package enum ResponseHeadWriter {
    /// Appends status line and fields; what the gateway adds follows, then ``end(keepAlive:_:to:)``.
    ///
    /// - Parameter framing: of the body as it is sent on.
    package static func write(_ head: borrowing ResponseHead, framing: BodyFraming, to output: inout ByteQueue) {
        statusLine(head, to: &output)
        let bytes = head.bytes
        let named = ConnectionOptions(head.fields, bytes)
        var runStart = -1
        for line in head.fields.lines {
            let start = Int(line.name.start)
            if passes(line, of: head, framing, named) {
                if runStart < 0 { runStart = start }
                continue
            }
            if runStart >= 0 { output.append(bytes.extracting(runStart..<start)) }
            runStart = -1
        }
        if runStart >= 0 { output.append(bytes.extracting(runStart..<bytes.count - 2)) }
        framing.appendField(to: &output)
    }

    /// Whether a field of the upstream's answer reaches the client.
    static func passes(
        _ line: FieldTable.Line, of head: borrowing ResponseHead, _ framing: BodyFraming, _ named: borrowing ConnectionOptions
    ) -> Bool {
        if line.id.isHopByHop || line.id == .xRequestID { return false }
        // Without a body of ours the length is the upstream's word about the resource (HEAD, 304); 204 has none
        // (RFC 9110 §8.6).
        if line.id == .contentLength, framing != .none || head.status == 204 { return false }
        return !named.contains(head.bytes.extracting(line.name.range), in: head.bytes)
    }

    /// Appends an interim answer (1xx), as it came.
    package static func writeInterim(_ head: borrowing ResponseHead, to output: inout ByteQueue) {
        statusLine(head, to: &output)
        for line in head.fields.lines where !line.id.isHopByHop && line.id != .contentLength {
            output.append(field: head.bytes.extracting(line.name.range), head.bytes.extracting(line.value.range))
        }
        output.appendLineEnd()
    }

    /// Appends the Connection field, where the client needs to be told, and the end of the head.
    package static func end(keepAlive: Bool, _ clientVersion: HTTPVersion, to output: inout ByteQueue) {
        if !keepAlive {
            output.append("Connection: close\r\n\r\n")
        } else if clientVersion == .http10 {
            output.append("Connection: keep-alive\r\n\r\n")
        } else {
            output.appendLineEnd()
        }
    }

    private static func statusLine(_ head: borrowing ResponseHead, to output: inout ByteQueue) {
        output.append("HTTP/1.1 ")
        output.append(decimal: UInt64(head.status))
        output.append(0x20)
        output.append(head.bytes.extracting(head.reasonRange.range))
        output.appendLineEnd()
    }
}

extension BodyFraming {
    /// Appends the field line that tells it, if there is one.
    func appendField(to output: inout ByteQueue) {
        switch self {
        case .none, .close: break
        case .length(let count):
            output.append("Content-Length: ")
            output.append(decimal: count)
            output.appendLineEnd()
        case .chunked: output.append("Transfer-Encoding: chunked\r\n")
        }
    }
}

/// The chunked coding, outwards. Source: RFC 9112 §7.1.
package enum ChunkWriter {
    package static func append(_ body: Span<UInt8>, to output: inout ByteQueue) {
        guard !body.isEmpty else { return }
        output.append(hexadecimal: UInt64(body.count))
        output.appendLineEnd()
        output.append(body)
        output.appendLineEnd()
    }

    /// Appends the last chunk, trailer lines and the end.
    package static func appendEnd(trailers: [UInt8], to output: inout ByteQueue) {
        output.append("0\r\n")
        output.append(trailers)
        output.appendLineEnd()
    }
}
